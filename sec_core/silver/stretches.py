"""Stretches (table `tramos`): the part of an event that lies inside one month, with sums that can be merged. Pure.

An event of several months is its stretches put together. So a load makes only its own month's stretches anew, and
events follow from them without reading old observations, whatever the order in which months are loaded.

**Detailed** events are all observations of one comuna, company and start date, whatever lies between them: the
stretches of a key in different months merge by maximum, sum and union, in any order.

**Aggregated** events are runs of a comuna. From the contract: an event runs from a comuna's first hour at or above the
threshold (a *hit*) until `close_hours` consecutive captured hours lie below it; hours without data don't close it,
unless more than `max_gap_hours` of them lie in a row between two captured hours. A comuna absent from a captured hour
has 0. So two neighbouring hits are of one event if and only if fewer than `close_hours` usable hours lie between them,
and no run of more than `max_gap_hours` without data.

Which hours are usable is the same for all comunas (`timeline.usable_hours`): with the rank of an hour (`orden`) and its
run (`racha`), the two conditions are a difference and an equality.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Self

import polars as pl

from sec_core.reference.tables import NO_COMPANY
from sec_core.silver.columns import HORA, conform, typed
from sec_core.silver.timeline import EventRules, source_index
from sec_core.source.shapes import Shape

# What stretches are made for. The start date is null, and the company NO INFORMADA, in the aggregated shape.
KEY = ["id_geografia", "id_empresa", "fecha_inicio"]
STRETCH_KEY = ["mes", "forma", *KEY, "primera_hora"]
_SUMS = ("cliente_horas", "n_observaciones", "imputaciones")
_HOURS = ("primera_hora ultima_hora hora_maximo maximo", *_SUMS)
# Columns of `tramos`, in order.
#
# `previo_*` (aggregated only) is what the source listed below the threshold before `primera_hora`, since the stretch
# before: it belongs to the event only if the two stretches do. A row whose hours are null carries what was listed
# after the month's last stretch.
STRETCH_SCHEMA = typed("mes forma", *KEY, *_HOURS, *(f"previo_{name}" for name in _SUMS))
# Columns of a merged event before its identity, end and cap are known.
MERGED_SCHEMA = typed("forma", *KEY, *_HOURS)


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


def rows_differing(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """Rows that only one of two frames with the same columns has."""
    return pl.concat([rows_only_in(left, right), rows_only_in(right, left)])


def keys_differing(before: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """Different keys of `rows_differing`."""
    return rows_differing(before, now).select(KEY).unique()


# --- of a month, from its observations ---


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
            aggregated_stretches(observations.filter(~has_start), usable, rules, month),
            detailed_stretches(observations.filter(has_start), month),
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


def detailed_stretches(observations: pl.DataFrame, month: date) -> pl.DataFrame:
    """One row for each comuna, company and start date of a month (its first day)."""
    found = observations.sort("hora").group_by(KEY, maintain_order=True).agg(*_hours(), *_sums())
    return as_stretches(found.with_columns(mes=pl.lit(month), forma=pl.lit(Shape.DETAILED.value)))


def aggregated_stretches(
    observations: pl.DataFrame, usable: pl.DataFrame, rules: EventRules, month: date
) -> pl.DataFrame:
    """Runs of a month, and what it lists below the threshold at its borders; arguments as of `month_stretches`.

    Observations of hours that are not usable are passed over.
    """
    if usable.is_empty():
        return pl.DataFrame(schema=STRETCH_SCHEMA)
    listed = (
        observations.join(usable, on="hora")
        .sort("id_geografia", "hora")
        .with_columns(golpe=pl.col("clientes_afectados") >= rules.threshold)
    )
    hits = listed.filter("golpe").with_columns(_begins(rules).alias("nueva"))
    numbered = (
        listed.join(hits.select("id_geografia", "hora", "nueva"), on=["id_geografia", "hora"], how="left")
        .sort("id_geografia", "hora")
        .with_columns(cadena=pl.col("nueva").fill_null(value=False).cum_sum())
    )
    chains = (
        numbered.filter("golpe")
        .group_by("cadena")
        .agg(
            pl.col("id_geografia").first(),
            *_hours(),
            orden_primera=pl.col("orden").min(),
            orden_ultima=pl.col("orden").max(),
        )
    )
    rows = numbered.join(chains, on="cadena", how="left", suffix="_cadena")
    of_chain = (pl.col("id_geografia") == pl.col("id_geografia_cadena")).fill_null(value=False)
    inside = rows.filter(of_chain & (pl.col("orden") <= pl.col("orden_ultima")))
    found = chains.join(inside.group_by("cadena").agg(*_sums()), on="cadena")
    before, after = _borders(rows.filter(~of_chain | (pl.col("orden") > pl.col("orden_ultima"))), chains, usable, rules)
    found = found.join(before, on="cadena", how="left").with_columns(pl.col(r"^previo_.*$").fill_null(0))
    return as_stretches(
        pl.concat([found, after], how="diagonal").with_columns(
            mes=pl.lit(month), forma=pl.lit(Shape.AGGREGATED.value), id_empresa=pl.lit(NO_COMPANY)
        )
    )


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


def _begins(rules: EventRules, of_first: str = "", of_last: str = "") -> pl.Expr:
    """Whether a hit, in a frame sorted by comuna and hour, begins an event: it does not belong to the hit before it.

    `orden` and `racha` have these endings where rows are stretches: of their first and of their last hour.
    """
    together = (
        (pl.col("id_geografia") == pl.col("id_geografia").shift(1))
        & (pl.col(f"orden{of_first}") - pl.col(f"orden{of_last}").shift(1) - 1 < rules.close_hours)
        & (pl.col(f"racha{of_first}") == pl.col(f"racha{of_last}").shift(1))
    )
    return ~together.fill_null(value=False)


def _hours() -> list[pl.Expr]:
    """Hours and mark of a stretch, from its observations in their order."""
    return [
        pl.col("hora").min().alias("primera_hora"),
        pl.col("hora").max().alias("ultima_hora"),
        first_of_maximum("hora", "clientes_afectados").alias("hora_maximo"),
        pl.col("clientes_afectados").max().alias("maximo"),
    ]


def _sums(prefix: str = "") -> list[pl.Expr]:
    """What is counted over all listed hours, below the threshold or not."""
    return [
        pl.col("clientes_afectados").sum().alias(f"{prefix}cliente_horas"),
        pl.len().alias(f"{prefix}n_observaciones"),
        pl.col("imputaciones").bitwise_or().alias(f"{prefix}imputaciones"),
    ]


def _borders(
    outside: pl.DataFrame, chains: pl.DataFrame, usable: pl.DataFrame, rules: EventRules
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What is listed before a comuna's first stretch of the month and after its last one.

    It can belong to an event only where fewer than `close_hours` usable hours lie between the stretch and the
    border; elsewhere nothing is kept.
    """
    first, last = int(usable["orden"][0]), int(usable["orden"][-1])
    ends = chains.group_by("id_geografia").agg(
        cadena_primera=pl.col("cadena").min(),
        orden_primera=pl.col("orden_primera").min(),
        orden_ultima=pl.col("orden_ultima").max(),
    )
    rows = outside.drop("orden_primera", "orden_ultima").join(ends, on="id_geografia", how="left")
    before = rows.filter(
        (pl.col("orden") < pl.col("orden_primera")) & (pl.col("orden_primera") - first < rules.close_hours)
    )
    # A comuna without a stretch is passed through: all usable hours of the month lie between its neighbours.
    since = pl.col("orden_ultima").fill_null(first - 1)
    after = rows.filter((pl.col("orden") > since) & (pl.lit(last) - since < rules.close_hours))
    return (
        before.group_by(cadena=pl.col("cadena_primera")).agg(*_sums("previo_")),
        after.group_by("id_geografia").agg(*_sums("previo_")),
    )


