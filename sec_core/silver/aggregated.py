"""Aggregated events: runs of a comuna over the threshold. Pure.

From the contract: an event runs from a comuna's first hour at or above the threshold (a *hit*) until `close_hours`
consecutive captured hours lie below it; hours without data don't close it, unless more than `max_gap_hours` of them lie
in a row between two captured hours. A comuna absent from a captured hour has 0. So two neighbouring hits are of one
event if and only if fewer than `close_hours` usable hours lie between them, and no run of more than `max_gap_hours`
without data.

Which hours are usable is the same for all comunas (`timeline.usable_hours`): with the rank of an hour (`orden`) and its
run (`racha`), the two conditions are a difference and an equality.
"""

from datetime import date, datetime

import polars as pl

from sec_core.reference.tables import NO_COMPANY
from sec_core.silver.columns import conform
from sec_core.silver.stretches import MERGED_SCHEMA, as_stretches, first_of_maximum, no_stretches
from sec_core.silver.timeline import EventRules, index_of, source_index
from sec_core.source.shapes import Shape

_SUMS = ("cliente_horas", "n_observaciones", "imputaciones")


def stretches(observations: pl.DataFrame, usable: pl.DataFrame, rules: EventRules, month: date) -> pl.DataFrame:
    """Stretches of a month, and what it lists below the threshold at its borders, by `STRETCH_SCHEMA`.

    Args:
        observations: Observations of the month's aggregated hours; those of hours that are not usable are passed over.
        usable: The month's usable hours, by `timeline.usable_hours`.
        rules: Threshold and closing rules.
        month: First day of the month.
    """
    if usable.is_empty():
        return no_stretches()
    listed = (
        observations.join(usable, on="hora")
        .sort("id_geografia", "hora")
        .with_columns(golpe=pl.col("clientes_afectados") >= rules.threshold)
    )
    hits = listed.filter("golpe").with_columns(_begins(rules, "orden", "orden", "racha", "racha").alias("nueva"))
    numbered = (
        listed.join(hits.select("id_geografia", "hora", "nueva"), on=["id_geografia", "hora"], how="left")
        .sort("id_geografia", "hora")
        .with_columns(cadena=pl.col("nueva").fill_null(value=False).cum_sum())
    )
    chains = _chains(numbered.filter("golpe"))
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


def _begins(rules: EventRules, order: str, order_before: str, run: str, run_before: str) -> pl.Expr:
    """Whether a hit, in a frame sorted by comuna and hour, begins an event: it does not belong to the hit before it."""
    together = (
        (pl.col("id_geografia") == pl.col("id_geografia").shift(1))
        & (pl.col(order) - pl.col(order_before).shift(1) - 1 < rules.close_hours)
        & (pl.col(run) == pl.col(run_before).shift(1))
    )
    return ~together.fill_null(value=False)


def _sums(prefix: str = "") -> list[pl.Expr]:
    """What is counted over all listed hours, below the threshold or not."""
    return [
        pl.col("clientes_afectados").sum().alias(f"{prefix}cliente_horas"),
        pl.len().alias(f"{prefix}n_observaciones"),
        pl.col("imputaciones").bitwise_or().alias(f"{prefix}imputaciones"),
    ]


def _chains(hits: pl.DataFrame) -> pl.DataFrame:
    return hits.group_by("cadena").agg(
        pl.col("id_geografia").first(),
        primera_hora=pl.col("hora").min(),
        ultima_hora=pl.col("hora").max(),
        hora_maximo=first_of_maximum("hora", "clientes_afectados"),
        maximo=pl.col("clientes_afectados").max(),
        orden_primera=pl.col("orden").min(),
        orden_ultima=pl.col("orden").max(),
    )


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


def events(tramos: pl.DataFrame, usable: pl.DataFrame, rules: EventRules) -> pl.DataFrame:
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
    begins = _begins(rules, "orden_p", "orden_u", "racha_p", "racha_u") | (
        pl.col("i_p") - pl.col("i_u").shift(1) > rules.reach
    ).fill_null(value=True)
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
            pl.col("primera_hora").min(),
            pl.col("ultima_hora").max(),
            first_of_maximum("hora_maximo", "maximo"),
            pl.col("maximo").max(),
            *(pl.col(name).sum() + pl.col(f"previo_{name}").sum() for name in _SUMS[:2]),
            pl.col("imputaciones").fill_null(0).bitwise_or() | pl.col("previo_imputaciones").bitwise_or(),
        )
        .filter(pl.col("primera_hora").is_not_null())
    )
    return conform(merged, MERGED_SCHEMA)


def is_open(last_hour: pl.Series, usable: pl.DataFrame, rules: EventRules, newest: datetime) -> pl.Series:
    """Whether events, by their `ultima_hora`, are still open: nothing after their last hit closed them yet.

    That is where fewer than `close_hours` usable hours and no run of more than `max_gap_hours` without data lie after
    the last hit, up to and including `newest`, the newest loaded hour of the whole history. What is missing after it
    closes nothing. `usable` needs at least the hours within `rules.reach` before `newest`.
    """
    if usable.is_empty():
        return pl.repeat(value=False, n=last_hour.len(), dtype=pl.Boolean, eager=True)
    end = usable.row(-1, named=True)
    now = index_of(newest)
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
