"""Local publication: a JSON file for each payload, `dashboard_stats` in one transaction, and tables that Gold makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text

from sec_core.blobs.place import BlobMissing, Blobs
from sec_core.db.database import Database
from sec_core.errors import PublicationError
from sec_core.gold.model import PayloadRow, as_json, dump
from sec_core.gold.payloads.registry import PAYLOADS
from sec_core.silver.statements import Statements, columns

if TYPE_CHECKING:
    Payloads = Mapping[str, Sequence[PayloadRow]]

FOLDER = "dashboard_stats/"
_UPSERT = text(
    "INSERT INTO dashboard_stats (id, data, updated_at) VALUES (:id, CAST(:data AS jsonb), :now)"
    " ON CONFLICT (id) DO UPDATE SET data = excluded.data, updated_at = excluded.updated_at"
    " WHERE dashboard_stats.data IS DISTINCT FROM excluded.data"
)


def write_files(payloads: Payloads, gold: Blobs) -> None:
    """Write `dashboard_stats/<id>.json`, each whole or not at all.

    Raises:
        StorageError: The place refused a file.
    """
    for name, rows in payloads.items():
        gold.replace(f"{FOLDER}{name}.json", dump(rows), durable=False)


def write_table(payloads: Payloads, database: Database, now: datetime) -> None:
    """Write all payloads into `dashboard_stats` in one transaction, so that no reader sees half of them.

    `updated_at` moves only where the data did.
    """
    rows = [
        {"id": name, "data": orjson.dumps(as_json(payloads[name])).decode(), "now": now} for name in sorted(payloads)
    ]
    with database.engine.begin() as connection:
        connection.execute(_UPSERT, rows)


def write_rows(rows: pl.DataFrame, database: Database, table: str, key: Sequence[str]) -> pl.DataFrame:
    """Turn a table into these rows in one transaction; rows that stay as they are are not written.

    Returns those whose key is new.

    Args:
        rows: All of it, with the table's columns and types.
        database: Where the table is.
        table: Its name.
        key: Its primary key.
    """
    spelled = pl.concat_str(pl.col(*key).cast(pl.String), separator="|")
    with database.adbc() as connection:
        statements = Statements(connection)
        statements.execute(f"lock table {table} in share row exclusive mode")
        held = statements.query(f"select {columns(rows.columns)} from {table}", rows.schema)
        gone = held.join(rows, on=rows.columns, how="anti", nulls_equal=True)
        if gone.height:
            keys = gone.select(spelled).to_series()
            statements.execute(f"delete from {table} where concat_ws('|', {columns(key)}) = any($1::text[])", keys)
        statements.append(table, rows.join(held, on=rows.columns, how="anti", nulls_equal=True))
    return rows.join(held, on=key, how="anti")


def read_payloads(gold: Blobs) -> dict[str, list[dict[str, Any]]]:
    """All payloads of the registry from their files, each row validated.

    Raises:
        PublicationError: A file is missing, is no JSON, or holds what its model refuses.
        StorageUnavailable: The place did not answer.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for spec in PAYLOADS:
        name = f"{spec.id}.json"
        try:
            found[spec.id] = orjson.loads(gold.read(FOLDER + name))
            TypeAdapter(list[spec.row]).validate_python(found[spec.id])  # type: ignore[name-defined]
        except BlobMissing:
            raise PublicationError(f"There is no {name}.", next_step="Run `sec gold` first.") from None
        except (orjson.JSONDecodeError, ValidationError) as error:
            first = str(error).splitlines()[0]
            raise PublicationError(f"{name} is not valid: {first}.", next_step="Run `sec gold` again.") from error
    if len(found["meta"]) != 1:
        raise PublicationError("meta.json must hold one object.", next_step="Run `sec gold` again.")
    return found
