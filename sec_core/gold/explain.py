"""`sec explain`: what a published row rests on, and the same row computed again from Bronze bodies alone.

What the bodies give goes through the functions that Silver and Gold use themselves. Beside them stand the ledger (which
body counts, which hours have no data) and the customers of regions; what else is taken from elsewhere is in `notes`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import orjson
import polars as pl

from sec_core.blobs.model import BlobMissing
from sec_core.blobs.open import open_blobs
from sec_core.errors import InputError
from sec_core.gold import frames, monthly
from sec_core.gold.definitions import definitions
from sec_core.gold.estimated_hours import pattern
from sec_core.gold.explain_bronze import (
    Evidence,
    Scope,
    about_captures,
    derive_events,
    differing_events,
    event_span,
    imputed_rows,
    read_evidence,
)
from sec_core.gold.explanation import Explanation, File, differing_keys, matches, one_row
from sec_core.gold.index_tables import reliability
from sec_core.gold.local import FOLDER
from sec_core.gold.model import as_json
from sec_core.gold.panel import panel
from sec_core.gold.payloads.meta import METHOD
from sec_core.gold.payloads.registry import PAYLOADS
from sec_core.gold.standing import code_digest
from sec_core.gold.universe import COUNTRY, denominators
from sec_core.hours import CHILE, HOUR, Month, day_start
from sec_core.silver.archive import Archive
from sec_core.silver.event_updates import whole_days
from sec_core.silver.events import EVENT_SCHEMA
from sec_core.silver.imputation import Regla
from sec_core.silver.tables import SilverTables
from sec_core.silver.timeline import EventRules
from sec_core.source.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adbc_driver_postgresql.dbapi import Connection

    from sec_core.bronze.store import BronzeStore
    from sec_core.config import Settings
    from sec_core.db.database import Database
    from sec_core.gold.frames import GoldFrames

EVENT = "event"
_MONTHS = {"reliability", "quality"}
"""Payloads of a month's own hours."""
_BODIES = {"time_series", "market_map", "company_ranking", "investment_roi", "eda_quality_stats", "sensitivity"}
"""Payloads of events, or of all rows."""

_ABOUT: Mapping[str, tuple[str, str]] = {
    "reliability": (
        "panel customer-hours interval saidi saifi caidi med peak stale universe",
        "The month's bodies and those of the eight days around it; of other months the kept daily values and parts.",
    ),
    "quality": ("quality-parts coverage", "The month's bodies, its hours in the ledger, and the denominator."),
    "time_series": ("affected event", "Every body in which an event that begins in the month can be listed."),
    "market_map": ("instability affected event universe", "All bodies, for the events of the comuna and company."),
    "company_ranking": ("ranking affected event", "All bodies, for the events of known companies."),
    "investment_roi": ("roi affected event", "All bodies, for events, and the SEIA's list of projects."),
    "investment_validation": ("validation interval", "The monthly indices, and the reviewed list of works."),
    "eda_quality_stats": ("quality", "All bodies: rows that each rule of imputation touched."),
    "eda_projects_dist": ("projects", "The SEIA's list of projects."),
    "sensitivity": ("sensitivity event", "All aggregated bodies."),
    "official_comparison": ("official saidi interval", "The monthly indices, and the SEC's published SAIDI."),
    "storms": ("storm customer-hours", "The panel of all hours, and the customers of comunas."),
    "coverage": ("coverage", "The ledger's state of each hour."),
    EVENT: ("event affected customer-hours", "Every body from the event's beginning to after its last hour."),
}
"""Keys of the definitions and inputs of each payload."""


def explain(
    database: Database, settings: Settings, store: BronzeStore, payload: str, wanted: Mapping[str, str]
) -> Explanation:
    """Explain one row.

    Args:
        database: PostgreSQL.
        settings: Places and rules.
        store: Bronze.
        payload: A payload's id, or `event`.
        wanted: Values of the row's keys, as texts (a month also as YYYY-MM); of an event its `hash_id`.

    Raises:
        InputError: No such payload or key, or not exactly one such row.
        DatabaseError: PostgreSQL can't be read.
        StorageError: Bronze or Gold can't be read.
    """
    if payload not in {EVENT, *(spec.id for spec in PAYLOADS)}:
        known = ", ".join([EVENT, *(spec.id for spec in PAYLOADS)])
        raise InputError(f"There is no payload {payload!r}.", next_step=f"Choose one of: {known}.")
    with frames.snapshot(database) as connection:
        return _Explaining(connection, settings, store, payload, wanted).done()


