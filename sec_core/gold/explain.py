"""`sec explain`: what a published row rests on, and the same row computed again from Bronze bodies alone.

What the bodies give goes through the functions that Silver and Gold use themselves. Beside them stand the ledger (which
body counts, which hours have no data) and the customers of regions; what else is taken from elsewhere is in `notes`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from importlib.metadata import version
from typing import Any, cast
from uuid import UUID

import orjson
import polars as pl

from sec_core.blobs.place import BlobMissing, open_blobs
from sec_core.bronze.store import BronzeStore
from sec_core.config import Settings
from sec_core.db.arrow import ArrowConnection
from sec_core.db.database import Database
from sec_core.errors import InputError
from sec_core.gold import explain_bronze as bodies
from sec_core.gold import frames, kept, monthly, storm_catalogue
from sec_core.gold.customers import COUNTRY, comuna_customers, denominators
from sec_core.gold.datasets import definitions
from sec_core.gold.explanation import ABOUT, EVENT, Explanation, differing_keys, matches, one_row
from sec_core.gold.indices import Indices, make_indices
from sec_core.gold.model import as_json
from sec_core.gold.monthly import Monthly
from sec_core.gold.panel import panel, pattern
from sec_core.gold.payloads.basis import METHOD, ages
from sec_core.gold.payloads.registry import PAYLOADS
from sec_core.gold.standing import PAYLOADS_FOLDER, code_digest
from sec_core.gold.storms import StormRules, StormSearch, find_hits
from sec_core.hours import HOUR, Month, day_start
from sec_core.reference.tables import neighbours
from sec_core.silver.events import EVENT_SCHEMA, nearest_month
from sec_core.silver.tables import Archive, SilverTables
from sec_core.silver.timeline import EventRules, whole_days
from sec_core.source.shapes import Shape


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


_NOT_FROM_BODIES = {"meta", "eda_projects_dist"}


class _Explaining:
    """One explanation, from one snapshot of PostgreSQL.

    It stands in for `GoldFrames`: what a payload is computed from is made from bodies when the payload asks for it.
    """

    def __init__(
        self, connection: ArrowConnection, settings: Settings, store: BronzeStore, payload: str, row: Mapping[str, str]
    ) -> None:
        self._connection, self._settings, self._store = connection, settings, store
        self._tables = SilverTables(connection, Archive(settings.archive))
        self._gold = open_blobs(settings.gold)
        self._payload, self._wanted = payload, row
        self._notes: list[str] = []
        self._differences: list[str] = []
        self._evidence = bodies.Evidence()
        self.rules = EventRules.of(settings)
        self.names = frames.read_names(connection)
        self.customers = frames.read_customers(connection)
        self._by_comuna = comuna_customers(self.customers, frames.read_billed(connection))
        self.loads = frames.read_loads(connection)
        self.projects = self._tables.read(frames.SQL["projects"])
        self._newest = cast("datetime", self.loads["hora"].max())

    def done(self) -> Explanation:
        event = self._payload == EVENT
        row = self._event_row() if event else one_row(self._published(self._payload), self._wanted, self._payload)
        built = datetime.now(UTC) if event else datetime.fromisoformat(str(self._published("meta")[0]["generado"]))
        # As of the build: hours that have ended since are not in the published row.
        self.calendar = frames.hour_calendar(self._tables.read(frames.SQL["ledger"]), self.loads, built)
        self.seen = pattern(self.calendar, self._settings.estimate_max_gap_hours)
        self._read_scope(row)
        again = self._again()
        self._differences = differing_keys(row, again or {}) + self._differences
        captures, files = bodies.about_captures(self._evidence.captures)
        keys, inputs = ABOUT.get(self._payload, ("", "What the build of Gold computes; see docs/definitions.md."))
        own = bodies.of_places(self._within(self._evidence.observations), self._places)
        known = {each.key: each for each in definitions("en")}
        return Explanation(
            payload=self._payload,
            row=row,
            definitions=[asdict(known[key]) for key in keys.split()],
            hours=self._hours(),
            rows=int(own["n_filas"].sum()),
            imputed=bodies.imputed_rows(own) if files else {},
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
            found: list[dict[str, Any]] = orjson.loads(self._gold.read(f"{PAYLOADS_FOLDER}{payload}.json"))
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
        return _as_row(frames.name_events(found, self.names))

    def _read_scope(self, row: Mapping[str, Any]) -> None:
        """Month or span, places, and the condition on events, which PostgreSQL and Polars both read: numbers alone."""
        named = {name: row[name] for name in ("nombre_region", "nombre_comuna") if row.get(name, COUNTRY) != COUNTRY}
        self._places = tuple(self.names.places.filter(**named)["id_geografia"]) if named else None
        self._month = Month.parse(str(row["mes"])[:7]) if "mes" in row else None
        self._span = (self._month.start, self._month.end) if self._month else None
        parts = ["true"]
        if self._month:
            number = self._month.year * 100 + self._month.month
            parts.append(f"id_tiempo between {number}0000 and {number}9999")
        if self._places is not None:
            parts.append(f"id_geografia in ({', '.join(map(str, self._places))})")
        if self._payload in {EVENT, "market_map"}:
            own = self.names.companies.filter(nombre_empresa=row["nombre_empresa"])
            parts += [f"id_empresa = {number}" for number in own["id_empresa"]]
        self._first = self._month.start if self._month else None
        if self._payload == EVENT:
            parts.append(f"id_tiempo = {row['id_tiempo']}")
            self._first = day_start(date.fromisoformat(row["inicio"][:10]))
            self._span = datetime.fromisoformat(row["primera_hora"]), datetime.fromisoformat(row["ultima_hora"]) + HOUR
        if "anho" in row:
            self._span = Month(row["anho"], 1).start, Month(row["anho"], 12).end
        if self._payload == "storms":
            end = datetime.fromisoformat(row["fin"]) if row["fin"] else self._newest
            self._span = datetime.fromisoformat(row["inicio"]), end
        self._where = " and ".join(parts)

    def _within(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.col("hora").is_between(*self._span, closed="left")) if self._span else rows

    def _again(self) -> dict[str, Any] | None:
        """The row computed again; empty if the bodies give no such row, None if there is no way to compute it."""
        if self._payload == EVENT:
            return _as_row(self.events) if self.events.height else {}
        if self._payload in _NOT_FROM_BODIES:
            return None
        spec = next(spec for spec in PAYLOADS if spec.id == self._payload)
        rows = [each for each in as_json(spec.build(cast("frames.GoldFrames", self))) if matches(each, self._wanted)]
        if len(rows) != 1:
            self._differences.append("the bodies give no such row.")
            return {}
        return rows[0]

    newest_day = frames.GoldFrames.newest_day

    @cached_property
    def _bodies(self) -> bodies.Evidence:
        """The bodies that can list the row's events."""
        first, last = cast("datetime", self.loads["hora"].min()), self._newest
        if self._span and self._first:
            ends = cast("datetime | None", self._held()["ultima_hora"].max())
            first, last = self._first, max(self._span[1], ends or self._first)
        return self._read([bodies.event_span(first, last, self.rules)], self._places)

    @cached_property
    def events(self) -> pl.DataFrame:
        """The row's events, held against PostgreSQL's."""
        derived = self._derive(self._bodies)
        self._differences += bodies.differing_events(self._held(), derived)
        return frames.name_events(derived, self.names)

    @cached_property
    def imputation(self) -> pl.DataFrame:
        """What rules touched in the bodies."""
        return bodies.imputation(self._bodies)

    def aggregated_panel(self) -> pl.DataFrame:
        """The panel of all aggregated hours, whose events are held against PostgreSQL's too: both follow from it."""
        _ = self.events
        return self._panel(self._bodies).filter(pl.col("forma") == Shape.AGGREGATED.value)

    @cached_property
    def indices(self) -> Indices:
        """Indices by the months' parts; events of the row's month alone count."""
        parts = self.monthly
        events = frames.name_events(self._events_within() if self._month else self._held("false"), self.names)
        return make_indices(parts, self.seen, self.loads, events, self.customers, self._by_comuna, self.names)

    @cached_property
    def monthly(self) -> Monthly:
        """Parts of the months in the row's span from the bodies, those of other months as they were kept."""
        months = [Month(day.year, day.month) for day in self.loads["mes"].unique().sort()]
        chosen = [month for month in months if not self._span or self._span[0] <= month.start < self._span[1]]
        own = frames.with_month(self._read(list(self._about(chosen)), None).observations)

        def read(month: Month) -> pl.DataFrame:
            return own.filter(mes=month.first_day).drop("mes")

        made = monthly.compute(chosen, months, read, self.names, self.loads, self.seen)
        other = ~pl.col("mes").is_in([month.first_day for month in chosen])
        if len(chosen) < len(months):
            self._notes += [
                "Thresholds of major event days rest on the kept daily values of other months.",
                "The interval's bounds also rest on what is kept of other months: peaks are judged over all of them.",
            ]
        whole = {
            kind: kept.joined(kept.read_kept(self._gold, kind, schema)[0].filter(other), made[kind], schema)
            for kind, schema in monthly.KINDS.items()
        }
        return Monthly(**whole, computed=tuple(chosen))

    def _about(self, chosen: Sequence[Month]) -> Iterator[tuple[datetime, datetime]]:
        """Spans whose observations decide about some months, in order and apart."""
        observed = self.seen.hours.filter(pl.col("visto") == "observada")["hora"]
        end = datetime.min.replace(tzinfo=UTC)
        for first, last in whole_days([(month.start - monthly.REACH, month.end + monthly.REACH) for month in chosen]):
            before = observed.filter(observed < first + monthly.REACH).max()
            if isinstance(before, datetime) and end <= before < first:
                yield before, before + HOUR
            yield first, last
            end = last

    @cached_property
    def storms(self) -> pl.DataFrame:
        """The storms of the sets that touch the row's span, with the hits of other hours as they are kept."""
        begin, end = cast("tuple[datetime, datetime]", self._span)
        rules = StormRules.of(self._settings)
        hours, loaded = self.calendar["hora"], self.calendar.filter(pl.col("cargada") & ~pl.col("sospechosa"))["hora"]
        held = kept.read_kept(self._gold, "storm_hits", storm_catalogue.HITS_SCHEMA)[0]

        def search(hits: pl.DataFrame) -> tuple[StormSearch, list[Any]]:
            found = StormSearch(hits, loaded, hours, neighbours(), rules)
            spans = [(cells, *found.span(cells)) for cells in found.sets]
            return found, [each for each in spans if each[1] <= begin <= each[2]]

        about = [begin - monthly.REACH, *(first for _, first, _ in search(held)[1])]
        evidence = self._read(whole_days([(min(about), end + timedelta(days=2))]), None)
        listed = self._panel(evidence)
        served = storm_catalogue.served(self.loads["mes"].unique().sort(), self._by_comuna)
        hits = [held.join(evidence.loads, on="hora", how="anti"), find_hits(listed, served, rules)]
        found, sets = search(pl.concat(hits).sort("hora", "codigo_comuna"))
        found.fill(listed)
        measured = [found.measure(cells) for cells, _, _ in sets]
        if not measured:
            return pl.DataFrame(schema={"punta": pl.Int64, "inicio": frames.UTC_TIME, "id": pl.String})
        self._notes.append("Which hits of other hours belong to the same storm rests on what is kept.")
        rows, curves = (pl.concat([each[at] for each in measured]) for at in (0, 1))
        return storm_catalogue.described(rows, curves, self.loads)

    def _panel(self, evidence: bodies.Evidence) -> pl.DataFrame:
        return panel(evidence.observations, self.names.places, evidence.loads)

    def _events_within(self) -> pl.DataFrame:
        """The row's events, derived again where they end well before the bodies do, else as PostgreSQL holds them."""
        own = replace(self._evidence, observations=bodies.of_places(self._evidence.observations, self._places))
        last = cast("datetime", own.loads["hora"].max()) - timedelta(hours=self.rules.reach, days=2)
        ended = pl.col("ultima_hora") < pl.lit(last, frames.UTC_TIME)
        held = self._held()
        beyond = held.filter(~ended)
        derived = self._derive(own).filter(ended).join(beyond, on="hash_id", how="anti")
        self._differences += bodies.differing_events(held.filter(ended), derived)
        if beyond.height:
            self._notes.append(
                f"{beyond.height} of the month's events go on after the bodies that were read: in saifi_eventos they"
                " are as PostgreSQL holds them; `sec explain time_series` reads all of them again."
            )
        return pl.concat([derived, beyond])

    def _derive(self, evidence: bodies.Evidence) -> pl.DataFrame:
        found = bodies.derive_events(evidence, self.rules, self._newest, self._tables.universe())
        return found.filter(pl.sql_expr(self._where))

    def _read(self, spans: Sequence[tuple[datetime, datetime]], places: tuple[int, ...] | None) -> bodies.Evidence:
        self._evidence = bodies.read_evidence(self._tables, self._store, spans, places)
        self._differences += self._evidence.differences
        return self._evidence

    def _held(self, where: str = "") -> pl.DataFrame:
        return self._tables.query(
            f"select {{columns}} from fact_interrupciones where {where or self._where}", EVENT_SCHEMA
        )

    def _hours(self) -> dict[str, int]:
        calendar, seen = self._within(self.calendar), self._within(self.seen.hours)["visto"]
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
        figures = denominators(self.customers).filter(nombre_region=row["nombre_region"])
        if figures.is_empty():
            return None
        at = self._month.first_day if self._month else figures["mes"][-1]
        asked = pl.DataFrame({"mes": [at], "nombre_region": row["nombre_region"]})
        found = nearest_month(asked, figures, "nombre_region").drop("mes").rename({"mes_figura": "mes"})
        newest = at if self._month else self.loads["mes"].max()
        (figure,) = ages(found, pl.lit(newest, pl.Date)).drop("nombre_region").to_dicts()
        origins = frames.read_customer_origins(self._connection, self._store).filter(mes=figure["mes"])
        source = "SEC, GetClientesRegional (clientes_regionales)"
        return figure | {"mes": str(figure["mes"])[:7], "fuente": source, "origen": frames.one_word(origins)}


def _as_row(events: pl.DataFrame) -> dict[str, Any]:
    (row,) = events.drop("id_geografia", "id_empresa", "mes").to_dicts()
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
