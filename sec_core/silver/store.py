"""The Silver tables as frames, inside one transaction of an ADBC connection. SQL lives here; rules live elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from sec_core.hours import Month
from sec_core.silver.events import EVENT_SCHEMA
from sec_core.silver.imputation import Regla
from sec_core.silver.observations import HORA, OBSERVATION_SCHEMA, QUALITY_SCHEMA
from sec_core.silver.rules import EventRules
from sec_core.silver.stretches import STRETCH_KEY, STRETCH_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from adbc_driver_postgresql.dbapi import Connection

    from sec_core.bronze.model import Shape

    Parameter = str | int | date | datetime

LOAD_LOCK = 7_301_946_023
"""One load writes at a time, in any process: it is held for a fraction of a second, and decoding is done before."""

LOADED_SCHEMA: dict[str, pl.DataType] = {
    "hora": HORA,
    "forma": pl.String(),
    "capturado_en": HORA,
    "sha256": pl.String(),
    **{name: kind for name, kind in QUALITY_SCHEMA.items() if name not in {"hora", "forma"}},
}
"""Columns of `cargas`."""

_QUALITY_OF_ROWS = {
    Regla.CLIENTES: "filas_clientes",
    Regla.GEOGRAFIA: "filas_geografia",
    Regla.EMPRESA: "filas_empresa",
    Regla.FECHA: "filas_fecha",
}


def _columns(schema: Iterable[str], alias: str = "") -> str:
    return ", ".join(f"{alias}{name}" for name in schema)


class SilverStore:
    """Reads and writes Silver on one connection; the connection's owner commits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # --- the means ---

    def query(self, sql: str, schema: Mapping[str, pl.DataType], *parameters: Parameter) -> pl.DataFrame:
        """Rows of a statement, with exactly the columns and types of `schema`."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            frame = pl.DataFrame(cursor.fetch_arrow_table())
        return frame.select(pl.col(name).cast(kind) for name, kind in schema.items())

    def execute(self, sql: str, *parameters: Parameter) -> None:
        """Run a statement for its effect."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Add rows to a table whose columns the frame names, types as they are there."""
        if frame.height:
            with self._connection.cursor() as cursor:
                cursor.adbc_ingest(table, frame.to_arrow(compat_level=pl.CompatLevel.oldest()), mode="append")

    def lock(self) -> None:
        """Wait until no other load is writing; held until the transaction ends."""
        self.execute(f"select 1 from (select pg_advisory_xact_lock({LOAD_LOCK})) as held")

    # --- hours ---

    def loaded(self, first: datetime, last: datetime) -> pl.DataFrame:
        """Rows of `cargas` of [first, last), by `LOADED_SCHEMA`, in order."""
        sql = f"select {_columns(LOADED_SCHEMA)} from cargas where hora >= $1 and hora < $2 order by hora"
        return self.query(sql, LOADED_SCHEMA, first, last)

    def coverage(self, spans: Sequence[tuple[datetime, datetime]]) -> pl.DataFrame:
        """`hora` and `forma` of the loaded hours in disjoint spans [first, last)."""
        schema = {"hora": HORA, "forma": pl.String()}
        sql = "select hora, forma from cargas where hora >= $1 and hora < $2"
        return pl.concat([pl.DataFrame(schema=schema), *(self.query(sql, schema, *span) for span in spans)])

    def newest(self) -> datetime | None:
        """The newest loaded hour of the whole history."""
        newest: datetime | None = self.query("select max(hora) as hora from cargas", {"hora": HORA})["hora"][0]
        return newest

    def months_loaded(self, shape: Shape) -> list[Month]:
        """Months with loaded hours of a shape, in order."""
        sql = """
            select distinct date_trunc('month', hora at time zone 'America/Santiago')::date as mes
            from cargas where forma = $1 order by mes
        """
        return [Month(day.year, day.month) for day in self.query(sql, {"mes": pl.Date()}, shape.value)["mes"]]

    def count_unresolved(self, month: Month) -> int:
        """Different spellings of the month that resolve to nothing."""
        sql = """
            select count(distinct (tipo, nombre_region, nombre)) as n from nombres_no_resueltos
            where hora >= $1 and hora < $2
        """
        return int(self.query(sql, {"n": pl.Int64()}, month.start, month.end).item())

    def remove_hours(self, hours: Sequence[datetime]) -> None:
        """Take hours out of observations, loads and unresolved names."""
        if hours:
            listed = _array(hour.isoformat() for hour in hours)
            for table in ("fact_observaciones", "nombres_no_resueltos", "cargas"):
                # The bounds let PostgreSQL look into one partition only.
                self.execute(
                    f"delete from {table} where hora >= $2 and hora <= $3 and hora = any($1::text::timestamptz[])",
                    listed,
                    min(hours),
                    max(hours),
                )

    def ensure_partition(self, month: Month) -> None:
        """Make the month's partition of the observations."""
        self.execute("select 1 from (select asegurar_particion($1::date)) as made", month.first_day)

    def observations(self, month: Month) -> pl.DataFrame:
        """The month's observations, by `OBSERVATION_SCHEMA`."""
        sql = f"select {_columns(OBSERVATION_SCHEMA)} from fact_observaciones where hora >= $1 and hora < $2"
        return self.query(sql, OBSERVATION_SCHEMA, month.start, month.end)

    # --- stretches ---

    def stretches(self, month: date) -> pl.DataFrame:
        """The month's stretches, by `STRETCH_SCHEMA`, in order of their key."""
        sql = f"select {_columns(STRETCH_SCHEMA)} from tramos where mes = $1"
        return self.query(sql, STRETCH_SCHEMA, month).sort(STRETCH_KEY, nulls_last=True)

    def count_events(self, month: Month) -> int:
        """Events with an hour in the month: stretches of one month always are of different events."""
        sql = "select count(*) as n from tramos where mes = $1 and primera_hora is not null"
        return int(self.query(sql, {"n": pl.Int64()}, month.first_day).item())

    def replace_stretches(self, month: date, rows: pl.DataFrame) -> None:
        """Make `rows` the month's stretches."""
        self.execute("delete from tramos where mes = $1", month)
        self.append("tramos", rows)

    def detailed_elsewhere(self, keys: pl.DataFrame, month: date) -> pl.DataFrame:
        """Detailed stretches in other months of keys (`id_geografia`, `id_empresa`, `fecha_inicio`)."""
        sql = f"""
            select {_columns(STRETCH_SCHEMA, "t.")}
            from unnest($1::text::smallint[], $2::text::smallint[], $3::text::date[])
                as k(id_geografia, id_empresa, fecha_inicio)
            join tramos t using (id_geografia, id_empresa, fecha_inicio)
            where t.forma = 'detailed' and t.mes <> $4
        """
        arrays = [_array(keys[name]) for name in ("id_geografia", "id_empresa", "fecha_inicio")]
        return self.query(sql, STRETCH_SCHEMA, *arrays, month)

    def aggregated_near(
        self, month: date, places: Sequence[int] | None, *, since: datetime | None = None, until: datetime | None = None
    ) -> pl.DataFrame:
        """Aggregated stretches of a month that end at or after `since`, or begin at or before `until`.

        Rows without hours are always among them. `places` None means all.
        """
        parts = ["mes = $1", "forma = 'aggregated'"]
        values: list[Parameter] = [month]
        for condition, value in (
            ("id_geografia = any($N::text::smallint[])", None if places is None else _array(places)),
            ("(primera_hora is null or ultima_hora >= $N)", since),
            ("(primera_hora is null or primera_hora <= $N)", until),
        ):
            if value is not None:
                values.append(value)
                parts.append(condition.replace("$N", f"${len(values)}"))
        sql = f"select {_columns(STRETCH_SCHEMA)} from tramos where {' and '.join(parts)}"
        return self.query(sql, STRETCH_SCHEMA, *values)

    def all_aggregated(self) -> pl.DataFrame:
        """All aggregated stretches of the history."""
        return self.query(f"select {_columns(STRETCH_SCHEMA)} from tramos where forma = 'aggregated'", STRETCH_SCHEMA)

    # --- events ---

    def events(self, hashes: pl.Series) -> pl.DataFrame:
        """Events by identity, by `EVENT_SCHEMA`."""
        sql = f"select {_columns(EVENT_SCHEMA)} from fact_interrupciones where hash_id = any($1::text::uuid[])"
        return self.query(sql, EVENT_SCHEMA, _uuids(hashes))

    def events_near_end(self, since: datetime) -> pl.DataFrame:
        """Events that are open or whose last hour is not before `since`: identity, shape, `ultima_hora` and `fin`."""
        schema = {name: EVENT_SCHEMA[name] for name in ("hash_id", "forma", "ultima_hora", "fin")}
        sql = f"select {_columns(schema)} from fact_interrupciones where fin is null or ultima_hora >= $1"
        return self.query(sql, schema, since)

    def toggle_end(self, hashes: pl.Series) -> None:
        """Close events that are open, and open those that are closed."""
        if hashes.len():
            self.execute(
                """
                update fact_interrupciones set fin = case when fin is null then ultima_hora + interval '1 hour' end
                where hash_id = any($1::text::uuid[])
                """,
                _uuids(hashes),
            )

    def delete_events(self, hashes: pl.Series) -> None:
        """Remove events by identity."""
        if hashes.len():
            self.execute("delete from fact_interrupciones where hash_id = any($1::text::uuid[])", _uuids(hashes))

    def insert_events(self, events: pl.DataFrame) -> None:
        """Add events, and the hours of the calendar that they begin in."""
        months = sorted({value // 10_000 for value in events["id_tiempo"].unique()})
        self.execute(
            """
            select asegurar_tiempo(m) from (
                select make_date(n / 100, n % 100, 1) as m, n from unnest($1::text::integer[]) as n
            ) as meses
            where not exists (select from dim_tiempo t where t.id_tiempo = n * 10000 + 112)
            """,
            _array(months),
        )
        self.append("fact_interrupciones", events)

    def universe(self) -> pl.DataFrame:
        """Known customers of regions, without the country's row."""
        schema = {"mes": pl.Date(), "codigo_region": pl.String(), "clientes": pl.Int64()}
        return self.query(
            "select mes, codigo_region, clientes from clientes_regionales where codigo_region <> '00'", schema
        )

    # --- rules and quality ---

    def rules(self) -> EventRules | None:
        """The rules by which aggregated events were derived."""
        schema = {name: pl.Int64() for name in ("umbral", "horas_cierre", "horas_sin_datos")}
        found = self.query("select umbral, horas_cierre, horas_sin_datos from reglas", schema)
        return EventRules(*found.row(0)) if found.height else None

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

    def refresh_quality(self, month: Month, event_months: Sequence[date]) -> None:
        """Count imputations again: of rows in `month`, of capped events in `event_months` (months of `inicio`)."""
        self.execute("delete from calidad_imputacion where mes = $1 and regla <> 'tope'", month.first_day)
        values = ", ".join(f"('{rule}', sum({column}))" for rule, column in _QUALITY_OF_ROWS.items())
        self.execute(
            f"""
            insert into calidad_imputacion (mes, regla, filas, total)
            select $1::date, r.regla, r.filas, c.total
            from (select sum(n_filas) as total, {", ".join(f"sum({c}) as {c}" for c in _QUALITY_OF_ROWS.values())}
                  from cargas where hora >= $2 and hora < $3) as c
            cross join lateral (values {values.replace("sum(", "(c.")}) as r(regla, filas)
            where c.total is not null
            """,
            month.first_day,
            month.start,
            month.end,
        )
        if event_months:
            months = _array(event_months)
            self.execute("delete from calidad_imputacion where regla = 'tope' and mes = any($1::text::date[])", months)
            self.execute(
                """
                insert into calidad_imputacion (mes, regla, filas, total)
                select m, 'tope', count(*) filter (where topado), count(*)
                from unnest($1::text::date[]) as m
                join fact_interrupciones e on e.inicio >= m::timestamp at time zone 'America/Santiago'
                    and e.inicio < (m + interval '1 month')::timestamp at time zone 'America/Santiago'
                group by m
                """,
                months,
            )


def _array(values: Iterable[object]) -> str:
    """A PostgreSQL array literal of numbers, dates or instants, which need no quotes inside."""
    return "{" + ",".join(f'"{value}"' for value in values) + "}"


def _uuids(hashes: pl.Series) -> str:
    return _array(hashes.bin.encode("hex"))
