"""The site from what a build of Gold has, put into `gold/site/`."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import polars as pl
from loguru import logger

from sec_core.blobs.place import Blobs
from sec_core.config import Settings
from sec_core.gold import estimates
from sec_core.gold.frames import GoldFrames
from sec_core.gold.model import PayloadRow, as_json
from sec_core.gold.site import press
from sec_core.gold.site.figures import RECENT, SiteFrames
from sec_core.gold.site.pages import build_site
from sec_core.gold.site.put import PutReport, Site, put, standing
from sec_core.gold.standing import SITE


def draw(
    gold: Blobs,
    payloads: Mapping[str, Sequence[PayloadRow]],
    collected: GoldFrames,
    comunas: pl.DataFrame,
    settings: Settings,
) -> PutReport:
    """Make all pages and pictures and write those that changed; nothing where SEC_DRAW_SITE is 0.

    Args:
        gold: Gold's place.
        payloads: The payloads by id.
        collected: What they were made from.
        comunas: As `comunas.parquet`.
        settings: Where the site will stand.

    Raises:
        StorageError: A file can't be written.
    """
    if not settings.draw_site:
        return PutReport((), 0, ())
    with ThreadPoolExecutor(max_workers=1) as beside:
        looking = beside.submit(standing, gold, SITE)
        made = site_frames(payloads, collected, comunas)
        held = looking.result()
        pictures = Site(held)
        specs = press.specifications(made)
        drawing = beside.submit(press.pictures, specs, pictures)
        site = build_site(made, str(settings.site_url) if settings.site_url else None, held, specs)
        drawing.result()
    site.files.update(pictures.files)
    site.inputs.update(pictures.inputs)
    done = put(site, gold, SITE)
    count = len(done.written) + done.kept
    logger.bind(stage="gold").info("The site has {:,} files; {:,} were written.", count, len(done.written))
    return done


def site_frames(
    payloads: Mapping[str, Sequence[PayloadRow]], collected: GoldFrames, comunas: pl.DataFrame
) -> SiteFrames:
    """What the site is made from; see `draw`."""
    newest = collected.loads["hora"].max()
    window = pl.col("hora") > newest - RECENT if isinstance(newest, datetime) else pl.lit(value=False)
    parts = (collected.monthly.region_parts, collected.monthly.comuna_parts)
    return SiteFrames(
        payloads={name: as_json(rows) for name, rows in payloads.items()},
        comunas=comunas,
        comunal=collected.indices.comunal,
        regional=collected.indices.regional,
        years=pl.concat([estimates.years(each, collected.seen) for each in parts]),
        hours=collected.calendar,
        region_hours=collected.monthly.region_hours,
        recent=collected.panel.filter(window).collect(),
        events=collected.events,
        storms=collected.storms,
        curves=collected.storm_hours,
        companies=collected.storm_companies,
    )
