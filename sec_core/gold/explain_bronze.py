"""What kept bodies say, read again and held against what PostgreSQL holds: observations and events of some hours.

The rules are Silver's own pure functions; nothing that Silver or Gold computed is used.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from sec_core.blobs.place import BlobMissing
from sec_core.bronze.ledger_rules import Capture
from sec_core.bronze.ledger_table import to_capture
from sec_core.bronze.store import BronzeStore
from sec_core.errors import StorageError
from sec_core.gold.frames import ORIGIN, SQL, UTC_TIME, hours_by_origin, uuid_text
from sec_core.gold.revisions import UNREADABLE
from sec_core.hours import CHILE, HOUR, Month, month_range
from sec_core.reference.tables import default_names
from sec_core.silver import events
from sec_core.silver.events import EVENT_SCHEMA
from sec_core.silver.imputation import Imputacion
from sec_core.silver.observations import OBSERVATION_SCHEMA, Observed, Snapshot, observe
from sec_core.silver.stretches import month_stretches, rows_only_in
from sec_core.silver.tables import SilverTables
from sec_core.silver.timeline import EventRules, usable_hours, whole_days
from sec_core.source.shapes import Shape

_OF_ROWS = [rule for rule in Imputacion if rule is not Imputacion.TOPE]


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

    observations: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=OBSERVATION_SCHEMA))
    quality: pl.DataFrame = field(default_factory=pl.DataFrame)
    loads: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"hora": UTC_TIME, "forma": pl.String}))
    captures: list[Capture] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def read_evidence(
    tables: SilverTables, store: BronzeStore, spans: Sequence[tuple[datetime, datetime]], places: Collection[int] | None
) -> Evidence:
    """Read the bodies of all loaded hours in some spans, a month at a time.

    Args:
        tables: Silver in a snapshot of PostgreSQL.
        store: Bronze.
        spans: Disjoint spans [first, last), in order.
        places: `id_geografia` of which observations are kept, None for all; what PostgreSQL holds is compared for all.

    Raises:
        StorageError: A body is no list of rows, or the store did not answer.
    """
    found: list[Observed] = []
    evidence = Evidence()
    loads = [evidence.loads]
    for first, last in spans:
        for month in month_range(Month.of(first), Month.of(last - HOUR)):
            rows = tables.read(SQL["captures"], max(first, month.start), min(last, month.end))
            loads.append(rows.select(pl.col("hora").cast(UTC_TIME), forma="cargada"))
            before = len(evidence.captures)
            observed = observe(_snapshots(rows, store, evidence), default_names())
            read = pl.Series([each.hour for each in evidence.captures[before:]], dtype=UTC_TIME)
            held = tables.observations(month).filter(pl.col("hora").is_in(read.implode()))
            other = pl.concat([rows_only_in(held, observed.observations), rows_only_in(observed.observations, held)])
            evidence.differences += [
                f"{_wall(hour)}: the rows that PostgreSQL holds of this hour are not those of its body."
                for hour in other["hora"].unique().sort()
            ]
            found.append(replace(observed, observations=of_places(observed.observations, places)))
    whole = Observed.concat(found)
    return replace(evidence, observations=whole.observations, quality=whole.quality, loads=pl.concat(loads))


def of_places(rows: pl.DataFrame, places: Collection[int] | None) -> pl.DataFrame:
    """Rows of some places by `id_geografia`, None for all."""
    return rows if places is None else rows.filter(pl.col("id_geografia").is_in(list(places)))


def _snapshots(rows: pl.DataFrame, store: BronzeStore, evidence: Evidence) -> Iterator[Snapshot]:
    for row in rows.filter(pl.col("motivo").is_not_null()).to_dicts():
        evidence.differences.append(f"{_wall(row['hora'])}: {row['motivo']} (SHA-256 {row['sha256'][:12]}).")
    known = rows.filter(pl.col("motivo").is_null()).to_dicts()
    captures = [to_capture(row) for row in known]
    for row, capture, body in zip(known, captures, store.try_all(captures, UNREADABLE), strict=True):
        if isinstance(body, StorageError):
            why = f"{capture.key} is gone." if isinstance(body, BlobMissing) else body.message
            evidence.differences.append(f"{_wall(capture.hour)}: {why}")
        else:
            evidence.captures.append(capture)
            yield Snapshot(capture.hour, Shape(row["cargada"]), body)


def _wall(hour: datetime) -> str:
    return f"{hour.astimezone(CHILE):%Y-%m-%d %Hh}"


def derive_events(evidence: Evidence, rules: EventRules, newest: datetime, universe: pl.DataFrame) -> pl.DataFrame:
    """All events of the evidence's places by `EVENT_SCHEMA`; those at its borders may be parts of longer ones.

    Args:
        evidence: Of whole days in Chile.
        rules: Rules of aggregated events.
        newest: The newest loaded hour of the whole history.
        universe: Customers of regions, which cap events.
    """
    if evidence.observations.is_empty():
        return pl.DataFrame(schema=EVENT_SCHEMA)
    usable = usable_hours(evidence.loads, rules)
    first: datetime = evidence.loads["hora"].min()  # type: ignore[assignment]
    tramos = month_stretches(evidence.observations, usable, rules, first.date())
    return events.derive_events(tramos, evidence.loads, rules, newest, universe)


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
    counted = [(rule.regla, evidence.quality[f"filas_{rule.regla}"].sum()) for rule in _OF_ROWS]
    total = pl.lit(evidence.quality["n_filas"].sum())
    return pl.DataFrame(counted, schema=["regla", "filas"], orient="row").with_columns(total=total)


def imputed_rows(rows: pl.DataFrame) -> dict[str, int]:
    """Source rows in observations that each rule touched."""
    return {
        rule.regla: int(rows.filter(pl.col("imputaciones") & rule.value != 0)["n_filas"].sum()) for rule in _OF_ROWS
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
    received, origins = files["recibido"], dict(hours_by_origin(files).iter_rows())
    span = {"cuerpos": files.height, "primera": received.min(), "ultima": received.max(), "origenes": origins}
    return span, files.drop("fuente", "origen_cuerpo").to_dicts()
