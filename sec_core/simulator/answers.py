"""What the simulated SEC answers when nothing goes wrong: from a world, or from captured files.

Rows become bytes exactly as the SEC writes them: keys, order, types, blanks and misspellings.

A folder of captures holds `por_fecha/detailed`, `por_fecha/aggregated`, `get` and `clientes_regional`. File names are
`<hour asked>[.captured-<when>].json`; times that end in Z are UTC, the others Chile wall clock. Of several captures of
an hour the newest is answered, and `[]` for hours that were never captured.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import orjson

from sec_core.errors import InputError
from sec_core.hours import CHILE, hours_of_day, open_hour
from sec_core.simulator.country import REGIONS, hour_index, parse_wall_hour
from sec_core.simulator.faults import Endpoint, Request
from sec_core.simulator.options import SimulatorOptions
from sec_core.simulator.world import BAD_COMPANY, BAD_COUNT, BAD_DATE, BLANK, UNKNOWN_PLACE, Row, World
from sec_core.source.shapes import Shape

Served = Callable[[datetime], int]
_NAME = re.compile(r"(?P<asked>.+?)(?:\.captured-(?P<when>[0-9TZ-]+))?\.json")
# Names that the detailed shape ends with a blank.
_BLANK_ENDED = frozenset({"Arauco", "Castro", "Contulmo"})

# Month of the regional figures, and the country's figure of August 2026.
_PERIODO_STAR = "052019"
_CLIENTES_NACIONAL = 8_156_814

# Until then the comunas of Ñuble belonged to the Biobío.
_NUBLE_SINCE = hour_index(parse_wall_hour("2018-09-06T00"))
# Until then CGE went by other names in the north.
_CGE_SINCE = hour_index(parse_wall_hour("2018-01-01T00"))
_BEFORE_CGE = {"15": "EMELARI", "01": "ELIQSA", "02": "ELECDA", "03": "EMELAT", "04": "CONAFE"}
# An answer of `GetClientesRegional`, all values strings.
_REGIONS: list[dict[str, Any]] = [
    {
        "REGION_ID": each.number, "NOMBRE_REGION": each.full_name, "PERIODO_STAR": _PERIODO_STAR,
        "CLIENTES": str(each.customers),
    }
    for each in REGIONS
]  # fmt: skip
_NO_SUCH_PLACE = ("Maule", "Comuna Fantasma")
_NO_SUCH_COMPANY = "ELECTRICA FANTASMA"
_BAD_COUNTS = ("null", '""', '"s/i"', "-3")


class HourAnswer(NamedTuple):
    """An answer of `GetPorFecha`."""

    body: bytes
    revision: int
    shape: Shape | None  # None where nobody looked (a replay)


class WorldAnswers:
    """The endpoints without HTTP or faults, from a world. `now` is aware; `served` counts an hour's answers."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.world = World(options.world)
        self.regions = _REGIONS
        self._options = options
        self._body = lru_cache(maxsize=options.kept_bodies)(partial(hour_body, self.world))

    def shape_of(self, hour: datetime) -> Shape:
        """Shape in which an hour is answered."""
        switch = self._options.switch_hour
        return self._options.shape if switch is None or hour < switch else Shape.AGGREGATED

    def revision_of(self, hour: datetime, now: datetime, served: int) -> int:
        """Revision of an hour at `now`, after it was answered `served` times."""
        rules = self._options.revisions
        under_way = open_hour(now)
        if hour == under_way:
            # It changes each quarter of an hour until it closes.
            return now.astimezone(CHILE).minute // 15 - 4
        index = hour_index(hour)
        if hour >= under_way or Random(f"revised {self.world.options.seed} {index}").random() >= rules.share:  # noqa: S311
            return 0
        return min(rules.most, served // rules.after_asks) if rules.after_asks else 0

    def por_fecha(self, hour: datetime, now: datetime, served: int) -> HourAnswer:
        """The body for an hour; `[]` for one that has no data or lies in the future."""
        if hour > open_hour(now):
            return HourAnswer(b"[]", 0, None)
        revision, shape = self.revision_of(hour, now, served), self.shape_of(hour)
        return HourAnswer(self._body(hour, shape, revision), revision, shape)

    def get(self, now: datetime, served: Served) -> bytes:
        """National totals from seven days ago, 00h, to the open hour; hours without data are not listed."""
        under_way = open_hour(now)
        today = under_way.astimezone(CHILE).date()
        week = (hour for back in range(7, -1, -1) for hour in hours_of_day(today - timedelta(days=back)))
        hours = [hour for hour in week if hour <= under_way and self.world.has_data(hour)]
        return national_series(
            (hour, self.world.total(hour, self.revision_of(hour, now, served(hour)))) for hour in hours
        )


class CapturedAnswers:
    """Answers read from a folder of captures."""

    def __init__(self, folder: Path) -> None:
        self._hours: dict[datetime, tuple[datetime, Path]] = {}
        for path in sorted((folder / "por_fecha").glob("*/*.json")):
            hour, captured = _hour_and_capture(path)
            if hour not in self._hours or captured >= self._hours[hour][0]:
                self._hours[hour] = (captured, path)
        if not self._hours:
            raise InputError(
                f"{folder} has no captures.",
                next_step="Give a folder that holds por_fecha/detailed or por_fecha/aggregated.",
            )
        self._series = sorted((_hour_and_capture(path)[0], path) for path in (folder / "get").glob("*.json"))
        self.regions = _read_regions(folder / "clientes_regional")

    def por_fecha(self, hour: datetime, now: datetime, served: int) -> HourAnswer:  # noqa: ARG002 - history does not change
        """The newest capture of an hour, byte for byte; `[]` where there is none."""
        held = self._hours.get(hour)
        return HourAnswer(b"[]" if held is None else held[1].read_bytes(), 0, None)

    def get(self, now: datetime, served: Served) -> bytes:  # noqa: ARG002 - history does not change
        """The newest series captured up to `now`; `[]` where there is none."""
        known = [path for hour, path in self._series if hour <= now]
        return known[-1].read_bytes() if known else b"[]"


Answers = WorldAnswers | CapturedAnswers


def sound_body(answers: Answers, request: Request, payload: dict[str, Any], now: datetime, served: Served) -> bytes:
    """The body that a good day answers; notes on the request which revision and shape of its hour that is."""
    match Endpoint(request.endpoint):
        case Endpoint.POR_FECHA:
            if request.hour is None:
                return b"[]"
            body, request.revision, request.shape = answers.por_fecha(request.hour, now, served(request.hour))
            return body
        case Endpoint.GET:
            return answers.get(now, served)
        case Endpoint.REGIONAL:
            return regional_customers(str(payload.get("region") or ""), answers.regions)
        case Endpoint.NACIONAL:
            return orjson.dumps([{"CLIENTES": str(_CLIENTES_NACIONAL)}])
        case Endpoint.HORA:
            return orjson.dumps([{"FECHA": f"{now.astimezone(CHILE):%d/%m/%Y %H:%M}"}])


def _hour_and_capture(path: Path) -> tuple[datetime, datetime]:
    """The hour of a file, and when it was captured: a UTC instant, or a Chile time on the day of its hour."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise InputError(f"{path} is not named like a capture.", next_step="Name it <hour>[.captured-<when>].json.")
    hour, text = parse_wall_hour(found["asked"]), found["when"]
    if text is None:
        return hour, hour
    try:
        if text.endswith("Z"):
            return hour, datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        time = datetime.strptime(text, "%H%M%S").time()  # noqa: DTZ007 - the zone comes from the hour
    except ValueError:
        raise InputError(
            f"{path}: {text!r} is no time of capture.", next_step="Write it as 20260801T073550Z."
        ) from None
    wall = hour.astimezone(CHILE)
    captured = datetime.combine(wall.date(), time, tzinfo=CHILE)
    return hour, (captured if time.hour >= wall.hour else captured + timedelta(days=1)).astimezone(UTC)


def _read_regions(folder: Path) -> list[dict[str, Any]]:
    """Regions of the newest capture that has them all, else of every capture together, else those of May 2019."""
    by_name: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json"), key=lambda p: (p.name.startswith("todas"), p.name)):
        by_name.update({str(region["NOMBRE_REGION"]): region for region in orjson.loads(path.read_bytes())})
    order = {region.full_name: number for number, region in enumerate(REGIONS)}
    known = sorted(by_name.values(), key=lambda region: order.get(region["NOMBRE_REGION"], 99))
    return known or _REGIONS


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


def regional_customers(part: str, regions: Iterable[dict[str, Any]] = _REGIONS) -> bytes:
    """An answer of `GetClientesRegional`: regions whose full name contains `part`."""
    return orjson.dumps([each for each in regions if part.casefold() in str(each["NOMBRE_REGION"]).casefold()])


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

    spelled: Callable[[str], str] = lambda name: f"{name} " if detailed and name in _BLANK_ENDED else name  # noqa: E731
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
