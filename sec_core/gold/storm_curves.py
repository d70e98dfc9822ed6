"""A storm's curve, what is measured on it, and how fast supply came back, compared over years, places and companies.

What a gap hides is null: a value is given only if the hours that decide it are loaded. A region's or company's part of
a storm is measured from its own peak. Nothing is compared over what was seen differently: groups are of storms whose
hours were all seen, or of those with gaps, which six-hourly years have always.
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sec_core.hours import CHILE
from sec_core.silver.columns import HORA
from sec_core.silver.timeline import chile_date

# The usual level of a comuna is its median over so many hours before the first hit.
USUAL_HOURS: Final = 168

END_SHARE: Final = 0.05
END_HOURS: Final = 2
LONGEST_HOURS: Final = 720
HOUR_US: Final = 3_600_000_000
FULL_COVERAGE: Final = 0.95
LEFT: Final = 0.1
SIZES: Final = (30_000, 100_000, 300_000)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
STORMS_SCHEMA: Final = pl.Schema(
    {"id": pl.String()}
    | dict.fromkeys(("inicio", "fin", "hora_punta"), HORA)
    | dict.fromkeys(("punta", "cliente_horas"), pl.Int64())
    | {"comunas": pl.Int32(), "regiones": pl.String()}
    | dict.fromkeys(("horas_hasta_punta", "horas_50", "horas_90", "horas_95"), pl.Int32())
    | dict.fromkeys(("salidas", "reposiciones", "reposicion_maxima"), pl.Int64())
    | {"cobertura": pl.Float64(), "abierta": pl.Boolean()}
)
CURVES_SCHEMA: Final = pl.Schema(
    {"id": pl.String(), "hora": HORA, "codigo_comuna": pl.String(), "clientes_afectados": pl.Int64()}
)


@dataclass(frozen=True, slots=True)
class Curve:
    """A storm as arrays.

    Attributes:
        id: Its identity.
        first: Position of its first loaded hour.
        comunas: Positions of its comunas.
        excess: What they have out above their usual level, by loaded hour and comuna; with the hours that end it.
        hours: Number of loaded hours before its end.
        end: Its end, microseconds; None while it is open.
    """

    id: str
    first: int
    comunas: NDArray[np.int64]
    excess: NDArray[np.int64]
    hours: int
    end: np.int64 | None


def storm_id(first: datetime, lowest_code: str) -> str:
    """The identity of a storm: MD5 of `YYYYMMDDTHH|code`, first hour in Chile and lowest code hit in it."""
    key = f"{first.astimezone(CHILE):%Y%m%dT%H}|{lowest_code}"
    return str(uuid.UUID(hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()))


def instant(microseconds: np.int64) -> datetime:
    """A position in time as an instant, UTC."""
    return _EPOCH + timedelta(microseconds=int(microseconds))


@dataclass(frozen=True, slots=True)
class World:
    """The panel as arrays.

    Attributes:
        hours: Loaded hours, microseconds since 1970, in order.
        codes: Codes of the comunas, in order.
        values: Customers out, by hour and comuna.
        expected: All hours that the source can have, microseconds, in order.
    """

    hours: NDArray[np.int64]
    codes: list[str]
    values: NDArray[np.int32]
    expected: NDArray[np.int64]

    def span(self, cells: NDArray[np.int64]) -> tuple[np.int64, np.int64]:
        """The first and last instant whose values can matter to a set."""
        hours = self.hours[cells[[0, -1], 0]]
        return hours[0] - USUAL_HOURS * HOUR_US, hours[1] + LONGEST_HOURS * HOUR_US

    def curve(self, cells: NDArray[np.int64]) -> Curve:
        """The window of a set and what its comunas have out above their usual level."""
        first, lowest = (int(each) for each in cells[0])
        start = self.hours[first]
        name = storm_id(instant(start), self.codes[lowest])
        comunas = np.unique(cells[:, 1])
        before = int(np.searchsorted(self.hours, start - USUAL_HOURS * HOUR_US))
        usual = np.median(self.values[before:first, comunas], axis=0) if before < first else np.zeros(len(comunas))
        limit = start + LONGEST_HOURS * HOUR_US
        longest = int(np.searchsorted(self.hours, limit))
        excess = np.rint(np.maximum(self.values[first:longest, comunas] - usual, 0)).astype(np.int64)
        total = excess.sum(axis=1)
        peak_so_far = np.maximum.accumulate(total)
        low = (total <= END_SHARE * peak_so_far) & (peak_so_far > 0)
        ends = np.flatnonzero(low[:-1] & low[1:])
        if len(ends):
            stop = int(ends[0])
            return Curve(name, first, comunas, excess[: stop + END_HOURS], stop, self.hours[first + stop])
        return Curve(name, first, comunas, excess, len(excess), limit if longest < len(self.hours) else None)

    def measures(self, curve: Curve) -> tuple[object, ...]:
        """A row of `STORMS_SCHEMA`."""
        total = curve.excess.sum(axis=1)
        hours = self.hours[curve.first : curve.first + len(total)]
        peak_at = int(np.argmax(total))
        whole = self._no_gap(curve.first, curve.first + len(total) - 1)
        begin_seen = self._no_gap(curve.first - 1, curve.first)
        peak_seen = begin_seen and self._no_gap(curve.first, min(curve.first + peak_at + 1, len(self.hours) - 1))
        change = np.diff(total[: curve.hours + 1], prepend=0)
        expected = self._expected_between(hours[0], hours[-1] + HOUR_US if curve.end is None else curve.end)
        return (
            curve.id,
            instant(hours[0]),
            None if curve.end is None else instant(curve.end),
            instant(hours[peak_at]),
            int(total[peak_at]),
            int(total[: curve.hours].sum()) if whole else None,
            len(curve.comunas),
            ",".join(sorted({self.codes[int(comuna)][:2] for comuna in curve.comunas})),
            _hours_between(hours[0], hours[peak_at]) if peak_seen else None,
            *(self._restored(curve, total, peak_at, left) for left in (0.5, 0.1, 0.05)),
            int(change[change > 0].sum()) if whole and begin_seen else None,
            int(-change[change < 0].sum()) if whole else None,
            int(max(-change.min(), 0)) if whole else None,
            curve.hours / expected,
            curve.end is None,
        )

    def rows(self, curve: Curve) -> pl.DataFrame:
        """Rows of `CURVES_SCHEMA`."""
        hour, comuna = np.nonzero(curve.excess)
        return pl.DataFrame(
            {
                "id": np.repeat(curve.id, len(hour)),
                "hora": self.hours[curve.first + hour],
                "codigo_comuna": np.array(self.codes)[curve.comunas[comuna]],
                "clientes_afectados": curve.excess[hour, comuna],
            }
        ).cast(CURVES_SCHEMA)

    def _restored(self, curve: Curve, total: NDArray[np.int64], peak_at: int, share: float) -> int | None:
        """Hours from the peak until the curve first is at or under a share of it; None while open or behind a gap."""
        under = np.flatnonzero(total[peak_at:] <= share * total[peak_at])
        if not len(under):
            return None
        at = curve.first + peak_at + int(under[0])
        return _hours_between(self.hours[curve.first + peak_at], self.hours[at]) if self._no_gap(at - 1, at) else None

    def _no_gap(self, first: int, last: int) -> bool:
        """Whether all expected hours between two loaded ones are loaded too."""
        return first >= 0 and self._expected_between(self.hours[first], self.hours[last]) == last - first

    def _expected_between(self, start: np.int64, end: np.int64) -> int:
        first, last = np.searchsorted(self.expected, [start, end])
        return int(last - first)


def _hours_between(start: np.int64, end: np.int64) -> int:
    return int((end - start) // HOUR_US)


def restored(parts: pl.DataFrame, storms: pl.DataFrame, calendar: pl.DataFrame) -> pl.DataFrame:
    """Measure parts of storms.

    Args:
        parts: id, parte, hora, clientes_afectados: without zeros.
        storms: By `STORMS_SCHEMA`.
        calendar: hora, cargada, sospechosa of all expected hours.

    Returns:
        id, parte, punta, horas_90 (from the part's own peak until a tenth of it is left; null where a gap hides it, or
        it is not reached before the storm ends).
    """
    usable = pl.col("cargada") & ~pl.col("sospechosa")
    hours = calendar.sort("hora").select("hora", usable=usable, antes=usable.shift(1)).filter("usable")
    out = pl.col("clientes_afectados")
    top = parts.group_by("id", "parte").agg(punta=out.max(), hora_punta=pl.col("hora").filter(out == out.max()).min())
    after = (
        storms.select("id", "inicio", hasta=pl.coalesce("fin", pl.lit(hours["hora"].max(), HORA)))
        .join_where(hours, pl.col("hora") >= pl.col("inicio"), pl.col("hora") <= pl.col("hasta"))
        .join(top, on="id")
        .filter(pl.col("hora") > pl.col("hora_punta"))
        .join(parts, on=["id", "parte", "hora"], how="left")
        .filter(out.fill_null(0) <= LEFT * pl.col("punta"))
    )
    first = after.sort("hora").group_by("id", "parte").agg(pl.col("hora", "antes").first())
    return (
        top.join(first, on=["id", "parte"], how="left")
        .with_columns(horas_90=pl.when("antes").then((pl.col("hora") - pl.col("hora_punta")).dt.total_hours()))
        .select("id", "parte", "punta", "horas_90")
        .sort("id", "parte")
    )


def compared(storms: pl.DataFrame, regions: pl.DataFrame, companies: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Restoration by year and size, by region, and by company.

    Args:
        storms: By `STORMS_SCHEMA`.
        regions: `restored` of their regions.
        companies: `restored` of companies.

    Returns:
        Frames of grupo (year, code or name), tamano (lower bound of the peak), completa (all hours seen), tormentas,
        medidas (those with a time), and medians of punta, horas_90 and cobertura; ordered by their groups.
    """
    seen = storms.select("id", "cobertura")
    year = chile_date(pl.col("inicio")).dt.year().cast(pl.String)
    whole = storms.select("punta", "horas_90", "cobertura", grupo=year)
    frames = {"anho": whole, "region": regions.join(seen, on="id"), "empresa": companies.join(seen, on="id")}
    sizes = pl.sum_horizontal(pl.col("punta") >= size for size in SIZES)
    return {
        name: frame.rename({"parte": "grupo"}, strict=False)
        .with_columns(
            completa=pl.col("cobertura") >= FULL_COVERAGE,
            tamano=sizes.replace_strict(range(len(SIZES) + 1), (0, *SIZES), return_dtype=pl.Int64),
        )
        .group_by("grupo", "tamano", "completa")
        .agg(
            pl.len().alias("tormentas"),
            medidas=pl.col("horas_90").count(),
            **{column: pl.col(column).median() for column in ("punta", "horas_90", "cobertura")},
        )
        .sort("grupo", "tamano", "completa")
        for name, frame in frames.items()
    }