class _Explaining:
    """One explanation, from one snapshot of PostgreSQL."""

    def __init__(
        self, connection: Connection, settings: Settings, store: BronzeStore, payload: str, wanted: Mapping[str, str]
    ) -> None:
        self._connection, self._settings, self._store = connection, settings, store
        self._tables = SilverTables(connection, Archive(settings.archive))
        self._gold = open_blobs(settings.gold)
        self._payload, self._wanted = payload, wanted
        self._rules = EventRules.of(settings)
        self._names = frames.read_names(connection)
        self._customers = frames.read_customers(connection)
        self._loads = frames.read_loads(connection)
        self._newest = cast("datetime | None", self._loads["hora"].max())
        self._notes: list[str] = []
        self._differences: list[str] = []
        self._evidence: Evidence | None = None

    def done(self) -> Explanation:
        event = self._payload == EVENT
        row = self._event_row() if event else one_row(self._published(self._payload), self._wanted, self._payload)
        built = datetime.now(UTC) if event else datetime.fromisoformat(str(self._published("meta")[0]["generado"]))
        ledger = frames.query(
            self._connection,
            "SELECT hora, estado, forma, n_filas, n_revisiones, sospechosa, total_nacional, diferencia_nacional"
            " FROM capturas",
        )
        # As of the build: hours that have ended since are not in the published row.
        self._calendar = frames.hour_calendar(ledger, self._loads, built)
        self._seen = pattern(self._calendar, self._settings.estimate_max_gap_hours)
        scope = self._scope(row)
        again = self._again(row, scope)
        if again is not None:
            self._differences = differing_keys(row, again) + self._differences
        evidence = self._evidence
        captures = evidence.captures if evidence else []
        keys, inputs = _ABOUT.get(self._payload, ("", "What the build of Gold computes; see docs/definitions.md."))
        by_key = {each.key: each for each in definitions("en")}
        own = self._own(scope)
        return Explanation(
            payload=self._payload,
            row=row,
            definitions=[
                {name: getattr(by_key[key], name) for name in ("name", "formula", "unit", "source", "note")}
                for key in keys.split()
                if key in by_key
            ],
            hours=self._hours(scope),
            rows=int(own["n_filas"].sum()) if own is not None else 0,
            imputed={} if own is None else imputed_rows(own),
            denominator=self._denominator(row, scope),
            captures=about_captures(captures),
            files=[
                File(
                    hora=each.hour.isoformat(),
                    clave=each.key,
                    sha256=each.sha256,
                    recibido=each.captured_at.isoformat(),
                    origen=each.answered_by.source or each.answered_by.host or "desconocido",
                )
                for each in captures
            ],
            inputs=inputs,
            version={"codigo": version("sec-outages"), "digest": code_digest()[:12], "metodo": METHOD},
            recomputed=again or None,
            equal=None if again is None else not self._differences,
            differences=self._differences,
            notes=self._notes,
        )

    # --- the row ---

    def _published(self, payload: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = orjson.loads(self._gold.read(f"{FOLDER}{payload}.json"))
        except BlobMissing:
            raise InputError(f"There is no {payload}.json.", next_step="Run `sec gold` first.") from None
        return found

    def _event_row(self) -> dict[str, Any]:
        text = self._wanted.get("hash_id", "")
        try:
            hash_id = UUID(text)
        except ValueError:
            raise InputError(f"{text!r} is no hash_id.", next_step="Give the 32 hexadecimal digits of one.") from None
        held = self._held(Scope(hash_id=hash_id))
        if held.is_empty():
            raise InputError(f"There is no event {text}.", next_step="Look its hash_id up in v_interrupciones.")
        return _as_row(held, self._names)

    def _scope(self, row: Mapping[str, Any]) -> Scope:
        if self._payload == EVENT:
            hash_id = UUID(row["hash_id"])
            return Scope(places=tuple(self._held(Scope(hash_id=hash_id))["id_geografia"]), hash_id=hash_id)
        places = self._names.places
        for name in ("nombre_region", "nombre_comuna"):
            if name in row and row[name] != COUNTRY:
                places = places.filter(pl.col(name) == row[name])
        companies = self._names.companies.filter(pl.col("nombre_empresa") == row.get("nombre_empresa", ""))
        return Scope(
            month=Month.parse(str(row["mes"])[:7]) if "mes" in row else None,
            places=None if places.height == self._names.places.height else tuple(places["id_geografia"]),
            company=companies["id_empresa"][0] if companies.height and self._payload == "market_map" else None,
        )

    # --- the same from the bodies ---

    def _again(self, row: Mapping[str, Any], scope: Scope) -> dict[str, Any] | None:
        """The row computed again; empty if the bodies give no such row, None if there is no way to compute it."""
        if self._payload == EVENT:
            found = self._derived(scope, day_start(date.fromisoformat(row["inicio"][:10])))
            return _as_row(found, self._names) if found.height else {}
        if self._payload in _MONTHS and scope.month is not None:
            parts = self._month_figures(scope.month, scope)
        elif self._payload in _BODIES:
            events = self._derived(scope, scope.month.start if scope.month else None)
            parts = {"events": frames.name_events(events, self._names)}
        elif self._payload == "coverage":
            parts = {}
        else:
            return None
        rows = as_json(self._spec().build(self._as_frames(parts)))
        matching = [each for each in rows if matches(each, self._wanted)]
        if len(matching) != 1:
            self._differences.append("the bodies give no such row.")
            return {}
        return matching[0]

    def _spec(self) -> Any:  # noqa: ANN401 - a specification of any payload
        return next(spec for spec in PAYLOADS if spec.id == self._payload)

    def _as_frames(self, parts: Mapping[str, Any]) -> GoldFrames:
        """What the payload's own function takes, as far as it is computed again."""
        evidence = self._evidence
        common: dict[str, Any] = {
            "loads": self._loads,
            "calendar": self._calendar,
            "customers": self._customers,
            "rules": self._rules,
            "newest_day": self._newest and self._newest.astimezone(CHILE).date(),
            "projects": frames.query(self._connection, "SELECT * FROM proyectos_seia ORDER BY 1, 2"),
        }
        if evidence is not None and self._payload == "eda_quality_stats":
            total = evidence.quality["n_filas"].sum()
            rules = [rule.value for rule in Regla if rule is not Regla.TOPE]
            counts = [evidence.quality[f"filas_{rule}"].sum() for rule in rules]
            common["imputation"] = pl.DataFrame({"regla": rules, "filas": counts, "total": [total] * len(rules)})
        if evidence is not None and self._payload == "sensitivity":
            listed = panel(evidence.observations, self._names.places, evidence.loads)
            common["aggregated_panel"] = lambda: listed.filter(pl.col("forma") == Shape.AGGREGATED.value)
        return cast("GoldFrames", SimpleNamespace(**(common | dict(parts))))

    def _month_figures(self, month: Month, scope: Scope) -> dict[str, Any]:
        """Indices with this month's parts from the bodies, and those of other months as they were kept."""
        observed = self._seen.hours.filter(pl.col("visto") == "observada")["hora"]
        previous = observed.filter(observed < month.start).max()
        spans = whole_days([(month.start - monthly.REACH, month.end + monthly.REACH)])
        if isinstance(previous, datetime) and previous < spans[0][0]:
            spans = [(previous, previous + HOUR), *spans]
        evidence = self._read(spans, None)
        own = frames.with_month(evidence.observations)

        def read(wanted: Month) -> pl.DataFrame:
            return own.filter(pl.col("mes") == wanted.first_day).drop("mes")

        months = [Month(day.year, day.month) for day in self._loads["mes"].unique().sort()]
        made = monthly.compute([month], months, read, self._names, self._loads, self._seen)
        whole = {}
        for kind, schema in monthly.KINDS.items():
            kept = monthly.read_kept(self._gold, kind, schema)[0].filter(pl.col("mes") != month.first_day)
            new = [part.select(schema.names()).cast(schema) for part in made[kind]]
            whole[kind] = pl.concat([kept, *new]).sort(schema.names()[:3])
        parts = monthly.Monthly(**whole, computed=(month,))
        events = frames.name_events(self._events_within(scope, evidence, spans[-1][1]), self._names)
        self._notes += [
            "Thresholds of major event days rest on the kept daily values of other months.",
            "The interval's bounds also rest on what is kept of other months: peaks are judged over all of them.",
        ]
        figures = reliability(parts, self._seen, self._loads, events, self._customers)
        return {"events": events, "monthly": parts, "indices": SimpleNamespace(reliability=figures)}

    def _events_within(self, scope: Scope, evidence: Evidence, end: datetime) -> pl.DataFrame:
        """Events derived again where they end well before `end`, else as PostgreSQL holds them."""
        mine = evidence.observations
        if scope.places is not None:
            mine = mine.filter(pl.col("id_geografia").is_in(list(scope.places)))
        derived = scope.of(self._derive(replace(evidence, observations=mine)))
        held = self._held(scope)
        last = pl.lit(end - timedelta(hours=self._rules.reach, days=2), frames.UTC_TIME)
        beyond = held.filter(pl.col("ultima_hora") >= last)
        ended = derived.filter(pl.col("ultima_hora") < last).join(beyond, on="hash_id", how="anti")
        self._differences += differing_events(held.filter(pl.col("ultima_hora") < last), ended)
        if beyond.height:
            self._notes.append(
                f"{beyond.height} of the month's events go on after the bodies that were read: in saifi_eventos they"
                " are as PostgreSQL holds them; `sec explain time_series` reads all of them again."
            )
        return pl.concat([ended, beyond])

    def _derived(self, scope: Scope, first: datetime | None) -> pl.DataFrame:
        """The scope's events from the bodies that can list them, held against PostgreSQL's."""
        held = self._held(scope)
        if self._newest is None:
            return held.clear()
        last = cast("datetime | None", held["ultima_hora"].max()) or first or self._newest
        if first is None:
            first, last = cast("datetime", self._loads["hora"].min()), self._newest
        elif scope.month is not None:
            last = max(last, scope.month.end)
        evidence = self._read([event_span(first, last, self._rules)], scope.places)
        derived = scope.of(self._derive(evidence))
        self._differences += differing_events(held, derived)
        return derived

    def _derive(self, evidence: Evidence) -> pl.DataFrame:
        return derive_events(evidence, self._rules, self._newest, self._tables.universe())

    def _read(self, spans: Sequence[tuple[datetime, datetime]], places: tuple[int, ...] | None) -> Evidence:
        self._evidence = read_evidence(self._connection, self._tables, self._store, spans, places)
        self._differences += self._evidence.differences
        return self._evidence

    def _held(self, scope: Scope) -> pl.DataFrame:
        sql = f"SELECT {', '.join(EVENT_SCHEMA)} FROM fact_interrupciones WHERE {scope.sql()}"
        return frames.query(self._connection, sql).cast(EVENT_SCHEMA)  # type: ignore[arg-type]

    # --- what it rests on ---

    def _hours(self, scope: Scope) -> dict[str, int]:
        hours, calendar = self._seen.hours, self._calendar
        if scope.month is not None:
            hours = hours.filter(pl.col("mes") == scope.month.first_day)
            calendar = calendar.filter(pl.col("mes") == scope.month.first_day)
        counts = dict(hours.group_by("visto").len().iter_rows())
        return {
            "esperadas": calendar.height,
            "cargadas": int(calendar["cargada"].sum()),
            "sospechosas": int(calendar["sospechosa"].sum()),
            "interpoladas": counts.get("interpolada", 0),
            "descubiertas": counts.get("descubierta", 0),
        }

    def _own(self, scope: Scope) -> pl.DataFrame | None:
        """Observations of the row's own hours and places."""
        if self._evidence is None:
            return None
        rows = frames.with_month(self._evidence.observations)
        if scope.month is not None:
            rows = rows.filter(pl.col("mes") == scope.month.first_day)
        if scope.places is not None:
            rows = rows.filter(pl.col("id_geografia").is_in(list(scope.places)))
        return rows

    def _denominator(self, row: Mapping[str, Any], scope: Scope) -> dict[str, Any] | None:
        """The figure of the month nearest to the row's, or the newest, and how old it is."""
        if self._payload not in {"reliability", "quality", "market_map"}:
            return None
        figures = denominators(self._customers).filter(pl.col("nombre_region") == row["nombre_region"])
        if figures.is_empty():
            return None
        at = scope.month.first_day if scope.month else figures["mes"][-1]
        found = min(figures.to_dicts(), key=lambda each: (abs(_months(at, each["mes"])), each["mes"]))
        stated = found["periodo_star"]
        period = date(int(stated[2:]), int(stated[:2]), 1) if stated and len(stated) == 6 else found["mes"]
        newest = self._loads["mes"].max() if scope.month is None else at
        return {
            "universo": found["universo"],
            "mes": str(found["mes"])[:7],
            "periodo_star": stated,
            "antiguedad_meses": _months(cast("date", newest), period),
            "fuente": "SEC, GetClientesRegional (clientes_regionales)",
        }


def _months(later: date, earlier: date) -> int:
    return (later.year - earlier.year) * 12 + later.month - earlier.month


def _as_row(events: pl.DataFrame, names: frames.Names) -> dict[str, Any]:
    (row,) = frames.name_events(events, names).drop("id_geografia", "id_empresa", "mes").to_dicts()
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
