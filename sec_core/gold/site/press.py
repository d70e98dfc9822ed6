"""Five figures as PNG, with their source and date in them, for those who print or quote. Drawn with Altair.

Each lies beside the specification that it was drawn from: what has not changed is not drawn again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt
import orjson
import polars as pl

from sec_core.gold.origin import others
from sec_core.gold.payloads.meta import SOURCE
from sec_core.gold.site import figures
from sec_core.gold.site.drawing import draw
from sec_core.gold.site.words import Language
from sec_core.gold.universe import COUNTRY
from sec_core.reference.geometry import topology
from sec_core.reference.tables import regiones

if TYPE_CHECKING:
    from sec_core.blobs.model import Blobs
    from sec_core.gold.site.figures import Rows, SiteFrames

Spec = dict[str, Any]
Chart = alt.Chart | alt.LayerChart | alt.FacetChart

WIDTH: Final = 760
COMUNAS: Final = "comunas"
BLUE, ORANGE, GREY = "#2a6aa8", "#b5432a", "#8a8f98"
DAY_COLOURS: Final = {
    "complete": "#2b7a8c",
    "partial": "#8cc4c9",
    "empty": "#d9a441",
    "failed": "#b5432a",
    "pending": "#c9ccd2",
}


def pictures(frames: SiteFrames, gold: Blobs, folder: str) -> dict[str, bytes]:
    """`prensa/<name>.png` and its specification, for each figure that has something to draw.

    Args:
        frames: What the site is made from.
        gold: Where the last ones may be.
        folder: The site's folder there.
    """
    specs = specifications(frames)
    wanted = {name: orjson.dumps(spec) for name, spec in specs.items()}
    kept = {name: _kept(gold, f"{folder}prensa/{name}", body) for name, body in wanted.items()}
    drawn = draw({name: spec for name, spec in specs.items() if kept[name] is None})
    files = {f"prensa/{name}.png": picture or drawn[name] for name, picture in kept.items()}
    return files | {f"prensa/{name}.vl.json": body for name, body in wanted.items()}


def _kept(gold: Blobs, stem: str, wanted: bytes) -> bytes | None:
    """The picture that was drawn from this specification, if it is there."""
    there = gold.exists(f"{stem}.png") and gold.exists(f"{stem}.vl.json")
    return gold.read(f"{stem}.png") if there and gold.read(f"{stem}.vl.json") == wanted else None


def specifications(frames: SiteFrames) -> dict[str, Spec]:
    """The figures as Vega-Lite, by name; those without data are left out."""
    lang = Language("es")
    newest = figures.usable(frames.hours).filter("known")["hora"].max()
    if newest is None:
        return {}
    origin = others(frames.payloads["meta"][0].get("origenes", []))
    until = lang.moment(newest)  # type: ignore[arg-type]
    about = [f"Fuente: {SOURCE}.", f"Datos hasta el {until} (hora de Chile). Cálculo: sec-outages."]
    drawn = {
        "pais-dias": _days(frames, lang),
        "pais-anhos": _years(frames),
        "mapa": _map(frames),
        "cobertura": _coverage(frames, lang),
        "tormentas": _storms(frames, lang),
    }
    return {name: _titled(*found, about, origin) for name, found in drawn.items() if found is not None}


def _titled(chart: Chart, title: str, remark: str, about: list[str], origin: Rows) -> Spec:
    if origin:
        title = f"{', '.join(one['origen'] for one in origin)}, NO SON DATOS DE LA SEC: {title}"
    titled = chart.properties(
        title=alt.TitleParams(title, subtitle=[remark, *about], anchor="start", subtitleColor=GREY)
    )
    configured = titled.configure(background="white", font="sans-serif", padding=16).configure_view(stroke=None)
    spec: Spec = orjson.loads(configured.to_json())
    if spec.get("data", {}).get("name") == COMUNAS:
        # Not through Altair, which takes a second to look through shapes.
        spec.setdefault("datasets", {})[COMUNAS] = _mainland()
    return spec


def _days(frames: SiteFrames, lang: Language) -> tuple[Chart, str, str] | None:
    peaks = figures.daily_peaks(frames)
    if peaks["clientes"].null_count() == peaks.height:
        return None
    rows = [{"dia": str(row["dia"]), "clientes": row["clientes"]} for row in peaks.to_dicts()]
    chart = (
        alt.Chart(alt.InlineData(rows))
        .mark_bar(color=BLUE, binSpacing=0, width=max(1.0, 0.9 * WIDTH / len(rows)))
        .encode(
            x=alt.X("utcyearmonthdate(dia):T", title=None, axis=alt.Axis(format="%m/%Y", labelOverlap=True)),
            y=alt.Y("clientes:Q", title="clientes sin suministro a la vez"),
        )
        .properties(width=WIDTH, height=260)
    )
    share = lang.percent(frames.hours["cargada"].mean())  # type: ignore[arg-type]
    return (
        chart,
        "Clientes sin suministro en Chile",
        f"La hora más alta vista de cada día; {share} de las horas tiene datos.",
    )


def _years(frames: SiteFrames) -> tuple[Chart, str, str] | None:
    table = figures.region_years(frames)
    whole = [year for year, (_, _, all_of_it) in figures.spans(frames.hours).items() if all_of_it]
    known = table.filter(pl.col("anho").is_in(whole), pl.col("nombre_region") == COUNTRY).drop_nulls("saidi")
    if known.is_empty():
        return None
    year = int(known["anho"].to_list()[-1])
    names = {region.nombre: region.nombre_oficial for region in regiones()} | {COUNTRY: "Chile"}
    rows = [
        {"region": names[row["nombre_region"]], **{key: row[key] for key in ("saidi", "saidi_inf", "saidi_sup")}}
        for row in table.filter(pl.col("anho") == year, pl.col("nombre_region").is_in(list(names))).to_dicts()
        if row["saidi"] is not None
    ]
    base = alt.Chart(alt.InlineData(rows)).encode(
        y=alt.Y("region:N", sort="-x", title=None, axis=alt.Axis(labelLimit=260))
    )
    bars = base.mark_bar(color=BLUE).encode(x=alt.X("saidi:Q", title="horas sin suministro por cliente (SAIDI)"))
    bounds = base.mark_rule(color=ORANGE, strokeWidth=2).encode(x="saidi_inf:Q", x2="saidi_sup:Q")
    share = Language("es").percent(known.filter(pl.col("anho") == year)["cobertura"].item())
    chart = alt.layer(bars, bounds).properties(width=WIDTH - 220, height=alt.Step(22))
    return (
        chart,
        f"Horas sin suministro por cliente en {year}",
        f"Línea: intervalo de 95%; {share} de las horas tiene datos.",
    )


def _map(frames: SiteFrames) -> tuple[Chart, str, str] | None:
    table = figures.comuna_years(frames).drop_nulls("saidi")
    whole = [year for year, (_, _, all_of_it) in figures.spans(frames.hours).items() if all_of_it]
    years = table.filter(pl.col("anho").is_in(whole))["anho"].to_list()
    if not years:
        return None
    year = max(years)
    values = {row["codigo_comuna"]: row["saidi"] for row in table.filter(pl.col("anho") == year).to_dicts()}
    rows = [{"id": code, "saidi": round(value, 3)} for code, value in values.items()]
    chart = (
        alt.Chart(alt.NamedData(COMUNAS, format=alt.TopoDataFormat(feature=COMUNAS, type="topojson")))
        .mark_geoshape(stroke="white", strokeWidth=0.1)
        .transform_lookup(lookup="id", from_=alt.LookupData(alt.InlineData(rows), key="id", fields=["saidi"]))
        .encode(
            color=alt.condition(
                "isValid(datum.saidi)",
                alt.Color("saidi:Q", title="horas", scale=alt.Scale(scheme="viridis", reverse=True, type="symlog")),
                alt.value("#d5d8dc"),
            )
        )
        .project("mercator", clipExtent=[[0, 0], [WIDTH, 1000]])
        .properties(width=420, height=960)
    )
    return (
        chart,
        f"Horas sin suministro por cliente en {year}, por comuna",
        "Los clientes de cada comuna son una estimación. Gris: sin datos.",
    )


def _mainland() -> dict[str, Any]:
    """The comunas' shapes but for those of the islands far away."""
    document = topology()
    shapes = document["objects"][COMUNAS]
    mainland = [shape for shape in shapes["geometries"] if shape["id"] not in {"05201", "05104"}]
    return document | {"objects": {COMUNAS: shapes | {"geometries": mainland}}}


