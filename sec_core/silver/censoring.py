"""What gaps hide of events: whether they may have begun before or lasted beyond what was seen, hours unseen. Pure."""

import polars as pl

from sec_core.silver.columns import typed
from sec_core.silver.timeline import EventRules, source_index, usable_hours
from sec_core.source.shapes import Shape

ADDED = typed("censurado horas_sin_datos")


def with_censoring(events: pl.DataFrame, loaded: pl.DataFrame) -> pl.DataFrame:
    """Add `censurado` and `horas_sin_datos`.

    An event's hours with data are those that could show it: detailed ones, or aggregated ones of days without any
    detailed hour. Distances are counted in source hours.

    Args:
        events: forma, primera_hora, ultima_hora.
        loaded: hora, forma of the loaded hours of all days in Chile from the hour before the first event to the hour
            after the last one.

    Returns:
        The events in their order with `censurado` (`inicio`: the hour before `primera_hora` has no data; `fin`: the
        hour after `ultima_hora` has none; `inicio,fin`; null) and `horas_sin_datos` (hours without data between).
    """
    parts = [
        _of_shape(rows, source_index(loaded.filter(pl.col("forma") == Shape.DETAILED.value)["hora"].sort()))
        if shape == Shape.DETAILED.value
        else _of_shape(rows, usable_hours(loaded, EventRules())["indice"])
        for (shape,), rows in events.with_row_index("_fila").partition_by("forma", as_dict=True).items()
    ]
    none = pl.DataFrame(schema={"_fila": pl.UInt32(), **events.schema, **ADDED})
    return pl.concat([none, *parts]).sort("_fila").drop("_fila")


def _of_shape(events: pl.DataFrame, hours: pl.Series) -> pl.DataFrame:
    """The same of events of one shape, from the indices of all hours that could show them, in order."""
    first, last = source_index(events["primera_hora"]), source_index(events["ultima_hora"])
    begin, end = hours.search_sorted(first, "left"), hours.search_sorted(last, "right")
    before, after = hours.search_sorted(first - 1, "left") == begin, hours.search_sorted(last + 1, "right") == end
    missing = pl.concat_str(
        pl.when(before).then(pl.lit("inicio")), pl.when(after).then(pl.lit("fin")), separator=",", ignore_nulls=True
    )
    unseen = last - first + 1 - (end.cast(pl.Int64) - begin.cast(pl.Int64))
    return events.with_columns(censurado=missing.replace("", None), horas_sin_datos=unseen.cast(pl.Int32))
