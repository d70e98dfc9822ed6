"""Why a figure moved between two releases, which quarter counts, and what a version is."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from sec_core.gold.frames import UTC_TIME
from sec_core.gold.release.changes import Changes, compare
from sec_core.gold.release.checks import last_quarter
from sec_core.gold.release.contents import Version
from sec_core.hours import Month

JULY, AUGUST = Month(2024, 7), Month(2024, 8)
Tables = dict[str, pl.DataFrame]


def hours(first: datetime, count: int, **changed: object) -> pl.DataFrame:
    row = {"cargada": True, "forma": "aggregated", "n_filas": 9, "n_revisiones": 1, "sospechosa": False} | changed
    return pl.DataFrame(
        {"hora": [first + timedelta(hours=n) for n in range(count)]}, schema={"hora": UTC_TIME}
    ).with_columns(**{name: pl.lit(value) for name, value in row.items()})


def tables(july: pl.DataFrame, saidi: float = 2.0, clientes: int = 10, unknown: int = 0) -> Tables:
    """July of one region, seen at its beginning and at its end."""
    names = ["MAULE", "UNKNOWN", "CHILE"]
    observed = [20 - unknown, unknown, 20]
    regional = pl.DataFrame(
        {
            "mes": [JULY.first_day] * 3, "nombre_region": names, "cliente_horas_observadas": observed,
            "cliente_horas": [20.0, None, 20.0], "clientes": [clientes, None, 10], "saidi": [saidi, None, 2.0],
            "saifi": [1.0, None, 1.0],
        }
    )  # fmt: skip
    years = regional.head(1).select(
        "nombre_region", "cliente_horas", "clientes", anho=pl.col("mes").dt.year(), saidi=pl.lit(saidi)
    )
    comunal = (
        regional.head(1)
        .rename({"nombre_region": "codigo_comuna"})
        .with_columns(cliente_horas_observadas=pl.lit(20), clientes=pl.lit(10), saidi=pl.lit(2.0))
    )
    comunas = pl.DataFrame(
        {
            "codigo_comuna": ["07101"], "nombre_comuna": ["TALCA"], "nombre_oficial": ["Talca"],
            "codigo_region": ["07"], "nombre_region": ["MAULE"], "clientes": [10],
        }
    )  # fmt: skip
    storms = pl.DataFrame(schema={"id": pl.String, "inicio": UTC_TIME, "punta": pl.Int64, "cliente_horas": pl.Int64})
    return {
        "horas": july, "comunas": comunas, "indices_regionales": regional, "indices_comunales": comunal,
        "indices_anuales": years,
        "tormentas": storms,
    }  # fmt: skip


def found(old: Tables, new: Tables, rules: tuple[str, str] = ("2", "2"), interface: str = "1") -> Changes:
    spoken = [{"metodo": rules[0], "interfaz": "1"}, {"metodo": rules[1], "interfaz": interface}]
    return compare(old, new, ({"horas": 1}, {"horas": 2, "panel": 3}), spoken)


SEEN = hours(JULY.start, 744)
OPEN_END = SEEN.with_columns(cargada=pl.col("hora") < JULY.end - timedelta(hours=3))
NEXT = hours(AUGUST.start, 5)


@pytest.mark.parametrize(
    ("old", "new", "rules", "reason"),
    [
        (tables(SEEN), tables(SEEN, saidi=3.0), ("2", "2"), "sin motivo"),
        (tables(SEEN), tables(SEEN, saidi=3.0), ("2", "3"), "regla"),
        (tables(SEEN), tables(SEEN, saidi=3.0, clientes=7), ("2", "2"), "denominador"),
        (tables(SEEN, unknown=5), tables(SEEN, saidi=3.0), ("2", "2"), "nombre"),
        (tables(OPEN_END), tables(SEEN, saidi=3.0), ("2", "2"), "horas"),
        (tables(SEEN), tables(pl.concat([hours(JULY.start, 1, n_revisiones=2), SEEN[1:]]), saidi=3.0), ("2", "2"),
         "revisión"),
        (tables(OPEN_END), tables(pl.concat([OPEN_END, NEXT]), saidi=3.0), ("2", "2"), "horas"),
        (tables(SEEN), tables(pl.concat([SEEN, NEXT]), saidi=3.0), ("2", "2"), "sin motivo"),
        (tables(pl.concat([hours(JULY.start - timedelta(hours=9), 5), SEEN])),
         tables(pl.concat([hours(JULY.start - timedelta(hours=9), 6), SEEN]), saidi=3.0), ("2", "2"), "horas"),
    ],
)  # fmt: skip
def test_a_figure_moves_for_a_reason(old: Tables, new: Tables, rules: tuple[str, str], reason: str) -> None:
    changes = found(old, new, rules)
    saidi = changes.moved.filter(cifra="saidi")
    assert saidi.select("tabla", "clave", "antes", "ahora", "motivo").rows() == [
        ("indices_regionales", "2024-07-01 MAULE", 2.0, 3.0, reason),
        # A year has gained hours wherever in it they lie.
        ("indices_anuales", "2024 MAULE", 2.0, 3.0, "horas" if changes.hours["ganadas"].sum() else reason),
    ]
    assert changes.unexplained.is_empty() == (reason != "sin motivo")


def test_what_stays_is_not_told() -> None:
    changes = found(tables(SEEN), tables(SEEN, saidi=2.01), interface="2")
    assert (changes.moved.height, changes.hours.height, changes.names.height) == (0, 0, 0)
    assert changes.rows == {"horas": (1, 2), "panel": (None, 3)}
    assert changes.rules == {"interfaz": ("1", "2")}
    other = found(tables(SEEN), tables(SEEN, saidi=3.0), interface="2")
    assert other.unexplained.height == 2, "The interface's version is no reason."


@pytest.mark.parametrize(
    ("newest", "now", "last"),
    [
        (Month(2024, 9), datetime(2024, 10, 5, tzinfo=UTC), Month(2024, 9)),
        (Month(2024, 9), datetime(2024, 9, 30, tzinfo=UTC), Month(2024, 6)),
        (Month(2024, 8), datetime(2024, 12, 5, tzinfo=UTC), Month(2024, 6)),
        (Month(2024, 12), datetime(2025, 1, 2, tzinfo=UTC), Month(2024, 12)),
    ],
)
def test_the_last_full_quarter_has_ended_and_lies_within_the_data(newest: Month, now: datetime, last: Month) -> None:
    assert last_quarter(newest, now) == (last.shift(-2), last)


def test_versions_are_in_order() -> None:
    texts = ["2025.12", "2026.2", "2026.2.1", "2026.11"]
    assert [str(each) for each in sorted(map(Version.parse, reversed(texts)))] == texts
