"""Tables by hour: loads, observations and their archive, unresolved names, counts of imputations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from sec_core.errors import StorageError
from sec_core.hours import Month
from sec_core.silver.archive import Archive, ArchivedMonth
from sec_core.silver.imputation import ROW_RULES
from sec_core.silver.observations import HORA, OBSERVATION_SCHEMA, QUALITY_SCHEMA
from sec_core.silver.statements import Statements, columns
from sec_core.silver.stretches import KEY
from sec_core.silver.timeline import EventRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from adbc_driver_postgresql.dbapi import Connection

    from sec_core.source.shapes import Shape

LOADED_SCHEMA: dict[str, pl.DataType] = {
    "hora": HORA,
    "forma": pl.String(),
    "capturado_en": HORA,
    "sha256": pl.String(),
    **{name: kind for name, kind in QUALITY_SCHEMA.items() if name not in {"hora", "forma"}},
}
"""Columns of `cargas`."""


@dataclass(frozen=True, slots=True)
class History:
    """What a load of one month has to know of all other months.

    `archived`: the month's own observations are in the archive. `rules` are those by which aggregated events were
    derived, None before the first load.
    """

    newest_elsewhere: datetime | None
    archived: bool
    rules: EventRules | None


class ObservationTables(Statements):
    """`cargas`, `fact_observaciones`, `archivo`, `nombres_no_resueltos`, `calidad_imputacion`."""

    def __init__(self, connection: Connection, archive: Archive | None = None) -> None:
        """Make the object; the archive is needed once there are months in it."""
        super().__init__(connection)
        self._archive = archive

    def loaded(self, first: datetime, last: datetime) -> pl.DataFrame:
        """Rows of `cargas` of [first, last), by `LOADED_SCHEMA`, in order."""
        sql = f"select {columns(LOADED_SCHEMA)} from cargas where hora >= $1 and hora < $2 order by hora"
        return self.query(sql, LOADED_SCHEMA, first, last)

    def coverage(self, spans: Sequence[tuple[datetime, datetime]]) -> pl.DataFrame:
        """`hora` and `forma` of the loaded hours in disjoint spans [first, last)."""
        schema = {"hora": HORA, "forma": pl.String()}
        sql = "select hora, forma from cargas where hora >= $1 and hora < $2"
        return pl.concat([pl.DataFrame(schema=schema), *(self.query(sql, schema, *span) for span in spans)])

    def history(self, month: Month) -> History:
        """What a load of a month has to know before it writes."""
        schema = {
            "newest_elsewhere": HORA,
            "archived": pl.Boolean(),
            **{name: pl.Int64() for name in ("umbral", "horas_cierre", "horas_sin_datos")},
        }
        sql = """
            select greatest((select max(hora) from cargas where hora < $2),
                    (select max(hora) from cargas where hora >= $3)) as newest_elsewhere,
                exists (select from archivo where mes = $1) as archived, umbral, horas_cierre, horas_sin_datos
            from (select) as una left join reglas on true
        """
        newest, archived, *rules = self.query(sql, schema, month.first_day, month.start, month.end).row(0)
        return History(newest, archived, None if rules[0] is None else EventRules(*rules))

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
            listed = pl.Series(hours, dtype=HORA)
            for table in ("fact_observaciones", "nombres_no_resueltos", "cargas"):
                # The bounds let PostgreSQL look into one partition only.
                self.execute(
                    f"delete from {table} where hora >= $2 and hora <= $3 and hora = any($1::timestamptz[])",
                    listed,
                    min(hours),
                    max(hours),
                )

    def append_observations(self, month: Month, rows: pl.DataFrame) -> bool:
        """Add observations of a month, under its lock; whether they wait in a new partition for `attach`."""
        made: bool = self.query(
            "select preparar_particion($1::date) as nueva", {"nueva": pl.Boolean()}, month.first_day
        ).item()
        self.append(f"fact_observaciones_{month.year:04d}{month.month:02d}", rows)
        if made:
            self.execute("select 1 from (select indexar_particion($1::date)) as hecha", month.first_day)
        return made

    def attach(self, month: Month) -> None:
        """Make a month's new partition a part of `fact_observaciones`; needs the lock on events or on all months."""
        self.execute("select 1 from (select unir_particion($1::date)) as hecha", month.first_day)

    def observations(self, month: Month) -> pl.DataFrame:
        """The month's observations by `OBSERVATION_SCHEMA`, from the database or the archive; raises StorageError."""
        archived = self.archived(month)
        if archived is not None:
            return self._open_archive().read(archived)
        sql = f"select {columns(OBSERVATION_SCHEMA)} from fact_observaciones where hora >= $1 and hora < $2"
        return self.query(sql, OBSERVATION_SCHEMA, month.start, month.end)

    def observations_of(self, month: Month, keys: pl.DataFrame) -> pl.DataFrame:
        """The month's observations of some keys (`id_geografia`, `id_empresa`, `fecha_inicio`), from the database."""
        sql = f"""
            select {columns(OBSERVATION_SCHEMA, "o.")}
            from unnest($1::smallint[], $2::smallint[], $3::date[]) as k(id_geografia, id_empresa, fecha_inicio)
            join fact_observaciones o on o.id_geografia = k.id_geografia and o.id_empresa = k.id_empresa
                and coalesce(o.fecha_inicio, '-infinity') = coalesce(k.fecha_inicio, '-infinity')
            where o.hora >= $4 and o.hora < $5
        """
        return self.query(sql, OBSERVATION_SCHEMA, *(keys[name] for name in KEY), month.start, month.end)

    def observations_at(self, hours: Sequence[datetime]) -> pl.DataFrame:
        """Observations of some hours, from the database."""
        if not hours:
            return pl.DataFrame(schema=OBSERVATION_SCHEMA)
        sql = f"""
            select {columns(OBSERVATION_SCHEMA)} from fact_observaciones
            where hora >= $2 and hora <= $3 and hora = any($1::timestamptz[])
        """
        return self.query(sql, OBSERVATION_SCHEMA, pl.Series(hours, dtype=HORA), min(hours), max(hours))

    # --- the archive ---

    def archived(self, month: Month) -> ArchivedMonth | None:
        """Where the month's observations are in the archive; None when they are not there."""
        schema = {
            "clave": pl.String(),
            "n_observaciones": pl.Int64(),
            "clientes": pl.Int64(),
            "n_filas": pl.Int64(),
            "sha256": pl.String(),
        }
        found = self.query(f"select {columns(schema)} from archivo where mes = $1", schema, month.first_day)
        return ArchivedMonth(*found.row(0)) if found.height else None

    def partitions(self) -> list[Month]:
        """Months whose observations are in the database, in order."""
        sql = """
            select to_date(right(relname, 6), 'YYYYMM') as mes
            from pg_inherits join pg_class on pg_class.oid = inhrelid
            where inhparent = 'public.fact_observaciones'::regclass order by mes
        """
        return [Month(day.year, day.month) for day in self.query(sql, {"mes": pl.Date()})["mes"]]

    def archive_month(self, month: Month) -> int:
        """Move a month from the database to the archive, under the lock on all months; how many observations moved.

        Raises:
            StorageError: The file could not be written or verified; the partition stays.
        """
        rows = self.observations(month)
        described = self._open_archive().write(month, rows)
        self.execute(
            """
            insert into archivo (mes, clave, n_observaciones, clientes, n_filas, sha256)
            values ($1, $2, $3, $4, $5, $6)
            """,
            month.first_day,
            described.key,
            described.rows,
            described.customers,
            described.source_rows,
            described.sha256,
        )
        # Readers come first: the drop waits for them no longer than this, and can be asked for again.
        self.execute("set local lock_timeout = '10s'")
        self.execute(f"drop table fact_observaciones_{month.year:04d}{month.month:02d}")
        return rows.height

    def restore_month(self, month: Month) -> None:
        """Bring a month back from the archive, before hours of it are replaced, under the lock on all months.

        Raises:
            StorageError: The archive's file is missing or damaged.
        """
        rows = self.observations(month)
        if self.append_observations(month, rows):
            self.attach(month)
        self.execute("delete from archivo where mes = $1", month.first_day)

    def _open_archive(self) -> Archive:
        if self._archive is None:
            raise StorageError("Observations of this month are archived, and no archive is configured.")
        return self._archive

    # --- counts of imputations ---

    def refresh_quality(self, month: Month) -> None:
        """Count imputations of the month's rows again."""
        self.execute("delete from calidad_imputacion where mes = $1 and regla <> 'tope'", month.first_day)
        sums = ", ".join(f"sum(filas_{rule}) as {rule}" for rule in ROW_RULES)
        values = ", ".join(f"('{rule}', c.{rule})" for rule in ROW_RULES)
        self.execute(
            f"""
            insert into calidad_imputacion (mes, regla, filas, total)
            select $1::date, r.regla, r.filas, c.total
            from (select sum(n_filas) as total, {sums} from cargas where hora >= $2 and hora < $3) as c
            cross join lateral (values {values}) as r(regla, filas)
            where c.total is not null
            """,
            month.first_day,
            month.start,
            month.end,
        )

    def refresh_caps(self, event_months: Iterable[date]) -> None:
        """Count capped events again in months of `inicio`."""
        listed = sorted(set(event_months))
        if listed:
            months = pl.Series(listed, dtype=pl.Date)
            self.execute("delete from calidad_imputacion where regla = 'tope' and mes = any($1::date[])", months)
            self.execute(
                """
                insert into calidad_imputacion (mes, regla, filas, total)
                select m, 'tope', count(*) filter (where topado), count(*)
                from unnest($1::date[]) as m
                join fact_interrupciones e on e.inicio >= m::timestamp at time zone 'America/Santiago'
                    and e.inicio < (m + interval '1 month')::timestamp at time zone 'America/Santiago'
                group by m
                """,
                months,
            )
