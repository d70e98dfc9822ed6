"""Five figures as PNG, with their source and date in them, for those who print or quote.

`press.json` says in Vega-Lite how they look; each lies beside the specification that it was drawn from.
"""

import base64
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

import orjson
import polars as pl

from sec_core.errors import PublicationError
from sec_core.gold.customers import COUNTRY
from sec_core.gold.frames import others
from sec_core.gold.kept import digest
from sec_core.gold.payloads.basis import SOURCE
from sec_core.gold.site import figures
from sec_core.gold.site.figures import SiteFrames
from sec_core.gold.site.put import Site
from sec_core.gold.site.words import SPANISH
from sec_core.gold.standing import code_digest
from sec_core.reference.tables import regiones, topology

Spec = dict[str, Any]

_DRAW: Final = """
import base64, json, sys, vl_convert
drawn = {}
for name, spec in json.load(sys.stdin.buffer).items():
    picture = vl_convert.vegalite_to_png(spec, scale=2, format_locale="es-ES", time_format_locale="es-ES")
    drawn[name] = base64.b64encode(picture).decode()
json.dump(drawn, sys.stdout)
"""
COMUNAS: Final = "comunas"
ROWS: Final = "filas"
# Islands that would make the map small.
FAR_OUT: Final = {"05201", "05104"}


def pictures(specs: Mapping[str, Spec], site: Site) -> None:
    """Add `prensa/<name>.png` and its specification, for each figure that has something to draw.

    Args:
        specs: See `specifications`.
        site: Where they go; those that stand are not drawn again.
    """
    wanted = {}
    for name, spec in specs.items():
        if not site.stands(digest(code_digest(), orjson.dumps(spec)), f"prensa/{name}.png", f"prensa/{name}.vl.json"):
            wanted[name] = with_shapes(spec)
    site.files.update({f"prensa/{name}.vl.json": orjson.dumps(spec) for name, spec in wanted.items()})
    site.files.update({f"prensa/{name}.png": picture for name, picture in draw(wanted).items()})


def draw(specs: Mapping[str, Spec]) -> dict[str, bytes]:
    """The pictures of some specifications, in a process of its own: the library holds Python's lock while it draws.

    Raises:
        PublicationError: The library failed.
    """
    if not specs:
        return {}
    command = [sys.executable, "-c", _DRAW]
    done = subprocess.run(command, input=orjson.dumps(specs), capture_output=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["nothing was said"])[-1]
        next_step = "Report this as a defect."
        raise PublicationError(f"The figures for the press were not drawn: {said}.", next_step=next_step)
    return {name: base64.b64decode(picture) for name, picture in orjson.loads(done.stdout).items()}


def with_shapes(spec: Spec) -> Spec:
    """The map with the comunas' shapes, but for those of the islands far away."""
    if spec["data"]["name"] != COMUNAS:
        return spec
    shapes = topology()["objects"][COMUNAS]
    mainland = [shape for shape in shapes["geometries"] if shape["id"] not in FAR_OUT]
    drawn = topology() | {"objects": {COMUNAS: shapes | {"geometries": mainland}}}
    return spec | {"datasets": spec["datasets"] | {COMUNAS: drawn}}


def specifications(frames: SiteFrames) -> dict[str, Spec]:
    """The figures as Vega-Lite, by name, the map without its shapes; those without data are left out."""
    newest = figures.usable(frames.hours).filter("known")["hora"].max()
    if newest is None:
        return {}
    origin = ", ".join(str(each["origen"]) for each in others(frames.payloads["meta"][0].get("origenes", [])))
    until = SPANISH.moment(newest)  # type: ignore[arg-type]
    about = [f"Fuente: {SOURCE}.", f"Datos hasta el {until} (hora de Chile). Cálculo: sec-outages."]
    seen = {"cobertura": SPANISH.percent(frames.hours["cargada"].mean(), 1)}  # type: ignore[arg-type]
    specs: dict[str, Spec] = orjson.loads(files("sec_core.gold.site").joinpath("press.json").read_bytes())
    found = {}
    for name, table in _tables(frames).items():
        if table.is_empty():
            continue
        words = seen
        if "anho" in table.columns:
            words = {"anho": str(table["anho"][0]), "cobertura": SPANISH.percent(table["cobertura"][0])}
        rows = table.drop("anho", "cobertura", strict=False).to_dicts()
        look = specs["*"] | specs[name] | {"datasets": {ROWS: rows}}
        text = look["title"].format(**words)
        title = {
            "text": f"{origin}, NO SON DATOS DE LA SEC: {text}" if origin else text,
            "subtitle": [look.pop("subtitle").format(**words), *about],
        }
        found[name] = look | {"title": title}
    if "pais-dias" in found:
        width = max(1.0, 0.9 * found["pais-dias"]["width"] / len(found["pais-dias"]["datasets"][ROWS]))
        found["pais-dias"]["mark"] |= {"width": width}
    return found


def _tables(frames: SiteFrames) -> dict[str, pl.DataFrame]:
    """The rows of each figure; those of a year with anho and cobertura, which its title names."""
    days = figures.daily_peaks(frames).select(pl.col("dia").dt.to_string(), "clientes")
    names = {region.nombre: region.nombre_oficial for region in regiones()} | {COUNTRY: "Chile"}
    by_region = _newest_year(frames, frames.by_region).filter(pl.col("nombre_region").is_in(list(names)))
    storms = frames.storms.sort("punta", descending=True).head(10).with_row_index("lugar", 1)
    begun = pl.Series("inicio", [SPANISH.moment(each) for each in storms["inicio"]], pl.String)
    # Two storms may have one name; bars of one name would be stacked.
    title = pl.format("{}. {}", "lugar", pl.coalesce("nombre", begun))
    states = {state: SPANISH.gettext(text) for state, text in figures.DAY_STATES.items()}
    return {
        "pais-dias": days if days["clientes"].null_count() < days.height else days.clear(),
        "pais-anhos": by_region.select(
            "anho", "cobertura", "saidi", "saidi_inf", "saidi_sup", region=pl.col("nombre_region").replace(names)
        ),
        "mapa": _newest_year(frames, frames.by_comuna).select(
            "anho", "cobertura", pl.col("saidi").round(3), id="codigo_comuna"
        ),
        "cobertura": figures.day_states(frames.hours).select(
            pl.col("mes").dt.to_string("%Y-%m"), pl.col("dia").dt.day(), pl.col("estado").replace(states)
        ),
        "tormentas": storms.select("punta", "lugar", tormenta=title),
    }


def _newest_year(frames: SiteFrames, table: pl.DataFrame) -> pl.DataFrame:
    """The indices of the newest whole year that has any."""
    whole = [year for year, (_, _, all_of_it) in figures.spans(frames.hours).items() if all_of_it]
    known = table.drop_nulls("saidi").filter(pl.col("anho").is_in(whole))
    return known.filter(pl.col("anho") == pl.col("anho").max())
