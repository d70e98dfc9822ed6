"""Stretches of a month, of both shapes, and which of them a change of some of its hours can touch. Pure."""

from datetime import date

import polars as pl

from sec_core.silver import aggregated, detailed
from sec_core.silver.stretches import KEY
from sec_core.silver.timeline import EventRules


def month_stretches(observations: pl.DataFrame, usable: pl.DataFrame, rules: EventRules, month: date) -> pl.DataFrame:
    """Stretches of both shapes by `STRETCH_SCHEMA`, each key's from its own observations alone.

    Args:
        observations: Observations of the month; of some keys all of them.
        usable: The month's hours that make aggregated events, by `timeline.usable_hours`.
        rules: Rules of aggregated events.
        month: First day of the month.
    """
    has_start = pl.col("fecha_inicio").is_not_null()
    return pl.concat(
        [
            aggregated.stretches(observations.filter(~has_start), usable, rules, month),
            detailed.stretches(observations.filter(has_start), month),
        ]
    )


def keys_touched(
    before: pl.DataFrame, changed: pl.DataFrame, usable_before: pl.DataFrame, usable: pl.DataFrame
) -> pl.DataFrame | None:
    """Keys whose stretches can differ after some hours of a month were replaced; None where any can.

    Any can where usable hours came or went elsewhere than at the end. With hours added at the end all ranks and runs
    stay, and what they add to a comuna that they do not list is that figures kept for the month's far border may no
    longer matter.

    `changed` are keys of which these hours list something else than before, and all that hours list that were loaded
    but not usable, and now are.
    """
    if not usable.head(usable_before.height).equals(usable_before):
        return None
    keys = [changed]
    if usable.height > usable_before.height:
        keys.append(before.filter(pl.col("primera_hora").is_null()).select(KEY))
    return pl.concat(keys).unique()
