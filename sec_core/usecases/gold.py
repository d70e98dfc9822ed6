"""Gold, built only if something that it is made from has changed or a file of it is gone; its site; files handed in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from loguru import logger
from pydantic import BaseModel

from sec_core.blobs.open import open_blobs
from sec_core.errors import ConfigError
from sec_core.gold import standing
from sec_core.usecases.progress import in_thread
from sec_core.usecases.steps import Steps, direct

if TYPE_CHECKING:
    from sec_core.gold.billing import Billing
    from sec_core.gold.seia.load import SeiaReport
    from sec_core.gold.standing import BuiltGold
    from sec_core.usecases.adapters import Adapters


def gold_digest(adapters: Adapters) -> str:
    """A digest of all that Gold is made from; see `standing.gold_digest`."""
    return standing.gold_digest(adapters.database, adapters.settings, adapters.clock.now())


def standing_gold(adapters: Adapters, digest: str) -> BuiltGold | None:
    """What Gold holds, if it was made from what `digest` says; see `standing.standing_gold`."""
    return standing.standing_gold(adapters.database, adapters.settings, digest)


async def build_gold(adapters: Adapters) -> BuiltGold:
    """Make all of Gold, with the site, from one snapshot of Silver; nothing if it is up to date.

    Raises:
        DatabaseUnavailable: The database can't be reached.
        StorageError: A file can't be written; the earlier one stays.
    """
    return await in_thread("gold", "", _build, adapters)


def _build(adapters: Adapters) -> BuiltGold:
    # Before the snapshot: what is written between the two makes the next run build again.
    digest = gold_digest(adapters)
    if (built := standing_gold(adapters, digest)) is not None:
        logger.bind(stage="gold").info("Gold is up to date: {:,} events.", built.events)
        return built
    from sec_core.gold.build import build_gold as build
    from sec_core.gold.events_file import EVENTS_FILE

    # A build that is killed leaves no manifest.
    open_blobs(adapters.settings.gold).delete(standing.MANIFEST)
    made = build(adapters.database, adapters.settings, adapters.clock)
    return standing.note_built(
        adapters.settings,
        digest,
        events=made.events,
        payloads=made.payloads,
        research=EVENTS_FILE,
        storms=made.new_storms,
    )


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
        files = f"{self.written:,} files written, {self.kept:,} kept, {self.removed:,} removed"
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
    found = SiteReport(
        place=str(place), target=str(target), written=len(done.written), kept=done.kept, removed=len(done.removed)
    )
    logger.bind(stage="site").info(found.line())
    return found


async def site(adapters: Adapters, publish: bool = False, *, steps: Steps | None = None) -> SiteReport:
    """Bring the site up to date, and put it up if asked.

    Args:
        adapters: The adapters.
        publish: Put it where SEC_SITE_TARGET says.
        steps: Gives the steps that build and put up.

    Raises:
        ConfigError: It is not to be drawn, or to be put up, and SEC_SITE_TARGET is not set.
    """
    if not adapters.settings.draw_site:
        raise ConfigError("SEC_DRAW_SITE says that no site is drawn.", next_step="Unset it, then run `sec site`.")
    if publish and adapters.settings.site is None:
        raise ConfigError("SEC_SITE_TARGET is not set.", next_step="Set it to a folder or to s3://bucket/prefix.")
    steps = steps or direct(adapters)
    await steps.show_gold(await steps.build_gold())
    if publish:
        return await steps.publish_site()
    return SiteReport(place=str(adapters.settings.gold / standing.SITE.rstrip("/")))


async def import_seia(adapters: Adapters, file: str, *, steps: Steps | None = None) -> SeiaReport:
    """Take in an export of the SEIA project list, and bring Gold up to date with it.

    Args:
        adapters: The adapters.
        file: Name in the inbox of the SEIA site's Excel export, or of its older CSV.
        steps: Gives the step that builds Gold.

    Raises:
        InputError: The file is no export, or holds no electricity project; what was held stays.
    """
    from sec_core.gold.seia.load import load_seia
    from sec_core.gold.sheets import in_inbox

    steps = steps or direct(adapters)
    found = await asyncio.to_thread(load_seia, adapters.database, in_inbox(file, adapters.settings.inbox_dir))
    for row in found.rejected:
        logger.bind(stage="gold", code="rejected_row").warning("SEIA row left out: {row}", row=row)
    await steps.show_gold(await steps.build_gold())
    return found


async def import_customers(adapters: Adapters, file: str, *, steps: Steps | None = None) -> Billing:
    """Take in a billing file of the CNE, and bring Gold up to date with it.

    Args:
        adapters: The adapters.
        file: Name of the file in the inbox.
        steps: Gives the step that builds Gold.

    Raises:
        InputError: The file is no billing file, or no row of it can be used; what was held stays.
    """
    from sec_core.gold.billing import load_billing
    from sec_core.gold.sheets import in_inbox

    steps = steps or direct(adapters)
    path = in_inbox(file, adapters.settings.inbox_dir)
    found = await asyncio.to_thread(load_billing, adapters.database, path, adapters.clock.now())
    await steps.show_gold(await steps.build_gold())
    return found
