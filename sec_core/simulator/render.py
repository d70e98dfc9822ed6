"""Rows to bytes, exactly as the SEC writes them: keys, order, types, blanks and misspellings."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache, partial
from random import Random

import orjson

from sec_core.hours import CHILE
from sec_core.simulator.calendar import hour_index, parse_wall_hour
from sec_core.simulator.places import BLANK_ENDED, CLIENTES_NACIONAL, PERIODO_STAR, REGIONS
from sec_core.simulator.world import BAD_COMPANY, BAD_COUNT, BAD_DATE, BLANK, UNKNOWN_PLACE, Row, World
from sec_core.source.shapes import Shape

# Until then the comunas of Ñuble belonged to the Biobío.
_NUBLE_SINCE = hour_index(parse_wall_hour("2018-09-06T00"))
# Until then CGE went by other names in the north.
_CGE_SINCE = hour_index(parse_wall_hour("2018-01-01T00"))
_BEFORE_CGE = {"15": "EMELARI", "01": "ELIQSA", "02": "ELECDA", "03": "EMELAT", "04": "CONAFE"}
_NO_SUCH_PLACE = ("Maule", "Comuna Fantasma")
_NO_SUCH_COMPANY = "ELECTRICA FANTASMA"
_BAD_COUNTS = ("null", '""', '"s/i"', "-3")


def hour_body(world: World, hour: datetime, shape: Shape, revision: int = 0) -> bytes:
    """An answer of `GetPorFecha` for an hour."""
    rows = world.rows(hour, revision)
    if shape is Shape.DETAILED:
        return detailed_body(world, hour, rows, revision)
    return aggregated_body(world, hour, rows)


def detailed_body(world: World, hour: datetime, rows: Iterable[Row], revision: int = 0) -> bytes:
    """A detailed answer: 13 keys, one row for each outage, unsorted. The revision moves `ACTUALIZADO_HACE`."""
    index = hour_index(hour)
    usual = Random(f"ages {world.options.seed} {index} {revision}").randint(0, 14)  # noqa: S311 - a simulation
    age = cache(partial(_age, usual=usual))
    names = _place_texts(world, index, detailed=True)
    dates = cache(lambda day: _date_texts(day.day, day.month, day.year))
    parts = []
    for at, row in enumerate(rows):
        head, tail = _wrong_date(at, hour) if row.wrong & BAD_DATE else dates(row.day)
        company = _NO_SUCH_COMPANY if row.wrong & BAD_COMPANY else row.company
        if index < _CGE_SINCE and company == "CGE" and row.place >= 0:
            company = _BEFORE_CGE.get(world.places[row.place].region_code, company)
        count = _BAD_COUNTS[at % len(_BAD_COUNTS)] if row.wrong & BAD_COUNT else str(row.customers)
        parts.append(
            f'{head}"HORA":0,"DIA":0,"MES":0,"ANHO":0,{names[row.place]}"NOMBRE_EMPRESA":"{company}",'
            f'"CLIENTES_AFECTADOS":{count},"ACTUALIZADO_HACE":"{age(row.company)}",{tail}'
        )
    return f"[{','.join(parts)}]".encode()


def aggregated_body(world: World, hour: datetime, rows: Iterable[Row]) -> bytes:
    """An aggregated answer of detailed rows: 3 keys, one row for each comuna, sorted by region and comuna."""
    names = _place_texts(world, hour_index(hour), detailed=False)
    sums: dict[str, int] = defaultdict(int)
    for row in rows:
        sums[names[row.place]] += 0 if row.wrong & BAD_COUNT else row.customers
    ordered = sorted(sums.items(), key=lambda item: item[0].split('"')[3::4])
    parts = [f'{{{name}"CLIENTES_AFECTADOS":{total}}}' for name, total in ordered]
    return f"[{','.join(parts)}]".encode()


def national_series(totals: Iterable[tuple[datetime, int]]) -> bytes:
    """An answer of `Get`: national totals by hour, integers, in Chile wall clock."""
    rows = [
        {"anho": wall.year, "mes": wall.month, "dia": wall.day, "hora": wall.hour, "clientes_afectados": total}
        for wall, total in ((hour.astimezone(CHILE), total) for hour, total in totals)
    ]
    return orjson.dumps(rows)


def regional_customers(part: str) -> bytes:
    """An answer of `GetClientesRegional`: regions whose full name contains `part`, all values strings."""
    keys = ("REGION_ID", "NOMBRE_REGION", "PERIODO_STAR", "CLIENTES")
    rows = ((region.number, region.full_name, PERIODO_STAR, str(region.customers)) for region in REGIONS)
    return orjson.dumps([dict(zip(keys, row, strict=True)) for row in rows if part.casefold() in row[1].casefold()])


def national_customers() -> bytes:
    """An answer of `GetClientesNacional`."""
    return orjson.dumps([{"CLIENTES": str(CLIENTES_NACIONAL)}])


def server_hour(now: datetime) -> bytes:
    """An answer of `GetHoraServer`, Chile wall clock to the minute."""
    return orjson.dumps([{"FECHA": f"{now.astimezone(CHILE):%d/%m/%Y %H:%M}"}])


def _age(company: str, usual: int) -> str:
    """`ACTUALIZADO_HACE` of a company in one answer, the same for all its rows, with the blank at its end."""
    # Seeded by name, so that the age does not hang on the order of the rows.
    rng = Random(f"{company} {usual}")  # noqa: S311
    minutes = usual + 15 * rng.choice((0, 0, 0, 0, 1, 1, 2, 3))
    hours, days = (rng.randint(1, 20), rng.randint(0, 2)) if rng.random() < 0.03 else (0, 0)
    return f"{days} Dias {hours} Horas {minutes} Minutos "


def _place_texts(world: World, index: int, *, detailed: bool) -> dict[int, str]:
    def text(region: str, comuna: str) -> str:
        return f'"NOMBRE_REGION":"{region}","NOMBRE_COMUNA":"{comuna}",'

    spelled: Callable[[str], str] = lambda name: f"{name} " if detailed and name in BLANK_ENDED else name  # noqa: E731
    old_nuble = index < _NUBLE_SINCE
    texts = {
        at: text("Biobio" if old_nuble and place.region_code == "16" else place.region, spelled(place.name))
        for at, place in enumerate(world.places)
    }
    texts[BLANK] = text("", "")
    texts[UNKNOWN_PLACE] = text(*_NO_SUCH_PLACE)
    return texts


def _date_texts(day: int, month: int, year: int) -> tuple[str, str]:
    head = f'{{"DIA_INT":{day},"MES_INT":{month},"ANHO_INT":{year},'
    return head, f'"FECHA_INT_STR":"{day}/{month}/{year}"}}'


def _wrong_date(at: int, hour: datetime) -> tuple[str, str]:
    """No date at all, a day that no month has, or a day after the hour."""
    year = hour.astimezone(CHILE).year
    return (_date_texts(0, 0, 0), _date_texts(31, 2, year), _date_texts(1, 1, year + 2))[at % 3]
