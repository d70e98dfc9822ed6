"""All tables of Silver on one connection, and the archive of old months. No rules: statements are in `tables.sql`."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import date, datetime
from io import BytesIO
from itertools import chain
from typing import Final

import polars as pl

from sec_core.blobs.place import Place, open_blobs
from sec_core.db.arrow import ArrowConnection, Parameter
from sec_core.db.locks import Lock, LockClass
from sec_core.db.queries import read_queries
from sec_core.errors import StorageError
from sec_core.hours import Month
from sec_core.silver.columns import HORA, conform, typed
from sec_core.silver.events import ENDS_SCHEMA, EVENT_SCHEMA, UNIVERSE_SCHEMA
from sec_core.silver.observations import LOADED_SCHEMA, OBSERVATION_KEY, OBSERVATION_SCHEMA
from sec_core.silver.stretches import KEY, STRETCH_KEY, STRETCH_SCHEMA, StretchChanges
from sec_core.silver.timeline import EventRules
from sec_core.source.shapes import Shape

SQL: Final = read_queries("sec_core.silver", "tables.sql")


@dataclass(frozen=True, slots=True)
class History:
    """What a load of one month has to know of all other months.

    `archived`: the month's own observations are in the archive. `rules` are those by which aggregated events were
    derived, None before the first load.
    """

    newest_elsewhere: datetime | None
    archived: bool
    rules: EventRules | None


@dataclass(frozen=True, slots=True)
class ArchivedMonth:
    """A file of the archive as table `archivo` describes it: path, observations, sums, and hex SHA-256."""

    key: str
    rows: int
    customers: int
    source_rows: int
    sha256: str


class Archive:
    """Observations of old months as verified Parquet files, hive-partitioned, in place of their partitions.

    A month's observations are either in the database or in the archive, and table `archivo` says which: it is written
    in the same transaction that drops the partition, or that fills it again. A file without a row there means nothing.
    """

    def __init__(self, root: Place) -> None:
        self._blobs = open_blobs(root)

    def write(self, month: Month, observations: pl.DataFrame) -> ArchivedMonth:
        """Write all observations of a month, and read them back; gives the file's description.

        Raises:
            StorageError: The place refused it, or what was read back is not what was written.
            StorageUnavailable: The place did not answer.
        """
        ordered = observations.sort(OBSERVATION_KEY, nulls_last=True)
        key = f"observaciones/anho={month.year:04d}/mes={month.month:02d}/observaciones.parquet"
        file = BytesIO()
        ordered.write_parquet(file, compression="zstd", compression_level=9, statistics=True)
        self._blobs.replace(key, file.getbuffer())
        described = _describe(key, ordered, hashlib.sha256(file.getbuffer()).hexdigest())
        back = self.read(described)
        if not back.equals(ordered):
            raise StorageError(f"The archive's file {key} is not what was written.")
        return described

    def read(self, described: ArchivedMonth) -> pl.DataFrame:
        """A month's observations by `OBSERVATION_SCHEMA`, sorted by key, checked against what `archivo` says.

        Raises:
            StorageError: The file is missing, unreadable or not the one described.
            StorageUnavailable: The place did not answer.
        """
        body = self._blobs.read(described.key)
        try:
            frame = pl.read_parquet(body).cast(dict(OBSERVATION_SCHEMA))  # type: ignore[arg-type]
        except pl.exceptions.PolarsError as error:
            raise StorageError(f"The archive's file {described.key} can't be read: {error}.") from error
        if _describe(described.key, frame, hashlib.sha256(body).hexdigest()) != described:
            raise StorageError(
                f"The archive's file {described.key} is not the one that was verified.",
                next_step="Restore it from a backup, or run `sec reprocess` for the month.",
            )
        return frame


class Statements:
    """Statements on one connection; the connection's owner commits."""

    def __init__(self, connection: ArrowConnection) -> None:
        self.connection = connection
        # Rows of a statement as PostgreSQL types them; and a statement run for its effect.
        self.read, self.execute = connection.query, connection.execute

    def query(self, sql: str, schema: Mapping[str, pl.DataType], *parameters: Parameter) -> pl.DataFrame:
        """Rows of a statement, with exactly the columns and types of `schema`; its `{columns}` are these."""
        return conform(self.read(sql.replace("{columns}", columns(schema)), *parameters), schema)

    def append(self, table: str, frame: pl.DataFrame, *, temporary: bool = False) -> None:
        """Add rows to a table whose columns and types the frame has; `temporary` makes it, for this session."""
        if frame.height or temporary:
            self.connection.append(table, frame, create=temporary, temporary=temporary)

    @contextmanager
    def appending(self, table: str, frame: pl.DataFrame) -> Iterator[None]:
        """Append while the block computes: PostgreSQL has a core of its own. It may not use the connection."""
        with ThreadPoolExecutor(1) as beside:
            done = beside.submit(self.append, table, frame)
            yield
            done.result()

    def lock_month(self, month: Month, *, alone: bool = False) -> None:
        """Wait until no other load writes to a month; held until the transaction ends, taken before `lock_events`.

        With `alone`, wait until no other load writes to any month, for what touches several.
        """
        kind = "" if alone else "_shared"
        self.execute(f"select pg_advisory_xact_lock{kind}({Lock.ALL_MONTHS:d})")
        self.execute(f"select pg_advisory_xact_lock({LockClass.SILVER_MONTH:d}, {month.year * 100 + month.month})")

    def lock_events(self) -> None:
        """Wait until nobody else derives events; held until the transaction ends."""
        self.execute(f"select pg_advisory_xact_lock({Lock.EVENTS:d})")


