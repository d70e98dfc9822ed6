"""What Silver holds, in figures: of a month, of names that do not resolve, and its version."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from sec_core.db.database import Database
from sec_core.db.queries import read_queries
from sec_core.hours import Month
from sec_core.reference import tables
from sec_core.reference.tables import default_names, fold

_SQL: Final = {name: text(sql) for name, sql in read_queries("sec_core.silver", "reports.sql").items()}


@dataclass(frozen=True, slots=True)
class MonthFigures:
    """What Silver holds of a month.

    `events` have an hour in it, `events_begun` begin in it, as Gold counts them. `imputed` counts rows (events for the
    cap) by rule; `unresolved_rows` have a name, which is not blank, that did not resolve.
    """

    hours: int
    rows: int
    observations: int
    customers: int
    events: int
    events_begun: int
    imputed: dict[str, int]
    unresolved_rows: int


def month_figures(database: Database, month: Month) -> MonthFigures:
    """Read the figures of a month."""
    window = {"first": month.start, "last": month.end}
    with database.engine.connect() as connection:
        loaded = connection.execute(_SQL["loaded"], window).mappings().one()
        events = connection.execute(_SQL["events"], window).mappings().one()
        imputed = dict(connection.execute(_SQL["imputed"], {"month": month.first_day}).tuples().all())
        unresolved = connection.execute(_SQL["unresolved_rows"], window).scalar_one()
    return MonthFigures(**loaded, **events, imputed=imputed, unresolved_rows=unresolved)


# Below this a suggestion would mislead.
LEAST_SIMILARITY = 60.0


@dataclass(frozen=True, slots=True)
class UnresolvedName:
    """A spelling that resolves to nothing; `kind` is `comuna` or `empresa`, `example` the first hour with it.

    `suggestion` is the nearest known name with its `similarity` of 0 to 100, None when none is near.
    """

    kind: str
    region: str
    name: str
    rows: int
    hours: int
    example: datetime
    suggestion: str | None
    similarity: float


def unresolved_names(database: Database) -> list[UnresolvedName]:
    """Unresolved spellings of the whole history, the most frequent first; a suggestion is never applied by itself."""
    known = default_names()
    places = {key: found[0].nombre for key, found in known.known_comunas().items()}
    companies = {empresa.id_empresa: empresa.nombre for empresa in tables.empresas()}
    firms = {key: companies[number] for key, number in known.known_empresas().items()}
    with database.engine.connect() as connection:
        rows = connection.execute(_SQL["unresolved"]).all()
    return [
        UnresolvedName(
            kind, region, name, count, hours, example, *suggest(name, firms if kind == "empresa" else places)
        )
        for kind, region, name, count, hours, example in rows
    ]


def suggest(name: str, known: Mapping[str, str]) -> tuple[str | None, float]:
    """The nearest of names by folded spelling, with a similarity of 0 to 100; (None, 0) when nothing is near."""
    from rapidfuzz import fuzz, process  # noqa: PLC0415 - only the report needs it

    folded = fold(name)
    if not folded:
        return None, 0.0
    best = process.extractOne(folded, known.keys(), scorer=fuzz.ratio, score_cutoff=LEAST_SIMILARITY)
    return (known[best[0]], round(float(best[1]), 1)) if best is not None else (None, 0.0)


# Tables whose rows are written only where something changed. Each load of an hour writes its row of `cargas`.
_WRITTEN = (
    "cargas", "fact_interrupciones", "calidad_imputacion", "clientes_regionales", "facturacion_comunal",
    "proyectos_seia", "reglas", "archivo", "dim_geografia", "dim_empresa",
)  # fmt: skip

# Transaction numbers only grow: of equally many rows the sum is the same only if no row was written.
_COUNTS = " union all ".join(
    f"select count(*), sum(xmin::text::bigint)::text as written from {name}" for name in _WRITTEN
)
# Asking an hour again writes its row though its state stays, so here the content counts.
_VERSION = text(f"""
    with witness as (
        {_COUNTS} union all
        select count(*), sum(hashtextextended(concat_ws(' ', hora, estado, forma, n_filas, n_revisiones, sospechosa,
            total_nacional, diferencia_nacional, anfitrion, fuente), 0))::text from capturas
    )
    select string_agg(concat_ws(' ', count, written), ';') from witness
""")


def silver_version(database: Database) -> str:
    """A text that differs whenever the database holds other events, hours, customers, projects or rules than before.

    Raises:
        DatabaseUnavailable: The database can't be reached.
    """
    with database.engine.connect() as connection:
        return str(connection.execute(_VERSION).scalar_one())
