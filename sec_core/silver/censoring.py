"""What gaps hide of events: whether they may have begun before or lasted beyond what was seen, hours unseen. Pure."""

from __future__ import annotations

import polars as pl

from sec_core.silver.timeline import EventRules, source_index, usable_hours
from sec_core.source.shapes import Shape


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
    first, last = source_index(events["primera_hora"]), source_index(events["ultima_hora"])
    detailed = source_index(loaded.filter(pl.col("forma") == Shape.DETAILED.value)["hora"].sort())
    frames = []
    for shape, index in ((Shape.DETAILED, detailed), (Shape.AGGREGATED, usable_hours(loaded, EventRules())["indice"])):
        begin, end = index.search_sorted(first, "left"), index.search_sorted(last, "right")
        frames.append(
            pl.DataFrame(
                {
                    f"antes_{shape}": index.search_sorted(first - 1, "left") == begin,
                    f"despues_{shape}": index.search_sorted(last + 1, "right") == end,
                    f"vistas_{shape}": end.cast(pl.Int64) - begin.cast(pl.Int64),
                }
            )
        )
    own = pl.col("forma") == Shape.DETAILED.value
    before, after, seen = (
        pl.when(own).then(f"{name}_{Shape.DETAILED}").otherwise(f"{name}_{Shape.AGGREGATED}")
        for name in ("antes", "despues", "vistas")
    )
    return (
        pl.concat([events, *frames, pl.DataFrame({"_horas": last - first + 1})], how="horizontal")
        .with_columns(
            censurado=pl.when(before & after)
            .then(pl.lit("inicio,fin"))
            .when(before)
            .then(pl.lit("inicio"))
            .when(after)
            .then(pl.lit("fin")),
            horas_sin_datos=(pl.col("_horas") - seen).cast(pl.Int32),
        )
        .select(*events.columns, "censurado", "horas_sin_datos")
    )
