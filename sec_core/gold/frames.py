"""What Gold reads from Silver: one consistent snapshot, as Polars frames with names already joined.

Beside them stands where the loaded hours come from: the SEC's host, an import, the simulator, a replay, another host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from sec_core.bronze.store import BronzeStore
from sec_core.db.arrow import ArrowConnection
from sec_core.db.database import Database
from sec_core.db.queries import read_queries
from sec_core.gold.customers import CUSTOMERS_SCHEMA
from sec_core.hours import CHILE, Month, open_hour
from sec_core.reference.tables import COUNTRY_CODE
from sec_core.silver.timeline import EventRules, chile_date
from sec_core.source.shapes import Shape
from sec_core.text import counted

if TYPE_CHECKING:
    from sec_core.gold.indices import Indices
    from sec_core.gold.monthly import Monthly
    from sec_core.gold.panel import Pattern

UTC_TIME = pl.Datetime("us", "UTC")

SQL: Final = read_queries("sec_core.gold", "frames.sql")
SEC_HOST: Final = "apps.sec.cl"
OWN: Final = "SEC"
# From before the host was kept; never refused.
UNKNOWN: Final = "desconocido"
MIXED: Final = "mixto"
_CALLED: Final = {"simulator": "SIMULACIÓN", "replay": "REPETICIÓN"}

# Word for a capture, from its anfitrion, fuente and origen_cuerpo (`revisiones.origen`): a host stands for itself.
ORIGIN: Final = (
    pl.when(pl.col("fuente").is_in(list(_CALLED)))
    .then(pl.col("fuente").replace(_CALLED))
    .when((pl.col("anfitrion") == SEC_HOST) | (pl.col("origen_cuerpo") == "legacy"))
    .then(pl.lit(OWN))
    .otherwise(pl.coalesce("anfitrion", pl.lit(UNKNOWN)))
)


@dataclass(frozen=True, slots=True)
class GoldFrames:
    """Everything that payloads are computed from.

    Attributes:
        events: All events, see `month_files.Events`.
        loads: `cargas` with `mes` and `origen`: one row for each hour in Silver.
        calendar: One row for each hour that is expected, see `hour_calendar`.
        revisions: Every answer held, see `revisions.revisions`.
        customers: `clientes_regionales` with names.
        origins: Loaded hours by where they and the customers come from, see `hours_by_origin`.
        comuna_customers: What `clientes_comunales` is to hold, see `customers.COMUNA_CUSTOMERS_SCHEMA`.
        imputation: `calidad_imputacion`.
        projects: `proyectos_seia`.
        names: The dimensions.
        seen: Which hours are observed, interpolated or uncovered.
        monthly: What estimates are made of.
        indices: Indices by month.
        storms: `tormentas`, by beginning.
        storm_hours: Their curves, see `storm_curves.CURVES_SCHEMA`.
        storm_companies: Their companies, see `storm_catalogue.COMPANIES_SCHEMA`.
        panel: Lazily, the panel of all months.
        rules: When an aggregated event begins and ends.
        thresholds: Settings that `meta` repeats.
        now: The present instant, UTC.
    """

    events: pl.DataFrame
    loads: pl.DataFrame
    calendar: pl.DataFrame
    revisions: pl.DataFrame
    customers: pl.DataFrame
    origins: pl.DataFrame
    comuna_customers: pl.DataFrame
    imputation: pl.DataFrame
    projects: pl.DataFrame
    names: Names
    seen: Pattern
    monthly: Monthly
    indices: Indices
    storms: pl.DataFrame
    storm_hours: pl.DataFrame
    storm_companies: pl.DataFrame
    panel: pl.LazyFrame
    rules: EventRules
    thresholds: Mapping[str, float]
    now: datetime

    @property
    def newest_day(self) -> date | None:
        """Day in Chile of the newest loaded hour; None before anything is loaded."""
        newest = self.loads["hora"].max()
        return newest.astimezone(CHILE).date() if isinstance(newest, datetime) else None

    @property
    def made(self) -> datetime | None:
        """When the newest capture was received: unlike the clock, it gives files the same bytes for the same data."""
        return self.loads["capturado_en"].max()  # type: ignore[return-value]

    def aggregated_panel(self) -> pl.DataFrame:
        """The panel's hours in the aggregated form."""
        return self.panel.filter(pl.col("forma") == Shape.AGGREGATED.value).collect()