# --- merged to events ---

_MERGED = (
    pl.col("primera_hora").min(),
    pl.col("ultima_hora").max(),
    first_of_maximum("hora_maximo", "maximo"),
    pl.col("maximo").max(),
)


def detailed_events(tramos: pl.DataFrame) -> pl.DataFrame:
    """Events of keys by `MERGED_SCHEMA`, from all their stretches of any months, in any order."""
    sums = pl.col("cliente_horas", "n_observaciones").sum(), pl.col("imputaciones").bitwise_or()
    merged = tramos.sort("hora_maximo").group_by(KEY).agg(pl.col("forma").first(), *_MERGED, *sums)
    return conform(merged, MERGED_SCHEMA)


def aggregated_events(tramos: pl.DataFrame, usable: pl.DataFrame, rules: EventRules) -> pl.DataFrame:
    """Events by `MERGED_SCHEMA`, from stretches of comunas: with each one, all that can belong to its event.

    `usable` needs at least the hours within `rules.reach` of a border between months of the stretches.
    """
    if tramos.is_empty():
        return pl.DataFrame(schema=MERGED_SCHEMA)
    rows = tramos.sort("id_geografia", "mes", "primera_hora", nulls_last=True)
    previous = pl.col("id_geografia", *(f"previo_{name}" for name in _SUMS))
    hits = rows.filter(pl.col("primera_hora").is_not_null())
    starts = usable.select(primera_hora="hora", orden_p="orden", racha_p="racha")
    ends = usable.select(ultima_hora="hora", orden_u="orden", racha_u="racha")
    hits = (
        hits.join(starts, on="primera_hora", how="left")
        .join(ends, on="ultima_hora", how="left")
        .with_columns(source_index(hits["primera_hora"]).alias("i_p"), source_index(hits["ultima_hora"]).alias("i_u"))
        .sort("id_geografia", "primera_hora")
    )
    # Ranks are exact only where all usable hours between are known; beyond the reach nothing is one event.
    begins = _begins(rules, "_p", "_u") | (pl.col("i_p") - pl.col("i_u").shift(1) > rules.reach).fill_null(value=True)
    hits = hits.with_columns(nueva=begins)
    marked = (
        rows.select("mes", "primera_hora", previous)
        .join(hits.drop(r"^previo_.*$"), on=["id_geografia", "mes", "primera_hora"], how="left")
        .sort("id_geografia", "mes", "primera_hora", nulls_last=True)
        .with_columns(evento=pl.col("nueva").fill_null(value=False).cum_sum())
    )
    # What was listed before the event's first stretch, or after its last one, is not of the event.
    last = pl.col("mes").filter(pl.col("primera_hora").is_not_null()).max()
    within = ~pl.col("nueva").fill_null(value=False) & (
        pl.col("primera_hora").is_not_null() | (pl.col("mes") < last.over("id_geografia", "evento"))
    )
    merged = (
        marked.with_columns(
            *(pl.when(within).then(f"previo_{name}").otherwise(0).alias(f"previo_{name}") for name in _SUMS)
        )
        .group_by("id_geografia", "evento")
        .agg(
            pl.col("forma", "id_empresa", "fecha_inicio").drop_nulls().first(),
            *_MERGED,
            *(pl.col(name).sum() + pl.col(f"previo_{name}").sum() for name in _SUMS[:2]),
            pl.col("imputaciones").fill_null(0).bitwise_or() | pl.col("previo_imputaciones").bitwise_or(),
        )
        .filter(pl.col("primera_hora").is_not_null())
    )
    return conform(merged, MERGED_SCHEMA)


def is_open(last_hour: pl.Series, usable: pl.DataFrame, rules: EventRules, newest: datetime) -> pl.Series:
    """Whether aggregated events, by their `ultima_hora`, are still open: nothing after their last hit closed them yet.

    That is where fewer than `close_hours` usable hours and no run of more than `max_gap_hours` without data lie after
    the last hit, up to and including `newest`, the newest loaded hour of the whole history. What is missing after it
    closes nothing. `usable` needs at least the hours within `rules.reach` before `newest`.
    """
    if usable.is_empty():
        return pl.repeat(value=False, n=last_hour.len(), dtype=pl.Boolean, eager=True)
    end = usable.row(-1, named=True)
    now = source_index(pl.Series([newest], dtype=HORA))[0]
    frame = pl.DataFrame({"hora": last_hour, "i": source_index(last_hour)}).join(
        usable.select("hora", "orden", "racha"), on="hora", how="left", maintain_order="left"
    )
    return frame.select(
        (
            (pl.col("i") >= now - rules.reach)
            & (end["orden"] - pl.col("orden") < rules.close_hours)
            & (pl.col("racha") == end["racha"])
            & (now - end["indice"] <= rules.max_gap_hours)
        ).fill_null(value=False)
    ).to_series()
