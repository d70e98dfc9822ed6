"""All tables of Silver on one connection: here those of events, in `observation_tables` those by hour. No rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from sec_core.silver.events import EVENT_SCHEMA
from sec_core.silver.observation_tables import ObservationTables
from sec_core.silver.statements import Parameter, columns, uuids
from sec_core.silver.stretches import KEY, STRETCH_KEY, STRETCH_SCHEMA, StretchChanges, no_stretches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sec_core.silver.timeline import EventRules


class SilverTables(ObservationTables):
    """`tramos`, `fact_interrupciones`, `dim_tiempo`, `clientes_regionales`, `reglas`, and those by hour.

    Reads and writes inside one transaction; the connection's owner commits.
    """

    # --- stretches ---

    def stretches(self, month: date) -> pl.DataFrame:
        """The month's stretches, by `STRETCH_SCHEMA`, in order of their key."""
        sql = f"select {columns(STRETCH_SCHEMA)} from tramos where mes = $1"
        return self.query(sql, STRETCH_SCHEMA, month).sort(STRETCH_KEY, nulls_last=True)

    def replace_stretches(self, month: date, changes: StretchChanges) -> None:
        """Turn the month's stretches into what they are now: few hours change few of them."""
        keys = changes.gone.select(KEY).unique()
        if keys.height:
            self.execute(
                """
                delete from tramos t
                using unnest($1::smallint[], $2::smallint[], $3::date[]) as k(id_geografia, id_empresa, fecha_inicio)
                where t.mes = $4 and t.id_geografia = k.id_geografia and t.id_empresa = k.id_empresa
                    and t.fecha_inicio is not distinct from k.fecha_inicio
                """,
                *(keys[name] for name in KEY),
                month,
            )
            kept = changes.after.join(keys, on=KEY, how="semi", nulls_equal=True)
            added = pl.concat([kept, changes.made]).unique().sort(STRETCH_KEY, nulls_last=True)
        else:
            added = changes.made
        self.append("tramos", added)

    def detailed_elsewhere(self, keys: pl.DataFrame, month: date) -> pl.DataFrame:
        """Detailed stretches in other months of keys (`id_geografia`, `id_empresa`, `fecha_inicio`)."""
        # Almost all outages begin in the month that lists them, and few of these are listed in another one: these are
        # found by their start dates. Older ones are few, and looked for one by one.
        own = keys.filter(pl.col("fecha_inicio") >= month)
        older = keys.filter(pl.col("fecha_inicio") < month)
        parts = [no_stretches()]
        if own.height:
            sql = f"""
                select {columns(STRETCH_SCHEMA)} from tramos
                where fecha_inicio between $1 and $2 and forma = 'detailed' and mes <> $3
            """
            days = own["fecha_inicio"].sort()
            near = self.query(sql, STRETCH_SCHEMA, days[0], days[-1], month)
            parts.append(near.join(own, on=KEY, how="semi"))
        if older.height:
            sql = f"""
                select {columns(STRETCH_SCHEMA, "t.")}
                from unnest($1::smallint[], $2::smallint[], $3::date[]) as k(id_geografia, id_empresa, fecha_inicio)
                join tramos t using (id_geografia, id_empresa, fecha_inicio)
                where t.forma = 'detailed' and t.mes <> $4
            """
            parts.append(self.query(sql, STRETCH_SCHEMA, *(older[name] for name in KEY), month))
        return pl.concat(parts)

    def aggregated_near(
        self,
        month: date,
        comunas: Sequence[int] | None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> pl.DataFrame:
        """Aggregated stretches of a month that end at or after `since`, or begin at or before `until`.

        Rows without hours are always among them. `comunas` None means all.
        """
        conditions = ["mes = $1", "forma = 'aggregated'"]
        values: list[Parameter] = [month]
        for condition, value in (
            ("id_geografia = any($N::smallint[])", None if comunas is None else pl.Series(comunas, dtype=pl.Int16)),
            ("(primera_hora is null or ultima_hora >= $N)", since),
            ("(primera_hora is null or primera_hora <= $N)", until),
        ):
            if value is not None:
                values.append(value)
                conditions.append(condition.replace("$N", f"${len(values)}"))
        sql = f"select {columns(STRETCH_SCHEMA)} from tramos where {' and '.join(conditions)}"
        return self.query(sql, STRETCH_SCHEMA, *values)

    def all_aggregated(self) -> pl.DataFrame:
        """All aggregated stretches of the history."""
        return self.query(f"select {columns(STRETCH_SCHEMA)} from tramos where forma = 'aggregated'", STRETCH_SCHEMA)

    # --- events ---

    def events(self, hashes: pl.Series) -> pl.DataFrame:
        """Events by identity, by `EVENT_SCHEMA`."""
        if hashes.is_empty():
            return pl.DataFrame(schema=EVENT_SCHEMA)
        sql = f"select {columns(EVENT_SCHEMA)} from fact_interrupciones where hash_id = any($1::text[]::uuid[])"
        return self.query(sql, EVENT_SCHEMA, uuids(hashes))

    def events_ending(self, near: tuple[datetime, datetime], also: tuple[datetime, datetime]) -> pl.DataFrame:
        """Events whose last hour lies in one of two spans, ends included: identity, shape, `ultima_hora` and `fin`."""
        schema = {name: EVENT_SCHEMA[name] for name in ("hash_id", "forma", "ultima_hora", "fin")}
        sql = f"""
            select {columns(schema)} from fact_interrupciones
            where ultima_hora between $1 and $2 or ultima_hora between $3 and $4
        """
        return self.query(sql, schema, *near, *also)

    def events_near(self, first: datetime, last: datetime) -> pl.DataFrame:
        """Events that last into a span: identity, shape, hours, `censurado` and `horas_sin_datos`."""
        names = ("hash_id", "forma", "primera_hora", "ultima_hora", "censurado", "horas_sin_datos")
        schema = {name: EVENT_SCHEMA[name] for name in names}
        # An event that is not among the few long ones ends within a month of any hour that it touches.
        sql = f"""
            select {columns(schema)} from fact_interrupciones
            where primera_hora <= $2 and ultima_hora >= $1
                and (ultima_hora <= $2 + interval '32 days' or ultima_hora - primera_hora > interval '31 days')
        """
        return self.query(sql, schema, first, last)

    def update_censoring(self, rows: pl.DataFrame) -> None:
        """Write what gaps hide of events, by `hash_id`."""
        if rows.height:
            self.execute("drop table if exists pg_temp.censuras")
            self.append("censuras", rows, temporary=True)
            self.execute(
                """
                update fact_interrupciones e
                set (censurado, horas_sin_datos) = (c.censurado, c.horas_sin_datos)
                from pg_temp.censuras c where e.hash_id = encode(c.hash_id, 'hex')::uuid
                """
            )

    def toggle_end(self, hashes: pl.Series) -> None:
        """Close events that are open, and open those that are closed."""
        if hashes.len():
            self.execute(
                """
                update fact_interrupciones set fin = case when fin is null then ultima_hora + interval '1 hour' end
                where hash_id = any($1::text[]::uuid[])
                """,
                uuids(hashes),
            )

    def delete_events(self, hashes: pl.Series) -> None:
        """Remove events by identity."""
        if hashes.len():
            self.execute("delete from fact_interrupciones where hash_id = any($1::text[]::uuid[])", uuids(hashes))

    def insert_events(self, events: pl.DataFrame) -> None:
        """Add events, and the hours of the calendar that they begin in."""
        months = (events["id_tiempo"] // 10_000).unique().sort()
        self.execute(
            """
            select asegurar_tiempo(m) from (
                select make_date(n / 100, n % 100, 1) as m, n from unnest($1::integer[]) as n
            ) as meses
            where not exists (select from dim_tiempo t where t.id_tiempo = n * 10000 + 112)
            """,
            months,
        )
        # In the order of the key's index, which is larger than a processor's cache after some years.
        self.append("fact_interrupciones", events.sort("hash_id"))

    def universe(self) -> pl.DataFrame:
        """Known customers of regions, without the country's row."""
        schema = {"mes": pl.Date(), "codigo_region": pl.String(), "clientes": pl.Int64()}
        return self.query(
            "select mes, codigo_region, clientes from clientes_regionales where codigo_region <> '00'", schema
        )

    def write_universe(self, rows: pl.DataFrame) -> None:
        """Keep customers of a month; of two answers the newer stands."""
        names = ("mes", "codigo_region", "clientes", "periodo_star", "capturado_en", "clientes_estimados")
        for row in rows.select(names).iter_rows():
            self.execute(
                f"""
                insert into clientes_regionales as c ({columns(names)})
                values ($1, $2, $3, nullif($4::text, ''), $5, nullif($6::bigint, -1))
                on conflict (mes, codigo_region) do update
                set (clientes, periodo_star, capturado_en, clientes_estimados)
                    = (excluded.clientes, excluded.periodo_star, excluded.capturado_en, excluded.clientes_estimados)
                where c.capturado_en <= excluded.capturado_en
                """,
                *row[:3],
                row[3] or "",
                row[4],
                -1 if row[5] is None else row[5],
            )

    def update_caps(self, rows: pl.DataFrame) -> None:
        """Write what the cap says of events, by `hash_id`."""
        self.execute("drop table if exists pg_temp.topes")
        self.append("topes", rows, temporary=True)
        self.execute(
            """
            update fact_interrupciones e
            set (clientes_afectados, imputaciones, topado, meses_denominador)
                = (t.clientes_afectados, t.imputaciones, t.topado, t.meses_denominador)
            from pg_temp.topes t where e.hash_id = encode(t.hash_id, 'hex')::uuid
            """
        )

    # --- rules and quality ---

    def write_rules(self, rules: EventRules) -> None:
        """Note by which rules aggregated events are derived from now on."""
        self.execute(
            """
            insert into reglas (umbral, horas_cierre, horas_sin_datos) values ($1, $2, $3)
            on conflict (unica) do update set (umbral, horas_cierre, horas_sin_datos)
                = (excluded.umbral, excluded.horas_cierre, excluded.horas_sin_datos)
            """,
            rules.threshold,
            rules.close_hours,
            rules.max_gap_hours,
        )