@contextmanager
def snapshot(database: Database, like: ArrowConnection | None = None) -> Iterator[ArrowConnection]:
    """A read-only connection that sees the database as of one instant, however many queries it answers.

    With `like` it sees what that one sees, so that two queries can run at once.
    """
    with database.adbc() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if like is not None:
            exported: str = like.query("SELECT pg_export_snapshot() AS id").item()
            connection.execute(f"SET TRANSACTION SNAPSHOT '{exported}'")
        yield connection


def with_month(frame: pl.DataFrame) -> pl.DataFrame:
    """Add `mes`, the first day of the month in Chile of `hora`."""
    return frame.with_columns(mes=chile_date(pl.col("hora")).dt.month_start())


def name_events(events: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Rows of `fact_interrupciones` with names and mes, see `GoldFrames.events`."""
    year, month = pl.col("id_tiempo") // 1_000_000, pl.col("id_tiempo") // 10_000 % 100
    return (
        names.add(events.sort("inicio", "id_geografia", "id_empresa", "forma").lazy())
        .with_columns(hash_id=uuid_text("hash_id"), mes=pl.date(year, month, 1))
        .collect()
    )


@dataclass(frozen=True, slots=True)
class Names:
    """The dimensions, as small frames whose names are categories: joining and grouping by them costs little.

    Attributes:
        places: id_geografia, codigo_comuna, nombre_comuna, codigo_region, nombre_region.
        companies: id_empresa, nombre_empresa.
    """

    places: pl.DataFrame
    companies: pl.DataFrame

    def add(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Join the names to a frame with id_geografia and id_empresa, keeping its order."""
        category = pl.col(pl.String).cast(pl.Categorical)
        places, companies = self.places.lazy().with_columns(category), self.companies.lazy().with_columns(category)
        return frame.join(places, on="id_geografia", how="left", maintain_order="left").join(
            companies, on="id_empresa", how="left", maintain_order="left"
        )


def read_names(connection: ArrowConnection) -> Names:
    """The dimensions of places and companies."""
    return Names(connection.query(SQL["places"]), connection.query(SQL["companies"]))


def uuid_text(column: str) -> pl.Expr:
    """A UUID of 16 bytes, as it comes from PostgreSQL, in its usual spelling."""
    digits = pl.col(column).bin.encode("hex")
    return digits.str.replace("^(.{8})(.{4})(.{4})(.{4})", "$1-$2-$3-$4-")


def read_loads(connection: ArrowConnection) -> pl.DataFrame:
    """`cargas` with `mes`, ordered by hour.

    `version` changes whenever the hour's observations were written; `origen` says where its capture comes from.
    """
    rows = connection.query(SQL["loads"]).with_columns(origen=ORIGIN)
    return with_month(rows.drop("anfitrion", "fuente", "origen_cuerpo"))


def hour_calendar(ledger: pl.DataFrame, loads: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Every hour that is expected from the ledger's first month to its newest, with its state.

    Args:
        ledger: `capturas`: hora, estado, forma, n_filas, n_revisiones, sospechosa, total_nacional, diferencia_nacional.
        loads: `cargas`: hora.
        now: The present instant; only hours that have ended are expected.

    Returns:
        The ledger's columns for every hour, with mes and cargada, ordered by hour; estado is `pending` where the
        ledger has no row. A suspect hour is a corrupt cycle that stayed, and is loaded.
    """
    expected = source_hours(ledger["hora"].min(), ledger["hora"].max(), now)  # type: ignore[arg-type]
    return with_month(
        expected.join(ledger, on="hora", how="left")
        .join(loads.select("hora", cargada=pl.lit(value=True)), on="hora", how="left")
        .with_columns(
            pl.col("estado").fill_null("pending"),
            pl.col("n_revisiones").fill_null(0),
            pl.col("cargada", "sospechosa").fill_null(value=False),
        )
        .with_columns(sospechosa=pl.col("sospechosa") & pl.col("cargada"))
        .sort("hora")
    )


def source_hours(first: datetime | None, last: datetime | None, now: datetime) -> pl.DataFrame:
    """All hours that the source can have and that have ended, over the months of two instants.

    The rules are those of `sec_core.hours.closed_hours`, for decades at once.

    Returns:
        hora, in order; empty where an instant is missing.
    """
    if first is None or last is None:
        return pl.DataFrame(schema={"hora": UTC_TIME})
    end = min(Month.of(last).end, open_hour(now))
    hours = pl.datetime_range(Month.of(first).start, end, "1h", closed="left", time_unit="us", eager=True)
    wall = hours.dt.convert_time_zone(str(CHILE)).dt.replace_time_zone(None)
    return pl.DataFrame({"hora": hours}).filter(wall.is_first_distinct())


def read_customers(connection: ArrowConnection) -> pl.DataFrame:
    """`clientes_regionales` with the regions' names; the country's row is named by `customers.denominators`."""
    return connection.query(SQL["customers"], COUNTRY_CODE).cast(CUSTOMERS_SCHEMA)


def read_customer_origins(connection: ArrowConnection, bronze: BronzeStore) -> pl.DataFrame:
    """mes, origen of `clientes_regionales`: who answered stands in the names of the kept answers."""
    asked = connection.query(SQL["customer_answers"])
    known = [] if asked.is_empty() else bronze.answers("GetClientesNacional")
    rows = [(each.received_at, each.answered_by.host, each.answered_by.source, None) for each in known]
    schema = {"capturado_en": UTC_TIME} | dict.fromkeys(("anfitrion", "fuente", "origen_cuerpo"), pl.String())
    answers = pl.DataFrame(rows, schema=schema, orient="row")
    return asked.join(answers, on="capturado_en", how="left").select("mes", origen=ORIGIN)


def read_billed(connection: ArrowConnection) -> pl.DataFrame:
    """`facturacion_comunal` as customers by comuna take it: mes, codigo_comuna, clientes, fuente."""
    schema = pl.Schema({"mes": pl.Date, "codigo_comuna": pl.String, "clientes": pl.Int64, "fuente": pl.String})
    return connection.query(SQL["billed"]).cast(schema)


def hours_by_origin(loads: pl.DataFrame, denominators: pl.DataFrame | None = None) -> pl.DataFrame:
    """Count from where some loaded hours come.

    Args:
        loads: origen of each hour.
        denominators: origen of customers that figures are divided by.

    Returns:
        origen, horas; with 0 hours what only customers come from, unless that is unknown.
    """
    found = loads.group_by("origen").agg(horas=pl.len().cast(pl.Int64))
    if denominators is not None:
        others = denominators.filter(pl.col("origen") != UNKNOWN).select("origen").unique()
        found = pl.concat([found, others.join(found, on="origen", how="anti").with_columns(horas=pl.lit(0, pl.Int64))])
    return found.sort("origen")


def one_word(found: pl.DataFrame) -> str:
    """One word for hours by origin: theirs if it is the same for all.

    Of the SEC's and unknown hours together it is `desconocido`, of any others together `mixto`.
    """
    words = set(found["origen"])
    if len(words) == 1:
        return str(words.pop())
    return UNKNOWN if words <= {OWN, UNKNOWN} else MIXED


def others(found: list[dict[str, object]]) -> list[dict[str, object]]:
    """Those of some hours by origin that are not the SEC's."""
    return [each for each in found if each["origen"] not in {OWN, UNKNOWN}]


def in_words(foreign: list[dict[str, Any]]) -> str:
    """What `others` found, for a person."""
    return ", ".join(
        f"{counted(each['horas'], 'hour') if each['horas'] else 'customers of regions'} {each['origen']}"
        for each in foreign
    )
