"""Local publication: a JSON file for each payload, and the table `dashboard_stats` in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text

from sec_core.blobs.model import BlobMissing
from sec_core.errors import PublicationError
from sec_core.gold.model import as_json, dump
from sec_core.gold.payloads.registry import PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sec_core.blobs.model import Blobs
    from sec_core.db.database import Database
    from sec_core.gold.model import PayloadRow

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
