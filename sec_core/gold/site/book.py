"""What pages share: facts computed once, charts, the map's values, and the way a page is written."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Final

import numpy as np
import orjson
import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from sec_core.gold.frames import others
from sec_core.gold.kept import digest
from sec_core.gold.payloads.basis import SOURCE, SOURCE_URL
from sec_core.gold.site import charts, figures
from sec_core.gold.site.figures import HourGrid, Rows, SiteFrames
from sec_core.gold.site.put import Site
from sec_core.gold.site.words import ENGLISH, SPANISH, Language, slug
from sec_core.gold.standing import code_digest
from sec_core.reference.tables import comunas, regiones
from sec_core.text import without_formulas

# Pages in both languages.
ALTERNATES: Final = (("", "en/"), ("metodo/", "en/method/"), ("datos/", "en/data/"))
COLOURS: Final = 5
# What the map's script reads, and how the columns end.
SAIDI: Final = {"valores": "", "inf": "_inf", "sup": "_sup"}


def with_code(text: str) -> Markup:
    """A text of ours in which what stands between backticks is a name: everything else in it stays text."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


@cache
def _templates(lang: Language) -> Environment:
    environment = Environment(
        loader=PackageLoader("sec_core.gold.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    written = {"number": lang.number, "percent": lang.percent}
    environment.globals |= {"lang": lang, "_": lang.gettext, "source": SOURCE, "source_url": SOURCE_URL, **written}
    environment.globals["charts"] = charts
    # In tables of many rows, as a filter costs half of what a call does.
    environment.filters |= {"code": with_code, "interval": lang.interval, "month": lang.month, **written}
    return environment


# What tables by month call otherwise is so called by year in `datos.json`.
_YEAR_NAMES = {
    "cliente_horas_observadas": "observado", "cliente_horas_inf": "inferior", "cliente_horas_sup": "superior",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A comuna or a region as pages name it: `path` is its folder."""

    code: str
    name: str
    path: str


class Book:
    """What several pages need, computed once."""

    def __init__(self, frames: SiteFrames, address: str | None, site: Site) -> None:
        self.frames = frames
        self.address = address
        self.site = site
        self.meta = frames.payloads["meta"][0]
        self.comunas = {
            c.codigo: Place(c.codigo, c.nombre_oficial, f"comuna/{slug(c.nombre_oficial)}/") for c in comunas()
        }
        self.regions = {r.nombre: Place(r.codigo, r.nombre_oficial, f"region/{slug(r.nombre)}/") for r in regiones()}
        self.region_names = {r.codigo: r.nombre for r in regiones()}
        self.groups: dict[str, list[Place]] = {name: [] for name in self.regions}
        for comuna in sorted(comunas(), key=lambda each: slug(each.nombre_oficial)):
            self.groups[comuna.nombre_region].append(self.comunas[comuna.codigo])
        self.spans = figures.spans(frames.hours)
        self.whole_years = [year for year, (_, _, whole) in self.spans.items() if whole]
        self.grid = figures.recent_grid(frames)
        self.newest = self.grid.hours[-1] if self.grid.hours else None
        self.months: list[date] = frames.hours["mes"].unique().sort().to_list()
        # Indices by year, of comunas by code and of regions by name, in the words of the downloads.
        self.comuna_years = by(frames.by_comuna.rename(_YEAR_NAMES).drop("clientes_punta"), "codigo_comuna")
        self.region_years = by(frames.by_region.rename(_YEAR_NAMES).drop("clientes_punta"), "nombre_region")
        # Customers of each comuna; None where they are not known.
        self.customers: dict[str, int | None] = dict(frames.comunas.select("codigo_comuna", "clientes").iter_rows())
        self.assets = self._shared()
        self.foreign = others(self.meta["origenes"])
        self._shared_inputs = as_json([code_digest(), address, self.foreign, self.newest, list(self.spans.items())])

    @cached_property
    def storms(self) -> Rows:
        """All storms, the newest first, each with its address, its places and a title."""
        found = []
        places = by(figures.storm_places(self.frames.curves), "id")
        for row in self.frames.storms.sort("inicio", descending=True).to_dicts():
            own = places.get(row["id"], [])
            known = [p for p in (self.customers.get(place["codigo_comuna"]) for place in own) if p]
            regions = (row["regiones"] or "").split(",")
            places_of = [self.regions[self.region_names[code]] for code in regions if code in self.region_names]
            clients = sum(known) if known and len(known) == len(own) else None
            more = {
                "titulo": row["nombre"] or f"{SPANISH.gettext('Storm of')} {SPANISH.day_of(row['inicio'])}",
                "path": f"tormenta/{row['id']}/",
                "lugares": own,
                "clientes": clients,
                "regiones_de": places_of,
                "regiones_afectadas": [place.name for place in places_of],
                "parte": row["punta"] / clients if clients else None,
            }
            found.append(row | more)
        return found

    def page(
        self,
        path: str,
        template: str,
        data: dict[str, Any],
        context: Mapping[str, object] | None = None,
        *,
        table: pl.DataFrame | None = None,
        also: object = None,
    ) -> None:
        """Render a page, and its figures beside it as JSON, unless all of it stands; what starts with `en/` is English.

        Args:
            path: Its folder.
            template: Name of its template, which has its title and description.
            data: Its figures, of which the JSON is made and which the template sees.
            context: What the template needs besides. This, and what it takes of the book, follows from the data, from
                `also` and from what all pages share.
            table: One to lie beside it as CSV.
            also: What it says that is not in the data.
        """
        body = as_json(data) + b"\n"
        beside = {f"{path}datos.json": body}
        if table is not None:
            beside[f"{path}datos.csv"] = table.write_csv().encode()
        inputs = digest(self._shared_inputs, as_json(also), *beside.values())
        if self.site.stands(inputs, f"{path}index.html", *beside):
            return
        lang = ENGLISH if path.startswith("en/") else SPANISH
        pair = next((pair for pair in ALTERNATES if path in pair), None)
        about = {"book": self, "path": path, "root": "../" * path.count("/"), "pair": pair}
        made = _templates(lang).get_template(template).render(about | data | dict(context or {}))
        self.site.files.update({f"{path}index.html": made.encode(), **beside})

    def file(self, path: str, body: bytes) -> str:
        """Add a file unless it stands; its path."""
        if not self.site.stands(digest(body), path):
            self.site.files[path] = body
        return path

    def _shared(self) -> dict[str, str]:
        """Scripts and styles, each under a name of its own for each content, so that no page meets the wrong one."""
        bodies = {file.name: file.read_bytes() for file in files("sec_core.gold.site").joinpath("assets").iterdir()}
        named = ((name, *name.rsplit(".", 1), digest(body)[:10]) for name, body in bodies.items())
        return {name: self.file(f"assets/{stem}.{mark}.{kind}", bodies[name]) for name, stem, kind, mark in named}

    def span(self, year: int) -> str:
        """A year's name: with its days where it isn't whole."""
        first, last, whole = self.spans[year]
        return str(year) if whole else f"{year} ({SPANISH.day(first, 'd MMM')}\N{EN DASH}{SPANISH.day(last, 'd MMM')})"

    def month_chart(self, rows: Rows) -> charts.Chart:
        """SAIDI of all months of the ledger."""
        held = {row["mes"]: row for row in rows}
        columns = [(SPANISH.month(month), held.get(month)) for month in self.months]
        return charts.bars(SPANISH.gettext("Hours without supply per customer, by month (SAIDI)"), columns, SPANISH)

    def year_chart(self, rows: Rows, lang: Language) -> charts.Chart:
        """SAIDI of all years."""
        held = {row["anho"]: row for row in rows}
        columns = [(f"{year}{'' if whole else '*'}", held.get(year)) for year, (_, _, whole) in self.spans.items()]
        chart = charts.bars(lang.gettext("Hours without supply per customer, by year (SAIDI)"), columns, lang)
        if len(self.whole_years) < len(self.spans):
            chart.remark = f"* {lang.gettext('only a part of the year')}"
        return chart

    def storm_chart(self, storm: dict[str, Any], grid: HourGrid) -> charts.Chart:
        """The curve of a storm, its peak marked."""
        chart = charts.hourly(SPANISH.gettext("Customers out above the usual level, by hour"), grid, "", SPANISH)
        if storm["hora_punta"] in grid.hours:
            at = grid.hours.index(storm["hora_punta"])
            chart.marks = [(round(100 * (at + 0.5) / len(grid.hours), 2), SPANISH.gettext("peak"))]
        return chart

    def storm_map(self, storm: dict[str, Any]) -> dict[str, Any]:
        """The comunas hit by the highest share of their customers that was out."""
        peaks = {row["codigo_comuna"]: row["punta"] for row in storm["lugares"]}
        codes = [code for code in self.comunas if code in peaks]
        hit = period(SPANISH.moment(storm["inicio"]), "", [self._with_share(code, peaks[code]) for code in codes])
        text = "Most customers out in the storm, as a share of the customers of each comuna (estimate)"
        return {"codigos": codes, "medidas": [measure("tormenta", SPANISH.gettext(text), "%", [hit])]}

    @cached_property
    def out_now(self) -> dict[str, tuple[int | None, float | None]]:
        """Customers out in the newest hour by comuna, and their share; null where that is not known."""
        return {code: self._with_share(code, self.grid.newest(code)) for code in self.comunas}

    def _with_share(self, code: str, out: int | None) -> tuple[int | None, float | None]:
        served = self.customers.get(code)
        return out, out / served if served and out is not None else None

    def map_data(self, years: Sequence[int], lang: Language, codes: Iterable[str] = ()) -> dict[str, Any]:
        """What the map shows: values in the order of the comunas' codes, null where there is no figure.

        Args:
            years: Which years can be chosen.
            lang: The language.
            codes: The comunas that it shows; none means all.
        """
        codes = list(codes or self.comunas)
        of_year = {year: [self.of_year(year).get(code, {}) for code in codes] for year in sorted(years, reverse=True)}
        measures = []
        if self.newest is not None:
            note = lang.gettext("newest hour with data")
            now = period(lang.moment(self.newest), note, [self.out_now[code] for code in codes])
            measures.append(measure("ahora", lang.gettext("Customers without supply now"), "%", [now]))
        for key, text, unit, columns in (
            ("saidi", lang.gettext("Hours without supply per customer (SAIDI)"), "h", SAIDI),
            ("punta", lang.gettext("Most customers out at once"), "%", {"valores": ""}),
        ):
            periods = [
                {"nombre": self.span(year), "nota": self._seen(rows, lang)}
                | {name: [rounded(row.get(key + end), 3) for row in rows] for name, end in columns.items()}
                for year, rows in of_year.items()
                if any(row.get(key) is not None for row in rows)
            ]
            if periods:
                measures.append(measure(key, text, unit, periods))
        return {"codigos": codes, "medidas": measures}

    @cache  # noqa: B019 - a book is as old as its site
    def of_year(self, year: int) -> dict[str, dict[str, Any]]:
        """Each comuna's index of a year."""
        return {code: row for code, rows in self.comuna_years.items() for row in rows if row["anho"] == year}

    def _seen(self, rows: Rows, lang: Language) -> str:
        seen = next(row["cobertura"] for row in rows if row)
        return f"{lang.percent(seen)} {lang.gettext('of the hours have data')}"


def period(name: str, note: str, out: Sequence[tuple[int | None, float | None]]) -> dict[str, Any]:
    """What the map shows of a time: customers out of each comuna, and their share."""
    shares = [rounded(share, 4) for _, share in out]
    return {"nombre": name, "nota": note, "valores": shares, "clientes": [clients for clients, _ in out]}


def measure(name: str, text: str, unit: str, periods: Rows) -> dict[str, Any]:
    """A measure that the map can show, its colours changing at the same values in all periods."""
    cuts = breaks(value for period in periods for value in period["valores"] if value is not None)
    return {"id": name, "nombre": text, "unidad": unit, "periodos": periods, "cortes": cuts}


def as_json(data: object) -> bytes:
    """What pages show, as bytes."""
    return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z)


def parts(frame: pl.DataFrame, key: str) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """A table by a key; and what a place has of which there are no rows."""
    text = without_formulas(frame.with_columns(pl.col(pl.Categorical).cast(pl.String))).drop_nulls(key)
    own = text.partition_by(key, as_dict=True, maintain_order=True)
    return {str(name): rows for (name,), rows in own.items()}, text.clear()


def by(frame: pl.DataFrame, key: str) -> dict[str, Rows]:
    """Rows by a key, ready for JSON."""
    rows = frame.with_columns(pl.col(pl.Categorical).cast(pl.String)).drop_nulls(key)
    return rows.rows_by_key(key, named=True, include_key=True)


def rounded(value: float | None, digits: int) -> float | None:
    """A value with so many digits; None stays."""
    return None if value is None else round(value, digits)


def breaks(values: Iterable[float]) -> list[float]:
    """Lower bounds of the colours above the first: quantiles of all values but zeros, at two significant digits."""
    known = np.array([value for value in values if value > 0], dtype=float)
    if not len(known):
        return []
    cuts = np.quantile(known, np.linspace(0, 1, COLOURS + 1)[1:-1])
    return sorted({float(f"{cut:.2g}") for cut in cuts.tolist()})
