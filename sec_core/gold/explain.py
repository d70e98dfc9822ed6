"""`sec explain`: what a published row rests on, and the same row computed again from Bronze bodies alone.

What the bodies give goes through the functions that Silver and Gold use themselves. Beside them stand the ledger (which
body counts, which hours have no data) and the customers of regions; what else is taken from elsewhere is in `notes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from sec_core.gold import frames, monthly, storm_catalogue
from sec_core.gold.comuna_customers import comuna_customers
from sec_core.gold.definitions import definitions
from sec_core.gold.estimated_hours import pattern
from sec_core.gold.explain_bronze import (
    Evidence,
    about_captures,
    derive_events,
    differing_events,
    event_span,
    imputation,
    imputed_rows,
    read_evidence,
)
from sec_core.gold.explanation import ABOUT, EVENT, Explanation, differing_keys, matches, one_row
from sec_core.gold.index_tables import make_indices
from sec_core.gold.local import FOLDER
from sec_core.gold.model import as_json
from sec_core.gold.origin import one_word
from sec_core.gold.panel import panel
from sec_core.gold.payloads.meta import METHOD
from sec_core.gold.payloads.registry import PAYLOADS
from sec_core.gold.standing import code_digest
from sec_core.gold.storms import StormRules, StormSearch, find_hits
from sec_core.gold.universe import COUNTRY, denominators
from sec_core.hours import CHILE, HOUR, Month, day_start
from sec_core.reference.geometry import neighbours
from sec_core.silver.archive import Archive
from sec_core.silver.event_updates import whole_days
from sec_core.silver.events import EVENT_SCHEMA
from sec_core.silver.tables import SilverTables
from sec_core.silver.timeline import EventRules
from sec_core.source.shapes import Shape

if TYPE_CHECKING:
    from sec_core.bronze.store import BronzeStore
    from sec_core.config import Settings
    from sec_core.db.arrow import ArrowConnection
    from sec_core.db.database import Database
    from sec_core.gold.frames import GoldFrames


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
        self,
        connection: ArrowConnection,
        settings: Settings,
        store: BronzeStore,
        payload: str,
        wanted: Mapping[str, str],
    ) -> None:
        self._connection, self._settings, self._store = connection, settings, store
        self._tables = SilverTables(connection, Archive(settings.archive))
        self._gold = open_blobs(settings.gold)
        self._payload, self._wanted = payload, wanted
        self._rules = EventRules.of(settings)
        self._names = frames.read_names(connection)
        self._customers = frames.read_customers(connection)
        self._by_comuna = comuna_customers(self._customers, frames.read_billed(connection))
        self._loads = frames.read_loads(connection)
        self._newest = cast("datetime | None", self._loads["hora"].max())
        self._notes: list[str] = []
        self._differences: list[str] = []
        self._evidence: Evidence | None = None

    def done(self) -> Explanation:
        event = self._payload == EVENT
        row = self._event_row() if event else one_row(self._published(self._payload), self._wanted, self._payload)
        built = datetime.now(UTC) if event else datetime.fromisoformat(str(self._published("meta")[0]["generado"]))
        # As of the build: hours that have ended since are not in the published row.
        self._calendar = frames.hour_calendar(self._connection.query(frames.LEDGER), self._loads, built)
        self._seen = pattern(self._calendar, self._settings.estimate_max_gap_hours)
        self._read_scope(row)
        again = self._again(row)
        if again is not None:
            self._differences = differing_keys(row, again) + self._differences
        captures, files = about_captures(self._evidence.captures if self._evidence else [])
        keys, inputs = ABOUT.get(self._payload, ("", "What the build of Gold computes; see docs/definitions.md."))
        own = self._within(self._evidence.observations) if self._evidence else None
        if own is not None and self._places is not None:
            own = own.filter(pl.col("id_geografia").is_in(list(self._places)))
        return Explanation(
            payload=self._payload,
            row=row,
            definitions=[
                {name: getattr(each, name) for name in ("name", "formula", "unit", "source", "note")}
                for key in keys.split()
                for each in definitions("en")
                if each.key == key
            ],
            hours=self._hours(),
            rows=0 if own is None else int(own["n_filas"].sum()),
            imputed={} if own is None else imputed_rows(own),
            denominator=self._denominator(row),
            captures=captures,
            files=files,
            inputs=inputs,
            version={"codigo": version("sec-outages"), "digest": code_digest()[:12], "metodo": METHOD},
            recomputed=again or None,
            equal=None if again is None else not self._differences,
            differences=self._differences,
            notes=self._notes,
        )

    def _published(self, payload: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = orjson.loads(self._gold.read(f"{FOLDER}{payload}.json"))
        except BlobMissing:
            raise InputError(f"There is no {payload}.json.", next_step="Run `sec gold` first.") from None
        return found

    def _event_row(self) -> dict[str, Any]:
        text = self._wanted.get("hash_id", "")
        try:
            found = self._held(f"hash_id = '{UUID(text)}'")
        except ValueError:
            raise InputError(f"{text!r} is no hash_id.", next_step="Give the 32 hexadecimal digits of one.") from None
        if found.is_empty():
            raise InputError(f"There is no event {text}.", next_step="Look its hash_id up in v_interrupciones.")
        return _as_row(found, self._names)

    def _read_scope(self, row: Mapping[str, Any]) -> None:
        """Month or span, places, and the condition on events, which PostgreSQL and Polars both read: numbers alone."""
        places, companies = self._names.places, self._names.companies
        for name in ("nombre_region", "nombre_comuna"):
            if name in row and row[name] != COUNTRY:
                places = places.filter(pl.col(name) == row[name])
        self._places = None if places.height == self._names.places.height else tuple(places["id_geografia"])
        self._month = Month.parse(str(row["mes"])[:7]) if "mes" in row else None
        self._span = (self._month.start, self._month.end) if self._month else None
        parts = ["true"]
        if self._month:
            number = self._month.year * 100 + self._month.month
            parts.append(f"id_tiempo between {number}0000 and {number}9999")
        if self._places is not None:
            parts.append(f"id_geografia in ({', '.join(map(str, self._places))})")
        if self._payload in {EVENT, "market_map"}:
            own = companies.filter(pl.col("nombre_empresa") == row["nombre_empresa"])
            parts += [f"id_empresa = {number}" for number in own["id_empresa"]]
        if self._payload == EVENT:
            parts.append(f"id_tiempo = {row['id_tiempo']}")
            self._span = datetime.fromisoformat(row["primera_hora"]), datetime.fromisoformat(row["ultima_hora"]) + HOUR
        if "anho" in row:
            self._span = Month(row["anho"], 1).start, Month(row["anho"], 12).end
        if self._payload == "storms":
            end = datetime.fromisoformat(row["fin"]) if row["fin"] else cast("datetime", self._newest)
            self._span = datetime.fromisoformat(row["inicio"]), end
        self._where = " and ".join(parts)

    def _within(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.col("hora").is_between(*self._span, closed="left")) if self._span else rows

    def _again(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """The row computed again; empty if the bodies give no such row, None if there is no way to compute it."""
        if self._payload == EVENT:
            only = self._derived(day_start(date.fromisoformat(row["inicio"][:10])))
            return _as_row(only, self._names) if only.height else {}
        months = [Month(day.year, day.month) for day in self._loads["mes"].unique().sort()]
        parts: dict[str, Any]
        match self._payload:
            case "reliability" | "quality":
                parts = self._figures([cast("Month", self._month)], months)
            case "official_comparison":
                parts = self._figures([month for month in months if month.year == row["anho"]], months)
            case "investment_validation":
                parts = self._figures(months, months)
            case "storms":
                parts = {"storms": self._storms(cast("tuple[datetime, datetime]", self._span))}
            case "coverage":
                parts = {}
            case (
                "time_series"
                | "market_map"
                | "company_ranking"
                | "investment_roi"
                | "eda_quality_stats"
                | "sensitivity"
            ):
                events = frames.name_events(self._derived(self._month.start if self._month else None), self._names)
                parts = {"events": events}
            case _:
                return None
        if (found := self._evidence) is not None:
            parts["imputation"] = imputation(found)
            parts["aggregated_panel"] = lambda: panel(found.observations, self._names.places, found.loads).filter(
                pl.col("forma") == Shape.AGGREGATED.value
            )
        own = SimpleNamespace(
            loads=self._loads,
            calendar=self._calendar,
            customers=self._customers,
            rules=self._rules,
            seen=self._seen,
            newest_day=self._newest and self._newest.astimezone(CHILE).date(),
            projects=self._connection.query("SELECT * FROM proyectos_seia ORDER BY 1, 2"),
            **parts,
        )
        spec = next(spec for spec in PAYLOADS if spec.id == self._payload)
        rows = [each for each in as_json(spec.build(cast("GoldFrames", own))) if matches(each, self._wanted)]
        if len(rows) != 1:
            self._differences.append("the bodies give no such row.")
            return {}
        return rows[0]

    def _figures(self, chosen: Sequence[Month], months: Sequence[Month]) -> dict[str, Any]:
        """Indices with the chosen months' parts from the bodies, and those of other months as they were kept."""
        evidence = self._read(list(self._about(chosen)), None)
        own = frames.with_month(evidence.observations)
        by_month = own.partition_by("mes", as_dict=True, include_key=False)

        def read(wanted: Month) -> pl.DataFrame:
            return by_month.get((wanted.first_day,), own.drop("mes").clear())

        made = monthly.compute(chosen, months, read, self._names, self._loads, self._seen)
        days, whole = [month.first_day for month in chosen], {}
        for kind, schema in monthly.KINDS.items():
            kept = monthly.read_kept(self._gold, kind, schema)[0].filter(~pl.col("mes").is_in(days))
            new = [part.select(schema.names()).cast(schema) for part in made[kind]]
            whole[kind] = pl.concat([kept, *new]).sort(schema.names()[:3])
        parts = monthly.Monthly(**whole, computed=tuple(chosen))
        held = self._events_within(evidence) if self._month else self._held("false")
        events = frames.name_events(held, self._names)
        if len(chosen) < len(months):
            self._notes += [
                "Thresholds of major event days rest on the kept daily values of other months.",
                "The interval's bounds also rest on what is kept of other months: peaks are judged over all of them.",
            ]
        return {
            "monthly": parts,
            "indices": make_indices(
                parts, self._seen, self._loads, events, self._customers, self._by_comuna, self._names
            ),
        }

    def _about(self, chosen: Sequence[Month]) -> Iterator[tuple[datetime, datetime]]:
        """Spans whose observations decide about some months, in order and apart."""
        observed = self._seen.hours.filter(pl.col("visto") == "observada")["hora"]
        end = datetime.min.replace(tzinfo=UTC)
        for first, last in whole_days([(month.start - monthly.REACH, month.end + monthly.REACH) for month in chosen]):
            before = observed.filter(observed < first + monthly.REACH).max()
            if isinstance(before, datetime) and end <= before < first:
                yield before, before + HOUR
            yield first, last
            end = last

    def _storms(self, span: tuple[datetime, datetime]) -> pl.DataFrame:
        """The storms of the sets that touch a span, with the hits of other hours as they are kept."""
        rules = StormRules.of(self._settings)
        hours, loaded = self._calendar["hora"], self._calendar.filter(pl.col("cargada") & ~pl.col("sospechosa"))["hora"]
        kept = monthly.read_kept(self._gold, "storm_hits", storm_catalogue.HITS_SCHEMA)[0]

        def search(hits: pl.DataFrame) -> tuple[StormSearch, list[Any]]:
            found = StormSearch(hits, loaded, hours, neighbours(), rules)
            spans = [(cells, *found.span(cells)) for cells in found.sets]
            return found, [each for each in spans if each[1] <= span[0] <= each[2]]

        about = [span[0] - monthly.REACH, *(first for _, first, _ in search(kept)[1])]
        evidence = self._read(whole_days([(min(about), span[1] + timedelta(days=2))]), None)
        listed = panel(evidence.observations, self._names.places, evidence.loads)
        served = storm_catalogue.served(self._loads["mes"].unique().sort(), self._by_comuna)
        hits = [kept.join(evidence.loads, on="hora", how="anti"), find_hits(listed, served, rules)]
        found, sets = search(pl.concat(hits).sort("hora", "codigo_comuna"))
        found.fill(listed)
        measured = [found.measure(cells) for cells, _, _ in sets]
        if not measured:
            return pl.DataFrame(schema={"punta": pl.Int64, "inicio": frames.UTC_TIME, "id": pl.String})
        self._notes.append("Which hits of other hours belong to the same storm rests on what is kept.")
        rows, curves = (pl.concat([each[at] for each in measured]) for at in (0, 1))
        return storm_catalogue.described(rows, curves, self._loads)

    def _events_within(self, evidence: Evidence) -> pl.DataFrame:
        """The row's events, derived again where they end well before the bodies do, else as PostgreSQL holds them."""
        mine = evidence.observations
        if self._places is not None:
            mine = mine.filter(pl.col("id_geografia").is_in(list(self._places)))
        derived, held = self._derive(replace(evidence, observations=mine)), self._held()
        end = cast("datetime", evidence.loads["hora"].max())
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

    def _derived(self, first: datetime | None) -> pl.DataFrame:
        """The row's events from the bodies that can list them, held against PostgreSQL's."""
        held = self._held()
        if self._newest is None:
            return held
        last = cast("datetime | None", held["ultima_hora"].max()) or first or self._newest
        if first is None:
            first, last = cast("datetime", self._loads["hora"].min()), self._newest
        elif self._month:
            last = max(last, self._month.end)
        derived = self._derive(self._read([event_span(first, last, self._rules)], self._places))
        self._differences += differing_events(held, derived)
        return derived

    def _derive(self, evidence: Evidence) -> pl.DataFrame:
        found = derive_events(evidence, self._rules, self._newest, self._tables.universe())
        return found.filter(pl.sql_expr(self._where))

    def _read(self, spans: Sequence[tuple[datetime, datetime]], places: tuple[int, ...] | None) -> Evidence:
        self._evidence = read_evidence(self._connection, self._tables, self._store, spans, places)
        self._differences += self._evidence.differences
        return self._evidence

    def _held(self, where: str = "") -> pl.DataFrame:
        sql = f"SELECT {', '.join(EVENT_SCHEMA)} FROM fact_interrupciones WHERE {where or self._where}"
        return self._connection.query(sql).cast(EVENT_SCHEMA)  # type: ignore[arg-type]

    def _hours(self) -> dict[str, int]:
        calendar, seen = self._within(self._calendar), self._within(self._seen.hours)["visto"]
        return {
            "esperadas": calendar.height,
            "cargadas": int(calendar["cargada"].sum()),
            "sospechosas": int(calendar["sospechosa"].sum()),
            "interpoladas": int((seen == "interpolada").sum()),
            "descubiertas": int((seen == "descubierta").sum()),
        }

    def _denominator(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """The figure of the month nearest to the row's, or the newest, where it is from and how old it is."""
        if self._payload not in {"reliability", "quality", "market_map"}:
            return None
        figures = denominators(self._customers).filter(pl.col("nombre_region") == row["nombre_region"])
        if figures.is_empty():
            return None
        at = self._month.first_day if self._month else figures["mes"][-1]
        found = min(figures.to_dicts(), key=lambda each: (abs(_months(at, each["mes"])), each["mes"]))
        stated = found["periodo_star"]
        period = date(int(stated[2:]), int(stated[:2]), 1) if stated and len(stated) == 6 else found["mes"]
        newest = at if self._month else self._loads["mes"].max()
        origins = frames.read_customer_origins(self._connection, self._store).filter(pl.col("mes") == found["mes"])
        return {
            "universo": found["universo"],
            "mes": str(found["mes"])[:7],
            "periodo_star": stated,
            "antiguedad_meses": _months(cast("date", newest), period),
            "fuente": "SEC, GetClientesRegional (clientes_regionales)",
            "origen": one_word(origins),
        }


def _months(later: date, earlier: date) -> int:
    return (later.year - earlier.year) * 12 + later.month - earlier.month


def _as_row(events: pl.DataFrame, names: frames.Names) -> dict[str, Any]:
    (row,) = frames.name_events(events, names).drop("id_geografia", "id_empresa", "mes").to_dicts()
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
