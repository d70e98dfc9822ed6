"""What kept bodies say, read again and held against what PostgreSQL holds: observations and events of some hours.

The rules are Silver's own pure functions; nothing that Silver or Gold computed is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from sec_core.blobs.at_once import at_once
from sec_core.blobs.model import BlobMissing
from sec_core.blobs.place import width
from sec_core.bronze.ledger_table import to_capture
from sec_core.bronze.sealed import BodyDamaged
from sec_core.gold.frames import UTC_TIME, uuid_text
from sec_core.gold.origin import ORIGIN, hours_by_origin
from sec_core.hours import CHILE, Month
from sec_core.reference.names import default_names
from sec_core.silver import aggregated, detailed
from sec_core.silver.censoring import with_censoring
from sec_core.silver.event_updates import whole_days
from sec_core.silver.events import EVENT_SCHEMA, finish
from sec_core.silver.imputation import Imputacion, Regla
from sec_core.silver.month_stretches import month_stretches
from sec_core.silver.observations import OBSERVATION_SCHEMA, Observed, Snapshot, observe
from sec_core.silver.stretches import rows_only_in
from sec_core.silver.timeline import usable_hours
from sec_core.source.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sec_core.bronze.ledger_rules import Capture
    from sec_core.bronze.store import BronzeStore
    from sec_core.db.arrow import ArrowConnection
    from sec_core.silver.tables import SilverTables
    from sec_core.silver.timeline import EventRules

_CAPTURES = """
    select c.hora, c.forma as cargada, c.capturado_en, c.sha256, r.clave, r.bytes, r.n_filas, r.clientes, r.forma,
        coalesce(r.origen, 'sec') as origen, r.anfitrion, r.fuente, r.motivo
    from cargas c left join revisiones r using (hora, capturado_en, sha256)
    where c.hora >= '{first}' and c.hora < '{last}' order by c.hora, origen
