"""What the pages say, as small tables from Gold's frames. Pure; what is not known is null, never zero."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from sec_core.gold.customers import COUNTRY
from sec_core.gold.indices import year_indices
from sec_core.gold.monthly import STANDING_HOURS
from sec_core.silver.timeline import chile_date

Rows = list[dict[str, Any]]

# How far back hours are drawn.
RECENT: Final = timedelta(days=60)
# Cuts that a comuna's page lists.
LONGEST: Final = 10
_CUT: Final = (
    "codigo_comuna", "forma", "nombre_empresa", "primera_hora", "ultima_hora", "horas", "censurado",
    "clientes_afectados", "cliente_horas",
)  # fmt: skip
# What is there of a day, and how the site says so, before it is translated.
DAY_STATES: Final = {
    "complete": "all hours", "partial": "some hours", "empty": "no data at the source", "failed": "could not be had",
    "pending": "not asked yet",
}  # fmt: skip


@dataclass(frozen=True)
class SiteFrames:
    """What the site is made from.

    Attributes:
        payloads: JSON-ready rows of all payloads, by id.
        comunas: As `comunas.parquet`.
        comunal: As `indices_comunales.parquet`.
        regional: As `indices_regionales.parquet`.
        years: serie (code of a comuna, name of a region, or `CHILE`) and the columns of `estimates.years`.
        hours: Every ended hour, see `frames.hour_calendar`.
        region_hours: hora, serie, clientes: regions, UNKNOWN and the country, all loaded hours that list any.
        panel: Lazily, hora, codigo_comuna, clientes_afectados of the last 60 days at least: see `panel.PANEL_COLUMNS`.
        events: The events, see `frames.GoldFrames`.
        storms: `storm_curves.STORMS_SCHEMA`, with nombre and nota where these are known.
        curves: `storms.CURVES_SCHEMA`.
        companies: `storm_catalogue.COMPANIES_SCHEMA`.
    """

    payloads: Mapping[str, Rows]
    comunas: pl.DataFrame
    comunal: pl.DataFrame
    regional: pl.DataFrame
    years: pl.DataFrame
    hours: pl.DataFrame
    region_hours: pl.DataFrame
    panel: pl.LazyFrame
    events: pl.DataFrame
    storms: pl.DataFrame
    curves: pl.DataFrame
    companies: pl.DataFrame

    @cached_property
    def by_comuna(self) -> pl.DataFrame:
        """Each comuna's index by year, with its rank among the comunas of its region and of its size.

        Returns:
            codigo_comuna, anho, metodo, cobertura, interpolada, cliente_horas, clientes (mean of the months), saidi,
            saidi_inf, saidi_sup, punta (share of customers out in one hour), and for `region` and `cuartil` lugar_ (1:
            most hours without supply), mejor_ and peor_ (where it may stand by the intervals), de_ (how many).
        """
        # Quarters by customers, the fewest first; a comuna without customers is in none.
        served = pl.when(pl.col("clientes") > 0).then("clientes")
        quarter = ((served.rank("ordinal") - 1) * 4 // served.count() + 1).cast(pl.Int64)
        groups = self.comunas.select("codigo_comuna", region="codigo_region", cuartil=quarter)
        table = (
            year_indices(self.years, self.comunal, "codigo_comuna")
            .join(groups, on="codigo_comuna")
            .drop("horas", "observadas", "interpoladas")
        )
        return _ranked(_ranked(table, "codigo_comuna", "region"), "codigo_comuna", "cuartil")

    @cached_property
    def by_region(self) -> pl.DataFrame:
        """Each region's index by year, and the country's, with its rank among regions; columns as `by_comuna`."""
        table = year_indices(self.years, self.regional, "nombre_region")
        regions = pl.when(pl.col("nombre_region") != COUNTRY).then(pl.lit("CL"))
        return _ranked(table.with_columns(pais=regions), "nombre_region", "pais").drop("pais")


@dataclass(frozen=True)
class HourGrid:
    """Series over neighbouring hours.

    Attributes:
        hours: The hours, UTC.
        known: Which of them are loaded and not suspect.
        values: Customers out by series; what stands in an unknown hour means nothing.
    """

    hours: list[datetime]
    known: NDArray[np.bool_]
    values: dict[str, NDArray[np.int64]]

    def of(self, series: str) -> NDArray[np.int64]:
        """A series; nothing listed is 0 in the known hours."""
        return self.values.get(series, np.zeros(len(self.hours), dtype=np.int64))

    def newest(self, series: str) -> int | None:
        """Customers out in the last hour, which `recent_grid` chooses known; None without hours."""
        return int(self.of(series)[-1]) if self.hours else None

    @cached_property
    def _written(self) -> orjson.Fragment:
        return orjson.Fragment(orjson.dumps(self.hours, option=orjson.OPT_UTC_Z))

    def listed(self, series: str) -> dict[str, Any]:
        """The hours (JSON, written once for all series) as `hora`, and clientes, null where nothing is known."""
        pairs = zip(self.of(series).tolist(), self.known.tolist(), strict=True)
        return {"hora": self._written, "clientes": [value if known else None for value, known in pairs]}


def usable(hours: pl.DataFrame) -> pl.DataFrame:
    """Hora and known: whether an hour counts."""
    return hours.select("hora", known=pl.col("cargada") & ~pl.col("sospechosa"))


def grid(hours: pl.DataFrame, series: pl.DataFrame) -> HourGrid:
    """Series over some hours.

    Args:
        hours: hora, known; in order.
        series: hora, serie, clientes.
    """
    wide = series.join(hours, on="hora", how="semi").pivot("serie", index="hora", values="clientes")
    placed = hours.join(wide, on="hora", how="left", maintain_order="left").fill_null(0)
    values = {name: placed[name].to_numpy() for name in wide.columns[1:]}
    return HourGrid(hours["hora"].to_list(), hours["known"].to_numpy().astype(bool), values)


def recent_grid(frames: SiteFrames) -> HourGrid:
    """Comunas, regions and the country over the last 60 days before the newest loaded hour."""
    hours = usable(frames.hours)
    newest = hours.filter("known")["hora"].max()
    if newest is None:
        return HourGrid([], np.zeros(0, dtype=bool), {})
    first = newest - RECENT  # type: ignore[operator]
    window = pl.col("hora").is_between(first, newest, closed="right")
    serie, clientes = pl.col("codigo_comuna").cast(pl.String), pl.col("clientes_afectados").cast(pl.Int64)
    listed = frames.panel.filter(window, serie != "").select("hora", serie=serie, clientes=clientes).collect()
    regions = frames.region_hours.select("hora", "serie", "clientes")
    return grid(hours.filter(window), pl.concat([listed, regions]))


def daily_peaks(frames: SiteFrames) -> pl.DataFrame:
    """Every day: dia, clientes (most out at once in the country, null without a known hour), cobertura."""
    day = chile_date(pl.col("hora"))
    hours = usable(frames.hours).with_columns(dia=day)
    country = frames.region_hours.filter(pl.col("serie") == COUNTRY).select("hora", "clientes")
    return (
        hours.join(country, on="hora", how="left")
        .group_by("dia")
        .agg(clientes=pl.col("clientes").fill_null(0).filter("known").max(), cobertura=pl.col("known").mean())
        .sort("dia")
    )


def spans(hours: pl.DataFrame) -> dict[int, tuple[Any, Any, bool]]:
    """First and last ended day of each year, and whether that is the whole year."""
    day = chile_date(pl.col("hora"))
    found = hours.group_by(anho=day.dt.year()).agg(desde=day.min(), hasta=day.max()).sort("anho")
    whole = (pl.col("desde") == pl.date("anho", 1, 1)) & (pl.col("hasta") == pl.date("anho", 12, 31))
    return {
        year: (first, last, all_of_it) for year, first, last, all_of_it in found.with_columns(entero=whole).iter_rows()
    }


def _ranked(table: pl.DataFrame, key: str, group: str) -> pl.DataFrame:
    """Indices by year with their ranks in a group; what has no index or no group has none."""
    known = table.drop_nulls(["saidi", group]).select(key, "anho", group, "saidi", "saidi_inf", "saidi_sup")
    ranks = (
        known.join(known, on=["anho", group], suffix="_otra")
        .group_by(key, "anho")
        .agg(
            (1 + (pl.col("saidi_otra") > pl.col("saidi")).sum()).alias(f"lugar_{group}"),
            (1 + (pl.col("saidi_inf_otra") > pl.col("saidi_sup")).sum()).alias(f"mejor_{group}"),
            (pl.len() - (pl.col("saidi_sup_otra") < pl.col("saidi_inf")).sum()).alias(f"peor_{group}"),
            pl.len().alias(f"de_{group}"),
        )
    )
    return table.join(ranks, on=[key, "anho"], how="left").sort(key, "anho")


def longest_cuts(events: pl.DataFrame) -> pl.DataFrame:
    """The longest cuts of each comuna, from the first hour seen to the last: the first ten by comuna.

    Returns:
        codigo_comuna, forma, nombre_empresa, primera_hora, ultima_hora, horas, abierta, censurado, estancada,
        clientes_afectados, cliente_horas.
    """
    hours = (pl.col("ultima_hora") - pl.col("primera_hora")).dt.total_hours() + 1
    return (
        events.lazy()
        .with_columns(horas=hours)
        # Few enough are left to be sorted by text.
        .filter(pl.col("horas") >= pl.col("horas").top_k(LONGEST).min().over("codigo_comuna"))
        .with_columns(pl.col("codigo_comuna", "forma", "nombre_empresa", "censurado").cast(pl.String))
        .filter(pl.col("codigo_comuna") != "")
        .sort("horas", "cliente_horas", "hash_id", descending=[True, True, False])
        .group_by("codigo_comuna", maintain_order=True)
        .head(LONGEST)
        # One that is listed for so long may be a row that the source forgot.
        .select(*_CUT, abierta=pl.col("fin").is_null(), estancada=pl.col("horas") >= STANDING_HOURS)
        .collect()
    )


def events_by_year(events: pl.DataFrame, place: str) -> pl.DataFrame:
    """Events seen and customers affected by place and year of the beginning: serie, anho, eventos, afectados."""
    return (
        events.lazy()
        .group_by(pl.col(place).cast(pl.String).alias("serie"), anho=pl.col("mes").dt.year())
        .agg(eventos=pl.len().cast(pl.Int64), afectados=pl.col("clientes_afectados").sum())
        .sort("serie", "anho")
        .collect()
    )


def day_states(hours: pl.DataFrame) -> pl.DataFrame:
    """One row for each day: dia, mes, estado, see `DAY_STATES`."""
    captured, state = pl.col("estado") == "captured", pl.col("estado")
    of_day = {
        "complete": captured.all(),
        "partial": captured.any(),
        "failed": state.is_in(["failed", "quarantined"]).any(),
        "empty": (state == "empty").any(),
        "pending": pl.lit(value=True),
    }
    first = pl.coalesce(pl.when(holds).then(pl.lit(name)) for name, holds in of_day.items())
    return hours.group_by(chile_date(pl.col("hora")).alias("dia"), "mes").agg(estado=first).sort("dia")


def storm_places(curves: pl.DataFrame) -> pl.DataFrame:
    """What each comuna had out above its usual level in each storm: id, codigo_comuna, punta, hora_punta."""
    return (
        curves.sort("clientes_afectados", "hora", descending=[True, False])
        .group_by("id", "codigo_comuna", maintain_order=True)
        .agg(punta=pl.col("clientes_afectados").first(), hora_punta=pl.col("hora").first())
    )
