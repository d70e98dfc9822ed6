"""When Gold is up to date: a digest of all that it is made from, and a manifest of what was made from it."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ValidationError
from sqlalchemy import text

import sec_core
from sec_core.blobs.place import BlobMissing, Blobs, at_once, open_blobs
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.gold.payloads.storms import StormRow
from sec_core.gold.site.put import whole
from sec_core.hours import Month, open_hour
from sec_core.silver.reports import silver_version

MANIFEST = "manifest.json"
EVENTS_FILE = "golden_interrupciones.parquet"
PAYLOADS_FOLDER = "dashboard_stats/"
SITE = "site/"
# What the manifest does not list: the site has its own.
_OTHERS = (MANIFEST, SITE)
# Settings that Gold's figures don't depend on; a new setting counts as read until it is named here.
_NOT_READ = {
    "base_url", "data_dir", "state_dir", "database_url", "max_concurrency", "max_rate", "timeout_s", "retries",
    "circuit_failures", "circuit_cooldown_s", "contact", "retention_days", "supabase_url", "supabase_key",
    "site_target", "release_min_coverage",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GoldReport:
    """What a build made.

    Attributes:
        events: Events in it.
        months_written: Months of `observaciones/` and `panel/` that were written again.
        months_computed: Months whose part of the estimates was computed: these, and their neighbours.
        payloads: Rows of each payload, by id.
        new_storms: Storms that the build before did not have, at most 50, the largest first.
    """

    events: int
    months_written: tuple[Month, ...]
    months_computed: tuple[Month, ...]
    payloads: dict[str, int]
    new_storms: list[StormRow]


class BuiltGold(BaseModel):
    """What Gold holds.

    Attributes:
        digest: Of everything that it was made from, see `gold_digest`.
        events: Events in the research file.
        payloads: Rows of each payload, by id.
        files: Bytes of each file, by name below the folder.
        outputs: What a person looks for, as names below the folder.
        new_storms: Storms that the build before did not have, the largest first; empty when Gold stood already.
    """

    digest: str
    events: int
    payloads: dict[str, int]
    files: dict[str, int]
    outputs: dict[str, str]
    new_storms: list[StormRow] = []


def gold_digest(database: Database, settings: Settings, now: datetime) -> str:
    """A digest of all that Gold is made from: Silver, the hours that have ended, settings, reference data and code.

    Raises:
        DatabaseUnavailable: The database can't be reached.
    """
    with database.engine.connect() as connection:
        newest = connection.execute(text("select max(hora) from capturas")).scalar()
    ended = min(Month.of(newest).end, open_hour(now)) if newest else None
    parts = (code_digest(), silver_version(database), str(ended), settings.model_dump_json(exclude=_NOT_READ))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def code_digest() -> str:
    """A digest of this version's code and reference files."""
    root = Path(sec_core.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def standing_gold(database: Database, settings: Settings, digest: str) -> BuiltGold | None:
    """What Gold holds, if it was made from what `digest` says and all of it is still there.

    Raises:
        StorageUnavailable: Gold's place did not answer.
        DatabaseUnavailable: The database can't be reached.
    """
    gold = open_blobs(settings.gold)
    try:
        built = BuiltGold.model_validate_json(gold.read(MANIFEST))
        there = built.digest == digest and _sizes(gold, built.files) == built.files
        if not there or (settings.draw_site and not whole(gold, SITE)):
            return None
    except (BlobMissing, ValidationError):
        return None
    with database.engine.connect() as connection:
        published = set(connection.execute(text("select id from dashboard_stats")).scalars())
    return built if published >= built.payloads.keys() else None


def note_built(settings: Settings, digest: str, made: GoldReport) -> BuiltGold:
    """Write the manifest of what a build has just made."""
    gold = open_blobs(settings.gold)
    built = BuiltGold(
        digest=digest,
        events=made.events,
        payloads=made.payloads,
        files=_sizes(gold, [name for name in gold.list("") if not name.startswith(_OTHERS)]),
        outputs={"events": EVENTS_FILE, "payloads": PAYLOADS_FOLDER.rstrip("/")}
        | ({"site": f"{SITE}index.html"} if settings.draw_site else {}),
    )
    gold.replace(MANIFEST, built.model_dump_json(indent=2).encode(), durable=False)
    # Not in the manifest: they are new once.
    return built.model_copy(update={"new_storms": made.new_storms})


def _sizes(gold: Blobs, names: Collection[str]) -> dict[str, int]:
    return dict(zip(names, at_once(gold.place, gold.size, names), strict=True))