class SilverTables(Statements):
    """Reads and writes inside one transaction; the connection's owner commits."""

    def __init__(self, connection: ArrowConnection, archive: Archive | None = None) -> None:
        """Make the object; the archive is needed once there are months in it."""
        super().__init__(connection)
        self._archive = archive

    # --- loads: `cargas`, `nombres_no_resueltos`, `reglas` ---

    def loaded(self, first: datetime, last: datetime) -> pl.DataFrame:
        """Rows of `cargas` of [first, last), by `LOADED_SCHEMA`, in order."""
        return self.query(SQL["loaded"], LOADED_SCHEMA, first, last)

    def coverage(self, spans: Sequence[tuple[datetime, datetime]]) -> pl.DataFrame:
        """`hora` and `forma` of the loaded hours in disjoint spans [first, last)."""
        schema = typed("hora forma")
        return pl.concat([pl.DataFrame(schema=schema), *(self.query(SQL["coverage"], schema, *span) for span in spans)])

    def history(self, month: Month) -> History:
        """What a load of a month has to know before it writes."""
        newest, archived, *rules = self.read(SQL["history"], month.first_day, month.start, month.end).row(0)
        return History(newest, archived, None if rules[0] is None else EventRules(*rules))

    def newest(self) -> datetime | None:
        """The newest loaded hour of the whole history."""
        newest: datetime | None = self.query("select max(hora) as hora from cargas", typed("hora")).item()
        return newest

    def months_loaded(self, shape: Shape) -> list[Month]:
        """Months with loaded hours of a shape, in order."""
        return [Month(day.year, day.month) for day in self.read(SQL["months_loaded"], shape.value)["mes"]]

    def remove_hours(self, hours: Sequence[datetime]) -> None:
        """Take hours out of observations, loads and unresolved names."""
        if hours:
            listed = pl.Series(hours, dtype=HORA)
            # The bounds let PostgreSQL look into one partition only.
            where = "hora >= $2 and hora <= $3 and hora = any($1::timestamptz[])"
            for table in ("fact_observaciones", "nombres_no_resueltos", "cargas"):
                self.execute(f"delete from {table} where {where}", listed, min(hours), max(hours))

    def write_rules(self, rules: EventRules) -> None:
        """Note by which rules aggregated events are derived from now on."""
        self.execute(SQL["write_rules"], rules.threshold, rules.close_hours, rules.max_gap_hours)

    # --- observations, in the database or in the archive ---

    @contextmanager
    def appending_observations(self, month: Month, rows: pl.DataFrame) -> Iterator[bool]:
        """Add observations of a month, under its lock, beside what the block does: see `appending`.

        Gives whether they are in a new partition, which waits for `attach`.
        """
        made: bool = self.read(SQL["prepare_partition"], month.first_day).item()
        with self.appending(_partition(month), rows):
            yield made
        if made:
            self.execute(SQL["index_partition"], month.first_day)

    def attach(self, month: Month) -> None:
        """Make a month's new partition a part of `fact_observaciones`; needs the lock on events or on all months."""
        self.execute(SQL["attach_partition"], month.first_day)

    def observations(self, month: Month) -> pl.DataFrame:
        """The month's observations by `OBSERVATION_SCHEMA`, from the database or the archive; raises StorageError."""
        if (archived := self.archived(month)) is not None:
            return self._open_archive().read(archived)
        return self.query(SQL["observations"], OBSERVATION_SCHEMA, month.start, month.end)

    def observations_of(self, month: Month, keys: pl.DataFrame) -> pl.DataFrame:
        """The month's observations of some keys (`id_geografia`, `id_empresa`, `fecha_inicio`), from the database."""
        listed = (keys[name] for name in KEY)
        return self.query(SQL["observations_of"], OBSERVATION_SCHEMA, *listed, month.start, month.end)

    def observations_at(self, hours: Sequence[datetime]) -> pl.DataFrame:
        """Observations of some hours, from the database."""
        if not hours:
            return pl.DataFrame(schema=OBSERVATION_SCHEMA)
        listed = pl.Series(hours, dtype=HORA)
        return self.query(SQL["observations_at"], OBSERVATION_SCHEMA, listed, min(hours), max(hours))

    def archived(self, month: Month) -> ArchivedMonth | None:
        """Where the month's observations are in the archive; None when they are not there."""
        found = self.read(SQL["archived"], month.first_day)
        return ArchivedMonth(*found.row(0)) if found.height else None

    def partitions(self) -> list[Month]:
        """Months whose observations are in the database, in order."""
        return [Month(day.year, day.month) for day in self.read(SQL["partitions"])["mes"]]

    def archive_month(self, month: Month) -> int:
        """Move a month from the database to the archive, under the lock on all months; how many observations moved.

        Raises:
            StorageError: The file could not be written or verified; the partition stays.
        """
        rows = self.observations(month)
        described = self._open_archive().write(month, rows)
        self.execute(SQL["note_archived"], month.first_day, *astuple(described))
        # Readers come first: the drop waits for them no longer than this, and can be asked for again.
        self.execute("set local lock_timeout = '10s'")
        self.execute(f"drop table {_partition(month)}")
        return rows.height

    def restore_month(self, month: Month) -> None:
        """Bring a month back from the archive, before hours of it are replaced, under the lock on all months.

        Raises:
            StorageError: The archive's file is missing or damaged.
        """
        with self.appending_observations(month, self.observations(month)) as made:
            pass
        if made:
            self.attach(month)
        self.execute("delete from archivo where mes = $1", month.first_day)

    def _open_archive(self) -> Archive:
        if self._archive is None:
            raise StorageError("Observations of this month are archived, and no archive is configured.")
        return self._archive

    # --- counts of imputations: `calidad_imputacion` ---

    def refresh_quality(self, month: Month) -> None:
        """Count imputations of the month's rows again."""
        self.execute("delete from calidad_imputacion where mes = $1 and regla <> 'tope'", month.first_day)
        self.execute(SQL["refresh_quality"], month.first_day, month.start, month.end)

    def refresh_caps(self, event_months: Iterable[date]) -> None:
        """Count capped events again in months of `inicio`."""
        if listed := sorted(set(event_months)):
            months = pl.Series(listed, dtype=pl.Date)
            self.execute("delete from calidad_imputacion where regla = 'tope' and mes = any($1::date[])", months)
            self.execute(SQL["refresh_caps"], months)

    # --- stretches: `tramos` ---

    def stretches(self, month: date) -> pl.DataFrame:
        """The month's stretches, by `STRETCH_SCHEMA`, in order of their key."""
        return self.query(SQL["stretches"], STRETCH_SCHEMA, month).sort(STRETCH_KEY, nulls_last=True)

    @contextmanager
    def replacing_stretches(self, month: date, changes: StretchChanges) -> Iterator[None]:
        """Turn the month's stretches into what they are now, beside what the block does: see `appending`."""
        before, after = changes.states
        if before.height:
            self.execute(SQL["delete_stretches"], *(changes.keys[name] for name in KEY), month)
        with self.appending("tramos", after.join(changes.keys, on=KEY, how="semi", nulls_equal=True)):
            yield

    def detailed_elsewhere(self, keys: pl.DataFrame, month: date) -> pl.DataFrame:
        """Detailed stretches in other months of keys (`id_geografia`, `id_empresa`, `fecha_inicio`)."""
        # Almost all outages begin in the month that lists them, and few of these are listed in another one: these are
        # found by their start dates. Older ones are few, and looked for one by one.
        own = keys.filter(pl.col("fecha_inicio") >= month)
        older = keys.filter(pl.col("fecha_inicio") < month)
        parts = [pl.DataFrame(schema=STRETCH_SCHEMA)]
        if own.height:
            days = own["fecha_inicio"].sort()
            near = self.query(SQL["stretches_begun"], STRETCH_SCHEMA, days[0], days[-1], month)
            parts.append(near.join(own, on=KEY, how="semi"))
        if older.height:
            parts.append(self.query(SQL["stretches_of"], STRETCH_SCHEMA, *(older[name] for name in KEY), month))
        return pl.concat(parts)

    def aggregated_near(self, month: date, comunas: Sequence[int], *, since: datetime, until: datetime) -> pl.DataFrame:
        """Aggregated stretches of a month of all comunas, or those named, that have one in a span.

        Rows without hours are always among them.
        """
        listed = pl.Series(comunas, dtype=pl.Int16)
        return self.query(SQL["aggregated_near"], STRETCH_SCHEMA, month, listed, since, until)

    # --- events: `fact_interrupciones`, `dim_tiempo` ---

    def events(self, hashes: pl.Series) -> pl.DataFrame:
        """Events by identity, by `EVENT_SCHEMA`."""
        if hashes.is_empty():
            return pl.DataFrame(schema=EVENT_SCHEMA)
        return self.query(SQL["events"], EVENT_SCHEMA, uuids(hashes))

    def events_near(self, *spans: tuple[datetime, datetime]) -> pl.DataFrame:
        """Events that touch the first span, or whose last hour lies in one of two others, with their `ENDS`."""
        return self.query(SQL["events_near"], ENDS_SCHEMA, *chain(*spans))

    def update_events(self, rows: pl.DataFrame) -> None:
        """Write the columns of a frame, other than `hash_id`, to the events that this names."""
        if rows.height:
            self.execute("drop table if exists pg_temp.cambios")
            self.append("cambios", rows, temporary=True)
            pairs = ", ".join(f"{name} = c.{name}" for name in rows.columns if name != "hash_id")
            where = "e.hash_id = encode(c.hash_id, 'hex')::uuid"
            self.execute(f"update fact_interrupciones e set {pairs} from pg_temp.cambios c where {where}")

    def delete_events(self, hashes: pl.Series) -> None:
        """Remove events by identity."""
        if hashes.len():
            self.execute(SQL["delete_events"], uuids(hashes))

    @contextmanager
    def inserting_events(self, events: pl.DataFrame) -> Iterator[None]:
        """Add events, and the hours of the calendar that they begin in, beside what the block does: see `appending`."""
        if events.height:
            self.execute(SQL["ensure_calendar"], (events["id_tiempo"] // 10_000).unique().sort())
        # In the order of the key's index, which is larger than a processor's cache after some years.
        with self.appending("fact_interrupciones", events.sort("hash_id")):
            yield

    # --- customers: `clientes_regionales` ---

    def universe(self) -> pl.DataFrame:
        """Known customers of regions by `UNIVERSE_SCHEMA`, without the country's row."""
        return self.query(SQL["universe"], UNIVERSE_SCHEMA)

    def write_universe(self, rows: pl.DataFrame) -> None:
        """Keep rows of `universe.FIGURE_SCHEMA`; of two answers of a month the newer stands."""
        # What is null can't be bound.
        bound = rows.with_columns(pl.col("periodo_star").fill_null(""), pl.col("clientes_estimados").fill_null(-1))
        for row in bound.iter_rows():
            self.execute(SQL["write_universe"], *row)


def _partition(month: Month) -> str:
    return f"fact_observaciones_{month.year:04d}{month.month:02d}"


def columns(names: Iterable[str]) -> str:
    """Column names as a list in SQL."""
    return ", ".join(names)


def uuids(hashes: pl.Series) -> pl.Series:
    """Identities given as 16 bytes each, to be bound as `text[]`."""
    return hashes.bin.encode("hex")


def _describe(key: str, frame: pl.DataFrame, sha256: str) -> ArchivedMonth:
    sums = frame.select(pl.col("clientes_afectados", "n_filas").cast(pl.Int64).sum()).row(0)
    return ArchivedMonth(key, frame.height, sums[0], sums[1], sha256)
