"""The report's figures as Vega-Lite specifications, made with Altair. Colours come from the page's theme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from sec_core.gold.report.data import NORTH_TO_SOUTH, TILES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sec_core.gold.report.data import Rows

Spec = dict[str, Any]

BLUE, ORANGE, GREY = "#3b78b8", "#c8641e", "#8a8f98"
COVERAGE_COLOURS = {
    "complete": "#2b7a8c",
    "partial": "#8cc4c9",
    "no data at the source": "#d9a441",
    "failed": "#b5432a",
    "not asked yet": "#c9ccd2",
}
MANY_DAYS = 120
"""From so many days on, months and years label the time axis."""


def national_series(daily: Rows, storms: Rows) -> Spec:
    """Daily peak of customers out in the country; the largest storms named by their date."""
    days = alt.Axis(format="%d %b" if len(daily) < MANY_DAYS else "%b %Y", labelAngle=0, labelOverlap=True, tickCount=8)
    date = alt.X("utcyearmonthdate(dia):T", title=None, scale=alt.Scale(type="utc"), axis=days)
    peak = alt.Y("clientes:Q", title="customers out at once", axis=alt.Axis(format="~s"))
    tips = [alt.Tooltip("texto:N", title="day"), alt.Tooltip("clientes:Q", title="customers out", format=",")]
    base = alt.Chart(_rows([{**row, "texto": row["dia"]} for row in daily]))
    line = base.mark_line(color=BLUE, strokeWidth=1.3, interpolate="linear", invalid="break-paths-show-path-domains")
    points = base.mark_point(color=BLUE, filled=True, size=14, opacity=0.55)
    middle = daily[len(daily) // 2]["dia"] if daily else ""
    named = alt.Chart(_rows([{**row, "texto": row["dia"], "tarde": row["dia"] > middle} for row in storms]))
    text: Spec = {"dy": -4, "fontWeight": "bold", "color": ORANGE}
    layers = [
        line.encode(x=date, y=peak),
        points.encode(x=date, y=peak, tooltip=tips),
        named.mark_point(color=ORANGE, filled=True, size=60).encode(x=date, y=peak, tooltip=tips),
        # Labels grow towards the middle, so that none is cut off at an edge.
        named.transform_filter("!datum.tarde")
        .mark_text(align="left", dx=7, **text)
        .encode(x=date, y=peak, text="texto:N"),
        named.transform_filter("datum.tarde")
        .mark_text(align="right", dx=-7, **text)
        .encode(x=date, y=peak, text="texto:N"),
    ]
    return _spec(alt.layer(*layers), height=260)


def monthly_by_region(monthly: Rows) -> Spec:
    """Affected customers by month and region; a month without data is hatched grey, not white."""
    month = alt.X(
        "mes:O", title=None, axis=alt.Axis(labelExpr="slice(datum.label, 0, 7)", labelOverlap=True, labelAngle=0)
    )
    region = alt.Y("nombre_region:N", sort=list(NORTH_TO_SOUTH), title=None)
    tips = [
        alt.Tooltip("nombre_region:N", title="region"),
        alt.Tooltip("mes:N", title="month"),
        alt.Tooltip("afectados:Q", title="affected", format=","),
        alt.Tooltip("cobertura:Q", title="hours captured", format=".0%"),
    ]
    colour = alt.Color(
        "afectados:Q",
        scale=alt.Scale(scheme="blues", type="symlog"),
        legend=alt.Legend(title="affected customers", orient="top", format=".2~s", gradientLength=180),
    )
    base = alt.Chart(_rows(monthly))
    known = (
        base.transform_filter("datum.afectados !== null")
        .mark_rect()
        .encode(x=month, y=region, color=colour, tooltip=tips)
    )
    missing = base.transform_filter("datum.afectados === null").mark_rect(fill=GREY, fillOpacity=0.35, stroke=GREY)
    return _spec(alt.layer(missing.encode(x=month, y=region, tooltip=[*tips[:2], tips[3]]), known), height=330)


def tile_map(instability: Rows) -> Spec:
    """Regions as tiles from north to south, coloured by monthly instability."""
    values = {row["nombre_region"]: row for row in instability}
    rows = [
        {"nombre_region": name, "x": x, "y": y, "etiqueta": label, **values.get(name, {"indice": None, "meses": 0})}
        for name, (x, y, label) in TILES.items()
    ]
    x = alt.X("x:O", axis=None, scale=alt.Scale(paddingInner=0.06))
    y = alt.Y("y:O", axis=None, scale=alt.Scale(paddingInner=0.08))
    tips = [
        alt.Tooltip("nombre_region:N", title="region"),
        alt.Tooltip("indice:Q", title="% of customers a month", format=".2f"),
        alt.Tooltip("meses:Q", title="months"),
    ]
    colour = alt.Color(
        "indice:Q",
        scale=alt.Scale(scheme="blues", domainMin=0),
        legend=alt.Legend(title="% of customers affected a month", titleLimit=0, orient="top", gradientLength=180),
    )
    base = alt.Chart(_rows(rows))
    tiles = base.mark_rect(cornerRadius=4, stroke=GREY, strokeWidth=0.5).encode(
        x=x, y=y, color=alt.condition("datum.indice !== null", colour, alt.value("#8a8f9859")), tooltip=tips
    )
    dark_ground = "datum.indice !== null && datum.indice > 0.55 * datum.tope"
    top = max((row["indice"] for row in rows if row["indice"] is not None), default=0)
    labels = (
        base.transform_calculate(tope=str(top))
        .transform_calculate(
            texto="datum.etiqueta + (datum.indice === null ? ': no data' : ' ' + format(datum.indice, '.1f'))"
        )
        .mark_text(fontSize=11)
        .encode(
            x=x,
            y=y,
            text="texto:N",
            color=alt.condition(dark_ground, alt.value("white"), alt.value("#12263a")),
        )
    )
    return _spec(alt.layer(tiles, labels), height=470)


def company_bars(ranking: Rows) -> Spec:
    """The ranking of companies."""
    tips = [
        alt.Tooltip("nombre_empresa:N", title="company"),
        alt.Tooltip("total_clientes_afectados:Q", title="affected", format=","),
        alt.Tooltip("total_eventos:Q", title="events", format=","),
        alt.Tooltip("promedio_afectados:Q", title="mean for each event", format=",.1f"),
    ]
    return _bars(ranking, "nombre_empresa", "total_clientes_afectados", "affected customers", tips)


def project_bars(projects: Rows) -> Spec:
    """SEIA projects by region, descending, in soft blues."""
    tips = [alt.Tooltip("nombre_region:N", title="region"), alt.Tooltip("count:Q", title="projects")]
    colour = alt.Color("count:Q", scale=alt.Scale(range=["#b9d3ea", "#6f9fca"]), legend=None)
    return _bars(projects, "nombre_region", "count", "projects", tips, colour)


def quality_bars(quality: Rows) -> Spec:
    """Imputation rules with labels such as `0 (0.00%)`."""
    rows = [{**row, "texto": quality_label(row["count"], row["percentage"])} for row in quality]
    tips = [alt.Tooltip("category:N", title="rule"), alt.Tooltip("texto:N", title="rows")]
    order = [row["category"] for row in rows]
    base = alt.Chart(_rows(rows)).encode(
        y=alt.Y(
            "category:N",
            sort=order,
            title=None,
            axis=alt.Axis(labelExpr="replace(datum.label, ' (Imputed)', '')", labelLimit=240),
        ),
        x=alt.X(
            "count:Q",
            title="rows mended",
            axis=alt.Axis(format="~s", tickMinStep=1),
            scale=_with_room([row["count"] for row in rows], 1.9),
        ),
        tooltip=tips,
    )
    bars = base.mark_bar(color=BLUE, minBandSize=2)
    labels = base.mark_text(align="left", dx=5).encode(text="texto:N")
    return _spec(alt.layer(bars, labels), height=alt.Step(30))


def saidi_bars(saidi: Rows) -> Spec:
    """SAIDI by region, raw and without major event days."""
    series = ["all days", "without major event days"]
    chart = (
        alt.Chart(_rows(saidi))
        .mark_bar()
        .encode(
            y=alt.Y("nombre_region:N", sort=[*NORTH_TO_SOUTH, "CHILE"], title=None),
            yOffset=alt.YOffset("serie:N", sort=series),
            x=alt.X("saidi:Q", title="hours for each customer"),
            color=alt.Color(
                "serie:N",
                scale=alt.Scale(domain=series, range=[BLUE, ORANGE]),
                legend=alt.Legend(title=None, orient="top", direction="vertical"),
            ),
            tooltip=[
                alt.Tooltip("nombre_region:N", title="region"),
                alt.Tooltip("serie:N", title="series"),
                alt.Tooltip("saidi:Q", title="hours for each customer", format=".3f"),
                alt.Tooltip("meses:Q", title="months"),
                alt.Tooltip("cobertura:Q", title="least hours captured", format=".0%"),
            ],
        )
    )
    return _spec(chart, height=alt.Step(11))


def coverage_calendar(days: Rows) -> Spec:
    """A tile for each day: captured wholly or in part, or why not."""
    states = list(COVERAGE_COLOURS)
    chart = (
        alt.Chart(_rows(days))
        .mark_rect(stroke="#00000022", strokeWidth=0.4)
        .encode(
            x=alt.X("numero:O", title="day of the month", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("mes:O", title=None, axis=alt.Axis(labelExpr="slice(datum.label, 0, 7)", labelOverlap=True)),
            color=alt.Color(
                "estado:N",
                scale=alt.Scale(domain=states, range=list(COVERAGE_COLOURS.values())),
                legend=alt.Legend(title=None, orient="top", columns=2),
            ),
            tooltip=[
                alt.Tooltip("dia:N", title="day"),
                alt.Tooltip("estado:N", title="state"),
                alt.Tooltip("capturadas:Q", title="hours captured"),
                alt.Tooltip("vacias:Q", title="no data at the source"),
                alt.Tooltip("otras:Q", title="failed or quarantined"),
                alt.Tooltip("pendientes:Q", title="not asked yet"),
                alt.Tooltip("esperadas:Q", title="hours of the day"),
            ],
        )
    )
    return _spec(chart, height=alt.Step(9))


def quality_label(count: int, percentage: float) -> str:
    """`0 (0.00%)`."""
    return f"{count:,} ({percentage:.2%})"


def _rows(rows: Rows) -> alt.InlineData:
    return alt.InlineData(values=rows)


def _with_room(values: Sequence[float], factor: float) -> alt.Scale:
    """A scale from 0 that leaves room for the labels behind the bars, on a phone too."""
    return alt.Scale(domain=[0, max([*values, 1]) * factor], nice=False)


def _bars(
    rows: Rows, name: str, value: str, title: str, tips: Sequence[alt.Tooltip], colour: alt.Color | None = None
) -> Spec:
    order = [row[name] for row in rows]
    base = alt.Chart(_rows(rows)).encode(
        y=alt.Y(f"{name}:N", sort=order, title=None),
        x=alt.X(
            f"{value}:Q",
            title=title,
            axis=alt.Axis(format="~s", tickMinStep=1),
            scale=_with_room([row[value] for row in rows], 1.25),
        ),
        tooltip=list(tips),
    )
    bars = base.mark_bar(color=BLUE) if colour is None else base.mark_bar().encode(color=colour)
    labels = base.mark_text(align="left", dx=4).encode(text=alt.Text(f"{value}:Q", format=".3~s"))
    return _spec(alt.layer(bars, labels), height=alt.Step(24))


def _spec(chart: alt.Chart | alt.LayerChart | alt.FacetChart, height: float | alt.Step) -> Spec:
    """The specification, as wide as its container."""
    sized = chart.properties(
        width="container", height=height, autosize=alt.AutoSizeParams(type="fit-x", contains="padding")
    )
    found: Spec = sized.to_dict(validate=False)
    found.pop("config", None)
    return found