def _coverage(frames: SiteFrames, lang: Language) -> tuple[Chart, str, str] | None:
    states = figures.day_states(frames.hours)
    if states.is_empty():
        return None
    words = {
        "complete": "todas las horas", "partial": "algunas horas", "empty": "el origen no tiene datos",
        "failed": "no se pudo obtener", "pending": "aún no pedido",
    }  # fmt: skip
    rows = [
        {"mes": f"{row['mes']:%Y-%m}", "dia": row["dia"].day, "estado": words[row["estado"]]}
        for row in states.to_dicts()
    ]
    chart = (
        alt.Chart(alt.InlineData(rows))
        .mark_rect()
        .encode(
            x=alt.X("dia:O", title="día del mes", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("mes:O", title=None, axis=alt.Axis(labelOverlap=True)),
            color=alt.Color(
                "estado:N",
                title=None,
                scale=alt.Scale(domain=list(words.values()), range=[DAY_COLOURS[state] for state in words]),
            ),
        )
        .properties(width=WIDTH - 200, height=alt.Step(9))
    )
    share = lang.percent(frames.hours["cargada"].mean(), 1)  # type: ignore[arg-type]
    return chart, "Qué horas tienen datos", f"{share} de las horas. Una hora sin datos nunca cuenta como cero."


def _storms(frames: SiteFrames, lang: Language) -> tuple[Chart, str, str] | None:
    largest = frames.storms.sort("punta", descending=True).head(10).to_dicts()
    if not largest:
        return None
    rows = [
        {"tormenta": row["nombre"] or lang.moment(row["inicio"]), "punta": row["punta"], "lugar": at}
        for at, row in enumerate(largest)
    ]
    chart = (
        alt.Chart(alt.InlineData(rows))
        .mark_bar(color=BLUE)
        .encode(
            y=alt.Y("tormenta:N", sort=alt.SortField("lugar"), title=None, axis=alt.Axis(labelLimit=260)),
            x=alt.X("punta:Q", title="clientes sin suministro en la punta, sobre lo habitual"),
        )
        .properties(width=WIDTH - 220, height=alt.Step(24))
    )
    return (
        chart,
        "Las mayores tormentas y cortes",
        "La punta es la hora más alta vista; lo que no se vio no se adivina.",
    )
