"""Local publication: a JSON file for each payload, and the table `dashboard_stats` in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from sqlalchemy import text

from sec_core.gold.files import replace_bytes
from sec_core.gold.model import as_json, dump

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from sec_core.db.database import Database
    from sec_core.gold.model import PayloadRow

    Payloads = Mapping[str, Sequence[PayloadRow]]

_UPSERT = text(
    "INSERT INTO dashboard_stats (id, data, updated_at) VALUES (:id, CAST(:data AS jsonb), :now)"
    " ON CONFLICT (id) DO UPDATE SET data = excluded.data, updated_at = excluded.updated_at"
    " WHERE dashboard_stats.data IS DISTINCT FROM excluded.data"
)


def write_files(payloads: Payloads, folder: Path) -> dict[str, int]:
    """Write `<folder>/<id>.json`, each whole or not at all.

    Returns:
        Size of each file in bytes.

    Raises:
        StorageError: The disk refused a file.
    """
    sizes: dict[str, int] = {}
    for name, rows in payloads.items():
        sizes[name] = replace_bytes(folder / f"{name}.json", dump(rows))
    return sizes


def write_table(payloads: Payloads, database: Database, now: datetime) -> None:
    """Write all payloads into `dashboard_stats` in one transaction, so that no reader sees half of them.

    `updated_at` moves only where the data did.
    """
    rows = [
        {"id": name, "data": orjson.dumps(as_json(payloads[name])).decode(), "now": now} for name in sorted(payloads)
    ]
    with database.engine.begin() as connection:
        connection.execute(_UPSERT, rows)
