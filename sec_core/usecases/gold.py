"""Gold, built only if something that it is made from has changed or a file is gone; what is made of it and for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import orjson
from loguru import logger
from pydantic import BaseModel

from sec_core.blobs.place import open_blobs
from sec_core.config import Settings
from sec_core.errors import ConfigError, InputError, StorageError
from sec_core.gold import standing
from sec_core.gold.explanation import EVENT, Explanation
from sec_core.gold.standing import BuiltGold
from sec_core.text import counted
from sec_core.usecases.adapters import Adapters
from sec_core.usecases.reports import in_thread

if TYPE_CHECKING:
    from sec_core.gold.customers import Billing
    from sec_core.gold.publish import PublishReport
    from sec_core.gold.release.write import ReleaseReport
    from sec_core.gold.seia import SeiaReport

T = TypeVar("T")


def standing_gold(adapters: Adapters) -> tuple[str, BuiltGold | None]:
    """A digest of all that Gold is made from, and what Gold holds if it was made from just that."""
    digest = standing.gold_digest(adapters.database, adapters.settings, adapters.clock.now())
    return digest, standing.standing_gold(adapters.database, adapters.settings, digest)


async def build_gold(adapters: Adapters) -> BuiltGold:
    """Make all of Gold, with the site, from one snapshot of Silver; nothing if it is up to date.

    Raises:
        DatabaseUnavailable: The database can't be reached.
        StorageError: A file can't be written; the earlier one stays.
    """
    return await in_thread("gold", "", _build, adapters)


def _build(adapters: Adapters) -> BuiltGold:
    # Before the snapshot: what is written between the two makes the next run build again.
    digest, built = standing_gold(adapters)
    if built is not None:
        logger.bind(stage="gold").info("Gold is up to date: {}.", counted(built.events, "event"))
        return built
    from sec_core.gold.build import build_gold as build

    # A build that is killed leaves no manifest.
    open_blobs(adapters.settings.gold).delete(standing.MANIFEST)
    made = build(adapters.database, adapters.settings, adapters.clock)
    return standing.note_built(adapters.settings, digest, made)


class SiteReport(BaseModel):
    """What became of the site.

    Attributes:
        place: Where it was built.
        target: Where it was put; None without SEC_SITE_TARGET.
        written: Files that were written there.
        kept: Files that were there already.
        removed: Old files that were removed.
    """

    place: str
    target: str | None = None
    written: int = 0
    kept: int = 0
    removed: int = 0

    def line(self) -> str:
        """What happened, in a sentence."""
        if self.target is None:
            return f"The site is in {self.place}; SEC_SITE_TARGET names no place to put it."
        files = f"{counted(self.written, 'file')} written, {self.kept:,} kept, {self.removed:,} removed"
        return f"The site is at {self.target}: {files}."


async def publish_site(adapters: Adapters) -> SiteReport:
    """Put the site where SEC_SITE_TARGET says; without it, nothing.

    Raises:
        StorageError: The target refused something; readers still have all that they had.
    """
    return await in_thread("site", "", _publish_site, adapters)


def _publish_site(adapters: Adapters) -> SiteReport:
    from sec_core.gold.site.put import put, read_site

    place, target = adapters.settings.gold / standing.SITE.rstrip("/"), adapters.settings.site
    if target is None:
        return SiteReport(place=str(place))
    done = put(read_site(open_blobs(place)), open_blobs(target))
    counts = {"written": len(done.written), "kept": done.kept, "removed": len(done.removed)}
    found = SiteReport(place=str(place), target=str(target), **counts)
    logger.bind(stage="site").info(found.line())
    return found


async def site(adapters: Adapters, publish: bool = False) -> SiteReport:
    """Bring the site up to date, and put it up if asked.

    Args:
        adapters: The adapters.
        publish: Put it where SEC_SITE_TARGET says.

    Raises:
        ConfigError: It is not to be drawn, or to be put up, and SEC_SITE_TARGET is not set.
    """
    if not adapters.settings.draw_site:
        raise ConfigError("SEC_DRAW_SITE says that no site is drawn.", next_step="Unset it, then run `sec site`.")
    if publish and adapters.settings.site is None:
        raise ConfigError("SEC_SITE_TARGET is not set.", next_step="Set it to a folder or to s3://bucket/prefix.")
    await adapters.steps.bring_gold_up_to_date()
    if publish:
        return await adapters.steps.publish_site()
    return SiteReport(place=str(adapters.settings.gold / standing.SITE.rstrip("/")))


async def import_seia(adapters: Adapters, file: str) -> SeiaReport:
    """Take in an export of the SEIA project list, and bring Gold up to date with it.

    Args:
        adapters: The adapters.
        file: Name in the inbox of the SEIA site's Excel export, or of its older CSV.

    Raises:
        InputError: The file is no export, or holds no electricity project; what was held stays.
    """
    from sec_core.gold.seia import load_seia

    found = await _take_in(adapters, file, lambda path: load_seia(adapters.database, path))
    for row in found.rejected:
        logger.bind(stage="gold", code="rejected_row").warning("SEIA row left out: {row}", row=row)
    return found


async def import_customers(adapters: Adapters, file: str) -> Billing:
    """Take in a billing file of the CNE, and bring Gold up to date with it.

    Args:
        adapters: The adapters.
        file: Name of the file in the inbox.

    Raises:
        InputError: The file is no billing file, or no row of it can be used; what was held stays.
    """
    from sec_core.gold.customers import load_billing

    now = adapters.clock.now()
    return await _take_in(adapters, file, lambda path: load_billing(adapters.database, path, now))


async def _take_in(adapters: Adapters, file: str, load: Callable[[Path], T]) -> T:
    from sec_core.gold.sheets import in_inbox

    found = await asyncio.to_thread(load, in_inbox(file, adapters.settings.inbox_dir))
    await adapters.steps.bring_gold_up_to_date()
    return found


async def publish_gold(adapters: Adapters, force: bool, other_source: bool, payloads: list[str]) -> PublishReport:
    """Send Gold to Supabase in one step; nothing without a project.

    Args:
        adapters: The adapters.
        force: Publish although much would be lost: of these payloads, or of all where none is named.
        other_source: See `publish.publish`.
        payloads: Names of payloads that may lose something.

    Raises:
        InputError: Payloads are named that there are not, or without `force`.
    """
    from sec_core.db.locks import Lock, turn
    from sec_core.gold.publish import ALL, publish

    if payloads and not force:
        raise InputError(
            "All payloads are published together; named are those that may lose something, with --force.",
            next_step="See `sec publish --help`.",
        )
    allowed = payloads or [ALL] if force else []

    def send() -> PublishReport:
        with turn(adapters.database, Lock.PUBLICATION):
            return publish(adapters.settings, adapters.clock, force=allowed, other_source=other_source)

    return await in_thread("publish", "", send)


async def explain_figure(adapters: Adapters, payload: str, wanted: Sequence[str]) -> Explanation:
    """Explain one row of a payload; raises as `explain.explain` does.

    Args:
        adapters: The adapters.
        payload: A payload's id, or `event`.
        wanted: `key=value` texts that name the row; of an event its hash_id alone.
    """
    from sec_core.gold.explain import explain

    named = [f"hash_id={text}" if payload == EVENT and "=" not in text else text for text in wanted]
    if bad := [text for text in named if "=" not in text]:
        raise InputError(f"{bad[0]!r} is no key=value.", next_step="As in nombre_region=MAULE mes=2024-08.")
    keys = dict(text.split("=", 1) for text in named)
    return await in_thread("explain", "", explain, adapters.database, adapters.settings, adapters.store, payload, keys)


async def release(adapters: Adapters, version: str, draft: bool = False, other_source: bool = False) -> ReleaseReport:
    """Make a release; see `write.make_release`."""
    from sec_core.gold.release.write import make_release

    run = adapters.database, adapters.settings, adapters.clock
    return await in_thread("release", "", make_release, *run, version, draft=draft, other_source=other_source)


def check_release(settings: Settings, version: str) -> None:
    """Verify a release.

    Raises:
        InputError: There is none of this version.
        StorageError: It is not what it was; the message says what is wrong.
    """
    from sec_core.gold.release import write

    if wrong := write.check_release(settings, version):
        raise StorageError(
            f"Release {version} is not what it was: {' '.join(wrong)}", next_step="Restore it from a copy."
        )


def list_releases(settings: Settings) -> list[tuple[str, str, str, str, int, float]]:
    """Version, day, newest hour, kind, files and MB of each release, the oldest first."""
    from sec_core.gold.release.contents import PACKAGE
    from sec_core.gold.release.write import versions

    found, releases = [], open_blobs(settings.releases)
    for version in versions(settings):
        package = orjson.loads(releases.read(f"{version}/{PACKAGE}"))
        sizes = [each["tamano_bytes"] for each in package["resources"]]
        kind = "draft" if package["borrador"] else "release"
        about = (str(version), package["fecha"], str(package["ultima_hora"]), kind)
        found.append((*about, len(sizes) + 2, round(sum(sizes) / 1e6, 1)))
    return found
