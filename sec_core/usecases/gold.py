"""Gold: built only if something that it is made from has changed, or one of its files is gone."""

from __future__ import annotations

import asyncio
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger
from pydantic import BaseModel, ValidationError
from sqlalchemy import text

import sec_core
from sec_core.blobs.at_once import at_once
from sec_core.blobs.model import BlobMissing
from sec_core.blobs.open import open_blobs
from sec_core.blobs.place import width
from sec_core.hours import open_hour
from sec_core.silver.version import silver_version
from sec_core.usecases.progress import Step, report

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sec_core.blobs.model import Blobs
    from sec_core.gold.seia.load import SeiaReport
    from sec_core.usecases.adapters import Adapters
    from sec_core.usecases.steps import Steps

MANIFEST = "manifest.json"
"""Beside Gold's files: what they were made from, and what they are."""
REPORT_PAGE = "report/index.html"
_OTHERS = (MANIFEST, "site/", "release/")
"""What is in Gold's folder but not made by a build."""
_NOT_READ = {
    "base_url", "data_dir", "state_dir", "database_url", "max_concurrency", "max_rate", "timeout_s", "retries",
    "circuit_failures", "circuit_cooldown_s", "contact", "retention_days", "supabase_url", "supabase_key",
}  # fmt: skip
"""Settings that Gold's figures don't depend on."""


class BuiltGold(BaseModel):
    """What Gold holds.

    Attributes:
        digest: Of everything that it was made from, see `gold_digest`.
        events: Events in the research file.
        payloads: Rows of each payload, by id.
        files: Bytes of each file, by name below the folder.
        outputs: What a person looks for, as names below the folder.
    """

    digest: str
    events: int
    payloads: dict[str, int]
    files: dict[str, int]
    outputs: dict[str, str]


def gold_digest(adapters: Adapters) -> str:
    """A digest of all that Gold is made from: Silver, the hours that have ended, settings, reference data and code.

    Raises:
        DatabaseUnavailable: The database can't be reached.
    """
    months = adapters.ledger.months()
    ended = min(months[-1].end, open_hour(adapters.clock.now())) if months else None
    read = adapters.settings.model_dump_json(exclude=_NOT_READ)
    parts = (code_digest(), silver_version(adapters.database), str(ended), read)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def code_digest() -> str:
    """A digest of this version's code and reference files."""
    root = Path(sec_core.__file__).parent
    files = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def standing_gold(adapters: Adapters, digest: str) -> BuiltGold | None:
    """What Gold holds, if it was made from what `digest` says and all of it is still there.

    Raises:
        StorageUnavailable: Gold's place did not answer.
        DatabaseUnavailable: The database can't be reached.
    """
    gold = open_blobs(adapters.settings.gold)
    try:
        built = BuiltGold.model_validate_json(gold.read(MANIFEST))
        if built.digest != digest or _sizes(adapters, gold, built.files) != built.files:
            return None
    except (BlobMissing, ValidationError):
        return None
    with adapters.database.engine.connect() as connection:
        published = set(connection.execute(text("select id from dashboard_stats")).scalars())
    return built if published >= built.payloads.keys() else None


async def build_gold(adapters: Adapters) -> BuiltGold:
    """Make all of Gold, with its page, from one snapshot of Silver; nothing if it is up to date.

    Raises:
        DatabaseUnavailable: The database can't be reached.
        StorageError: A file can't be written; the earlier one stays.
    """
    report(Step(stage="gold", total=1))
    built = await asyncio.to_thread(_build, adapters)
    report(Step(stage="gold", done=1))
    return built


def _build(adapters: Adapters) -> BuiltGold:
    # Before the snapshot: what is written between the two makes the next run build again.
    digest = gold_digest(adapters)
    if (standing := standing_gold(adapters, digest)) is not None:
        logger.bind(stage="gold").info("Gold is up to date: {:,} events.", standing.events)
        return standing
    from sec_core.gold.build import EVENTS_FILE
    from sec_core.gold.build import build_gold as build

    gold = open_blobs(adapters.settings.gold)
    gold.delete(MANIFEST)
    made = build(adapters.database, adapters.settings, adapters.clock)
    names = [name for name in gold.list("") if not name.startswith(_OTHERS)]
    built = BuiltGold(
        digest=digest,
        events=made.events,
        payloads=made.payloads,
        files=_sizes(adapters, gold, names),
        outputs={"events": EVENTS_FILE, "payloads": "dashboard_stats", "report": REPORT_PAGE},
    )
    gold.replace(MANIFEST, built.model_dump_json(indent=2).encode(), durable=False)
    return built


def _sizes(adapters: Adapters, gold: Blobs, names: Iterable[str]) -> dict[str, int]:
    names = list(names)
    return dict(zip(names, at_once(width(adapters.settings.gold), gold.size, names), strict=True))


async def import_seia(adapters: Adapters, file: str, *, steps: Steps | None = None) -> SeiaReport:
    """Take in an export of the SEIA project list, and bring Gold up to date with it.

    Args:
        adapters: The adapters.
        file: Path of the SEIA site's Excel export, or of its older CSV.
        steps: Gives the step that builds Gold.

    Raises:
        InputError: The file is no export, or holds no electricity project; what was held stays.
    """
    from sec_core.gold.seia.load import load_seia
    from sec_core.usecases.steps import direct

    steps = steps or direct(adapters)
    found = await asyncio.to_thread(load_seia, adapters.database, Path(file))
    for row in found.rejected:
        logger.bind(stage="gold", code="rejected_row").warning("SEIA row left out: {row}", row=row)
    await steps.show_gold(await steps.build_gold())
    return found
