"""Stretches (table `tramos`): the part of an event that lies inside one month, with sums that can be merged.

An event of several months is its stretches put together. So a load makes only its own month's stretches anew, and
events follow from them without reading old observations, whatever the order in which months are loaded.
"""

from dataclasses import dataclass
from typing import Self

import polars as pl

from sec_core.silver.columns import conform, typed

# What stretches are made for. The start date is null, and the company NO INFORMADA, in the aggregated shape.
KEY = ["id_geografia", "id_empresa", "fecha_inicio"]
STRETCH_KEY = ["mes", "forma", *KEY, "primera_hora"]
_HOURS = "primera_hora ultima_hora hora_maximo maximo cliente_horas n_observaciones imputaciones"
# Columns of `tramos`, in order.
#
# `previo_*` (aggregated only) is what the source listed below the threshold before `primera_hora`, since the stretch
# before: it belongs to the event only if the two stretches do. A row whose hours are null carries what was listed
# after the month's last stretch.
STRETCH_SCHEMA = typed("mes forma", *KEY, _HOURS, "previo_cliente_horas previo_n_observaciones previo_imputaciones")
# Columns of a merged event before its identity, end and cap are known.
MERGED_SCHEMA = typed("forma", *KEY, _HOURS)


@dataclass(frozen=True, slots=True)
class StretchChanges:
    """A month's stretches before and after, and the keys whose stretches differ."""

    states: tuple[pl.DataFrame, pl.DataFrame]
    keys: pl.DataFrame

    @classmethod
    def between(cls, before: pl.DataFrame, after: pl.DataFrame) -> Self:
        """Compare two states of a month."""
        return cls((before, after), keys_differing(before, after))


def rows_only_in(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """Rows of one frame that another with the same columns lacks, in any order."""
    if left.is_empty() or right.is_empty():
        return left
    return left.join(right, on=left.columns, how="anti", nulls_equal=True)


def keys_differing(before: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """Different keys of the rows that only one of two frames with the same columns has."""
    return pl.concat([rows_only_in(before, now), rows_only_in(now, before)]).select(KEY).unique()


def no_stretches() -> pl.DataFrame:
    """A frame of stretches without rows."""
    return pl.DataFrame(schema=STRETCH_SCHEMA)


def as_stretches(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with exactly the columns of `tramos`, sorted by key; missing ones are null or 0."""
    missing = [name for name in STRETCH_SCHEMA if name not in frame.columns]
    filled = frame.with_columns(pl.lit(0 if name.startswith("previo_") else None).alias(name) for name in missing)
    return conform(filled, STRETCH_SCHEMA).sort(STRETCH_KEY, nulls_last=True)


def first_of_maximum(hour: str, value: str) -> pl.Expr:
    """The first hour that reached the group's highest value; the rows have to be in the order of that hour.

    Filtering each group by its maximum would need no order, and takes ten times as long.
    """
    # Of a column that Polars knows to be sorted, `arg_max` is the last of equal values; a computed one is not known.
    computed = pl.when(pl.col(value).is_not_null()).then(value)
    return pl.col(hour).get(computed.arg_max())