"""


@dataclass
class Evidence:
    """What the bodies of some hours say.

    Attributes:
        observations: Of the wanted places, by `OBSERVATION_SCHEMA`.
        quality: Rows and imputations by hour, of all places.
        loads: hora, forma of the hours that PostgreSQL has loaded.
        captures: The bodies that were read.
        differences: Bodies that are not what was kept, and hours whose observations PostgreSQL holds otherwise.
    """

    observations: pl.DataFrame
    quality: pl.DataFrame
    loads: pl.DataFrame
    captures: list[Capture] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def read_evidence(
    connection: ArrowConnection,
    tables: SilverTables,
    store: BronzeStore,
    spans: Sequence[tuple[datetime, datetime]],
    places: Collection[int] | None,
) -> Evidence:
    """Read the bodies of all loaded hours in some spans, a month at a time.

    Args:
        connection: A snapshot of PostgreSQL.
        tables: Silver in the same snapshot.
        store: Bronze.
        spans: Disjoint spans [first, last), in order.
        places: `id_geografia` of which observations are kept, None for all; what PostgreSQL holds is compared for all.

    Raises:
        StorageError: A body is no list of rows, or the store did not answer.
    """
    found: list[Observed] = []
    evidence = Evidence(pl.DataFrame(), pl.DataFrame(), pl.DataFrame())
    loads = []
    for first, last in (part for span in spans for part in _by_month(*span)):
        rows = connection.query(_CAPTURES.format(first=first.isoformat(), last=last.isoformat()))
        rows = rows.unique("hora", keep="first", maintain_order=True)
        loads.append(rows.select(pl.col("hora").cast(UTC_TIME), forma="cargada"))
        before = len(evidence.captures)
        observed = observe(_snapshots(rows, store, evidence), default_names())
        read = pl.Series([each.hour for each in evidence.captures[before:]], dtype=UTC_TIME)
        held = tables.observations(Month.of(first)).filter(pl.col("hora").is_in(read.implode()))
        held = held.select(list(OBSERVATION_SCHEMA)).cast(OBSERVATION_SCHEMA)  # type: ignore[arg-type]
        other = pl.concat([rows_only_in(held, observed.observations), rows_only_in(observed.observations, held)])
        evidence.differences += [
            f"{_wall(hour)}: the rows that PostgreSQL holds of this hour are not those of its body."
            for hour in other["hora"].unique().sort()
        ]
        wanted = observed.observations
        if places is not None:
            wanted = wanted.filter(pl.col("id_geografia").is_in(list(places)))
        found.append(Observed(wanted, observed.quality, observed.unresolved))
    whole = Observed.concat(found)
    evidence.observations, evidence.quality = whole.observations, whole.quality
    evidence.loads = pl.concat(loads) if loads else pl.DataFrame(schema={"hora": UTC_TIME, "forma": pl.String})
    return evidence


def _snapshots(rows: pl.DataFrame, store: BronzeStore, evidence: Evidence) -> Iterator[Snapshot]:
    known = [row for row in rows.to_dicts() if row["clave"] is not None and row["motivo"] is None]
    for row in rows.filter(pl.col("clave").is_null() | pl.col("motivo").is_not_null()).to_dicts():
        why = row["motivo"] or "the ledger knows no body of what PostgreSQL has loaded"
        evidence.differences.append(f"{_wall(row['hora'])}: {why} (SHA-256 {row['sha256'][:12]}).")
    captures = [to_capture(row) for row in known]
    bodies = at_once(width(store.blobs.place), lambda capture: _read(store, capture), captures)
    for row, capture, body in zip(known, captures, bodies, strict=True):
        if isinstance(body, str):
            evidence.differences.append(f"{_wall(capture.hour)}: {body}")
        else:
            evidence.captures.append(capture)
            yield Snapshot(capture.hour, Shape(row["cargada"]), body)


def _read(store: BronzeStore, capture: Capture) -> bytes | str:
    try:
        return store.read_kept(capture)
    except BodyDamaged as error:
        return error.message
    except BlobMissing:
        return f"{capture.key} is gone."


def _by_month(first: datetime, last: datetime) -> Iterator[tuple[datetime, datetime]]:
    while first < last:
        end = min(Month.of(first).end, last)
        yield first, end
        first = end


def _wall(hour: datetime) -> str:
    return f"{hour.astimezone(CHILE):%Y-%m-%d %Hh}"


def derive_events(
    evidence: Evidence, rules: EventRules, newest: datetime | None, universe: pl.DataFrame
) -> pl.DataFrame:
    """All events of the evidence's places by `EVENT_SCHEMA`; those at its borders may be parts of longer ones.

    Args:
        evidence: Of whole days in Chile.
        rules: Rules of aggregated events.
        newest: The newest loaded hour of the whole history.
        universe: Customers of regions, which cap events.
    """
    usable = usable_hours(evidence.loads, rules)
    day = evidence.loads["hora"].min()
    if evidence.observations.is_empty() or not isinstance(day, datetime):
        return pl.DataFrame(schema=EVENT_SCHEMA)
    tramos = month_stretches(evidence.observations, usable, rules, day.date())
    of_shape = {shape: tramos.filter(pl.col("forma") == shape.value) for shape in Shape}
    merged = pl.concat(
        [
            detailed.events(of_shape[Shape.DETAILED]),
            aggregated.events(of_shape[Shape.AGGREGATED], usable, rules),
        ]
    )
    last = merged["ultima_hora"]
    by_run = pl.repeat(value=False, n=merged.height, dtype=pl.Boolean, eager=True)
    if newest is not None:
        by_run = aggregated.is_open(last, usable, rules, newest)
    is_detailed = merged["forma"] == Shape.DETAILED.value
    in_newest = last.eq_missing(pl.Series([newest], dtype=last.dtype))
    is_open = pl.select(pl.when(is_detailed).then(in_newest).otherwise(by_run)).to_series()
    return with_censoring(finish(merged, is_open, universe), evidence.loads)


def differing_events(held: pl.DataFrame, derived: pl.DataFrame) -> list[str]:
    """What PostgreSQL holds of events (by `EVENT_SCHEMA`) otherwise than bodies give it, in words."""
    only_held, only_derived = rows_only_in(held, derived), rows_only_in(derived, held)
    texts = {
        "PostgreSQL holds other figures than its bodies give.": only_held.join(only_derived, on="hash_id", how="semi"),
        "no body gives it.": only_held.join(derived, on="hash_id", how="anti"),
        "PostgreSQL lacks it.": only_derived.join(held, on="hash_id", how="anti"),
    }
    return [
        f"event {name}: {text}"
        for text, rows in texts.items()
        for name in rows.select(uuid_text("hash_id")).to_series()
    ]


def event_span(first: datetime, last: datetime, rules: EventRules) -> tuple[datetime, datetime]:
    """The whole days that decide about events between two hours."""
    margin = timedelta(hours=rules.reach, days=2)
    return whole_days([(first - margin, last + margin)])[0]


def imputation(evidence: Evidence) -> pl.DataFrame:
    """What the bodies give of `calidad_imputacion`, all months together: regla, filas, total."""
    rules = [rule.value for rule in Regla if rule is not Regla.TOPE]
    counts = [evidence.quality[f"filas_{rule}"].sum() for rule in rules]
    return pl.DataFrame({"regla": rules, "filas": counts, "total": [evidence.quality["n_filas"].sum()] * len(rules)})


def imputed_rows(rows: pl.DataFrame) -> dict[str, int]:
    """Source rows in observations that each rule touched."""
    bits = {"clientes": 1, "geografia": 2, "empresa": 4, "fecha": 8}
    return {
        rule: int(rows.filter(pl.col("imputaciones") & Imputacion(bit).value != 0)["n_filas"].sum())
        for rule, bit in bits.items()
    }


def about_captures(captures: Sequence[Capture]) -> tuple[dict[str, Any], list[dict[str, str | None]]]:
    """How many bodies, when received and from where; and each of them: `Explanation.captures` and `.files`."""
    schema = dict.fromkeys(("hora", "clave", "sha256", "recibido", "anfitrion", "fuente", "origen_cuerpo"), pl.String())
    rows = [
        (
            *(each.hour.isoformat(), each.key, each.sha256, each.captured_at.isoformat()),
            *(each.answered_by.host, each.answered_by.source, each.origin.value),
        )
        for each in captures
    ]
    files = pl.DataFrame(rows, schema=schema, orient="row").with_columns(origen=ORIGIN)
    received = files["recibido"]
    span = {"cuerpos": files.height, "primera": received.min(), "ultima": received.max()}
    origins = dict(hours_by_origin(files).iter_rows())
    return {**span, "origenes": origins}, files.drop("fuente", "origen_cuerpo").to_dicts()
