"""Draw what Gold holds: `gold/report/index.html` and the same figures as PNG in `gold/figures/`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sec_core.gold.model import as_json
from sec_core.gold.report import charts
from sec_core.gold.report.data import ReportData, Rows, recent_saidi, report_data
from sec_core.gold.report.page import Figure, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sec_core.blobs.model import Blobs
    from sec_core.gold.frames import GoldFrames
    from sec_core.gold.model import PayloadRow

PAGE = "report/index.html"
"""Name of the page below Gold's place."""

PICTURE_SCALE = 2
_SNIPPET = "window.vegaEmbed = vegaEmbed;"
_PICTURE_CONFIG = {"background": "white", "font": "sans-serif", "view": {"stroke": None}}


@cache
def chart_library() -> str:
    """The chart library as one script; making it takes a second and a half."""
    import vl_convert  # noqa: PLC0415 - only the report draws

    script: str = vl_convert.javascript_bundle(_SNIPPET)
    return script


def draw(gold: Blobs, payloads: Mapping[str, Sequence[PayloadRow]], frames: GoldFrames, script: str) -> list[str]:
    """Write the page and its pictures.

    Args:
        gold: Gold's place.
        payloads: The payloads by id.
        frames: What they were made from: the page also shows days.
        script: See `chart_library`.

    Returns:
        Keys of the pictures.

    Raises:
        StorageError: A file can't be written.
    """
    import vl_convert  # noqa: PLC0415

    rows = {name: as_json(payload) for name, payload in payloads.items()}
    drawn = figures(rows, report_data(frames))
    gold.replace(PAGE, render(drawn, rows["meta"][0], rows["coverage"], script).encode(), durable=False)
    pictures = []
    for figure in drawn:
        key = f"figures/{figure.id}.png"
        if figure.spec is None:
            gold.delete(key)
            continue
        spec = {**figure.spec, "width": figure.width, "title": figure.title, "config": _PICTURE_CONFIG}
        gold.replace(key, vl_convert.vegalite_to_png(spec, scale=PICTURE_SCALE), durable=False)
        pictures.append(key)
    return pictures


def figures(payloads: Mapping[str, list[dict[str, Any]]], data: ReportData) -> list[Figure]:
    """All figures, in the page's order.

    Args:
        payloads: The payloads by id.
        data: What no payload has.
    """
    saidi = recent_saidi(payloads["reliability"])
    ranking, quality, projects = (
        payloads[name] for name in ("company_ranking", "eda_quality_stats", "eda_projects_dist")
    )
    known_days = [row for row in data.daily if row["clientes"] is not None]
    return [
        Figure(
            "national",
            "Customers out at once in the country, by day",
            "Each day's highest hour; the largest storms carry their date. A gap is a day without data.",
            charts.national_series(data.daily, data.storms) if known_days else None,
            data.storms,
            ("affected", "coverage"),
        ),
        Figure(
            "monthly",
            "Affected customers by month and region",
            "Events belong to the month in which they begin. Grey: no hour of the month was captured.",
            charts.monthly_by_region(data.monthly) if data.monthly else None,
            [],
            ("affected", "event"),
        ),
        Figure(
            "instability",
            "Regions by instability",
            "Customers affected in an average month, in percent of the region's customers, north at the top.",
            charts.tile_map(data.instability) if data.instability else None,
            data.instability,
            ("monthly-instability", "universe"),
            width=400,
        ),
        Figure(
            "companies",
            "Companies by affected customers",
            f"Only months whose snapshots name companies; there are {len(payloads['meta'][0]['meses_con_empresa'])}.",
            charts.company_bars(ranking) if ranking else None,
            ranking,
            ("ranking",),
        ),
        Figure(
            "saidi",
            "SAIDI by region, with and without major event days",
            _saidi_caption(saidi),
            charts.saidi_bars(saidi) if saidi else None,
            saidi,
            ("saidi", "med"),
        ),
        Figure(
            "quality",
            "Data quality: what had to be imputed",
            "0 is the ideal: no row needed mending. Nothing is dropped; a mended row stays, marked.",
            charts.quality_bars(quality) if quality else None,
            quality,
            ("quality",),
        ),
        Figure(
            "projects",
            "Electricity projects in environmental assessment (SEIA)",
            "Lines, substations and power plants; a project that spans regions counts in each.",
            charts.project_bars(projects) if projects else None,
            projects,
            ("projects", "roi", "validation"),
        ),
        Figure(
            "coverage",
            "Which hours are there",
            "A tile for each day. Missing hours are not hours without outages.",
            charts.coverage_calendar(data.days) if data.days else None,
            payloads["coverage"],
            ("coverage",),
        ),
    ]


def _saidi_caption(saidi: Rows) -> str:
    text = "Estimated hours without supply for each customer, computed from hourly snapshots."
    if not saidi:
        return text
    least = min(row["cobertura"] for row in saidi)
    span = f"{saidi[0]['desde']} to {saidi[0]['hasta']}, {saidi[0]['meses']} months in a row"
    return f"{text} {span}; the least covered has {least:.0%} of its hours loaded, the rest is estimated."
