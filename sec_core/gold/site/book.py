"""What pages share: facts computed once, charts, the map's values, and the way a page is written."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import polars as pl
from jinja2 import BytecodeCache, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from typing_extensions import override

from sec_core.gold.origin import others
from sec_core.gold.payloads.meta import SOURCE, SOURCE_URL
from sec_core.gold.site import charts, figures
from sec_core.gold.site.atlas import panels
from sec_core.gold.site.words import Language, slug
from sec_core.reference.tables import comunas, regiones

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jinja2 import Template
    from jinja2.bccache import Bucket

    from sec_core.gold.site.figures import Rows, SiteFrames

SPANISH, ENGLISH = "es", "en"
ALTERNATES: Final = (("", "en/"), ("metodo/", "en/method/"), ("datos/", "en/data/"))
"""Pages in both languages."""
COLOURS: Final = 5
SAIDI: Final = {"valores": "", "inf": "_inf", "sup": "_sup"}
"""What the map's script reads, and how the columns end."""

Site = dict[str, bytes]


class _Compiled(BytecodeCache):
    """Compiled templates, which are the same in both languages."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}

    @override
    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._held:
            bucket.bytecode_from_string(self._held[bucket.key])

    @override
    def dump_bytecode(self, bucket: Bucket) -> None:
        self._held[bucket.key] = bucket.bytecode_to_string()


_COMPILED: Final = _Compiled()


@cache
def _templates(code: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("sec_core.gold.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_COMPILED,
    )
    language = Language(code)
    environment.globals |= {
        "lang": language,
        "_": language.gettext,
        "number": language.number,
        "percent": language.percent,
    }
    environment.filters["code"] = with_code
    return environment


def with_code(text: str) -> Markup:
    """A text of ours in which what stands between backticks is a name: everything else in it stays text."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


@dataclass(frozen=True, slots=True)
class Place:
    """A comuna or a region as pages name it: `path` is its folder."""

    code: str
    name: str
    path: str


class Book:
    """What several pages need, computed once."""

    def __init__(self, frames: SiteFrames, address: str | None) -> None:
        self.frames = frames
        self.address = address
        self.lang = Language(SPANISH)
        self.site: Site = {_hashed(name, body): body for name, body in shared_files().items()}
        self.meta = frames.payloads["meta"][0]
        self.assets = {name: _hashed(name, body) for name, body in shared_files().items()}
        self.comunas = {
            c.codigo: Place(c.codigo, c.nombre_oficial, f"comuna/{slug(c.nombre_oficial)}/") for c in comunas()
        }
        self.regions = {r.nombre: Place(r.codigo, r.nombre_oficial, f"region/{slug(r.nombre)}/") for r in regiones()}
        self.region_names = {r.codigo: r.nombre for r in regiones()}
        self.groups: dict[str, list[Place]] = {name: [] for name in self.regions}
        for comuna in sorted(comunas(), key=lambda each: slug(each.nombre_oficial)):
            self.groups[comuna.nombre_region].append(self.comunas[comuna.codigo])
        self.spans = figures.spans(frames.hours)
        self.grid = figures.recent_grid(frames)
        self.newest = self.grid.hours[-1] if self.grid.hours else None
        known = frames.hours["mes"]
        self.months = charts.months_between(known.min(), known.max()) if len(known) else []  # type: ignore[arg-type]

    @cached_property
    def comuna_years(self) -> dict[str, Rows]:
        """See `figures.comuna_years`, by code."""
        return by(figures.comuna_years(self.frames), "codigo_comuna")

    @cached_property
    def region_years(self) -> dict[str, Rows]:
        """See `figures.region_years`, by name."""
        return by(figures.region_years(self.frames), "nombre_region")

    @cached_property
    def storms(self) -> dict[str, dict[str, Any]]:
        """All storms by id, the newest first, each with its address, its places and a title."""
        found = {}
        places = by(figures.storm_places(self.frames.curves), "id")
        for row in self.frames.storms.sort("inicio", descending=True).to_dicts():
            own = places.get(row["id"], [])
            known = [p for p in (self.customers.get(place["codigo_comuna"]) for place in own) if p]
            row |= {
                "titulo": row["nombre"] or f"{self.lang.gettext('Storm of')} {self.lang.day_of(row['inicio'])}",
                "path": f"tormenta/{row['id']}/",
                "lugares": own,
                "clientes": sum(known) if known and len(known) == len(own) else None,
                "nombres": [
                    self.regions[self.region_names[code]].name
                    for code in (row["regiones"] or "").split(",")
                    if code in self.region_names
                ],
            }
            row["parte"] = row["punta"] / row["clientes"] if row["clientes"] else None
            found[row["id"]] = row
        return found

    @cached_property
    def customers(self) -> dict[str, int | None]:
        """Customers of each comuna; None where they are not known."""
        return dict(self.frames.comunas.select("codigo_comuna", "clientes").iter_rows())

    def page(self, path: str, template: str, title: str, about: str, data: object = None, /, **context: object) -> None:
        """Render a page, and its figures beside it as JSON; what starts with `en/` is English."""
        code = ENGLISH if path.startswith("en/") else SPANISH
        pair = next((pair for pair in ALTERNATES if path in pair), None)
        page = _template(template, code)
        self.site[f"{path}index.html"] = page.render(
            path=path,
            root="../" * path.count("/"),
            title=title,
            about=about,
            address=self.address,
            pair=pair,
            assets=self.assets,
            meta=self.meta,
            foreign=others(self.meta["origenes"]),
            source=SOURCE,
            source_url=SOURCE_URL,
            newest=self.newest,
            regions=self.regions,
            comunas=self.comunas,
            **context,
        ).encode()
        if data is not None:
            self.site[f"{path}datos.json"] = _json(data)

    def span(self, year: int) -> str:
        """A year's name: with its days where it isn't whole."""
        first, last, whole = self.spans[year]
        return str(year) if whole else f"{year} ({self.lang.day(first)}\N{EN DASH}{self.lang.day(last)})"

    def whole_years(self) -> list[int]:
        """Years of which every day has ended."""
        return [year for year, (_, _, whole) in self.spans.items() if whole]

    def _index_tip(self, lang: Language, row: Mapping[str, Any]) -> str:
        if row["saidi"] is None:
            return lang.gettext("too little data for an estimate")
        range_ = lang.interval(row["saidi_inf"], row["saidi_sup"])
        return f"{lang.number(row['saidi'], 2)} h ({range_}; {lang.percent(row['cobertura'])})"

    def month_chart(self, rows: Rows, lang: Language) -> charts.Chart:
        """SAIDI of all months of the ledger."""
        held = {row["mes"]: row for row in rows}
        columns = [(lang.month(month), held.get(month)) for month in self.months]
        return charts.bars(lang.gettext("SAIDI by month"), columns, lang, lambda row: self._index_tip(lang, row))

    def year_chart(self, rows: Rows, lang: Language) -> charts.Chart:
        """SAIDI of all years."""
        held = {row["anho"]: row for row in rows}
        columns = [(f"{year}{'' if whole else '*'}", held.get(year)) for year, (_, _, whole) in self.spans.items()]
        chart = charts.bars(lang.gettext("SAIDI by year"), columns, lang, lambda row: self._index_tip(lang, row))
        if len(self.whole_years()) < len(self.spans):
            chart.remark = f"* {lang.gettext('only a part of the year')}"
        return chart

    def hour_chart(self, series: str, lang: Language) -> charts.Chart:
        """Customers out over the last 60 days."""
        return charts.hourly(lang.gettext("Customers out, last 60 days"), self.grid, series, lang)

    @cached_property
    def out_now(self) -> dict[str, tuple[int | None, float | None]]:
        """Customers out in the newest hour by comuna, and their share; null where that is not known."""
        found: dict[str, tuple[int | None, float | None]] = {}
        for code in self.comunas:
            out, served = self.grid.newest(code), self.customers.get(code)
            found[code] = out, out / served if served and out is not None else None
        return found

    def map_data(self, years: Sequence[int], lang: Language) -> dict[str, Any]:
        """What the map shows: values in the order of the comunas' codes, null where there is no figure."""
        held = {(code, row["anho"]): row for code, rows in self.comuna_years.items() for row in rows}
        of_year = {year: [held.get((code, year), {}) for code in self.comunas] for year in sorted(years, reverse=True)}
        measures = []
        if self.newest is not None:
            now = {
                "nombre": lang.moment(self.newest),
                "nota": lang.gettext("newest hour with data"),
                "valores": [rounded(share, 4) for _, share in self.out_now.values()],
                "clientes": [out for out, _ in self.out_now.values()],
            }
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
        return {"medidas": measures, **map_words(lang)}

    def _seen(self, rows: Rows, lang: Language) -> str:
        seen = next(row["cobertura"] for row in rows if row)
        return f"{lang.percent(seen)} {lang.gettext('of the hours have data')}"


def measure(name: str, text: str, unit: str, periods: Rows) -> dict[str, Any]:
    """A measure that the map can show, its colours changing at the same values in all periods."""
    cuts = breaks(value for period in periods for value in period["valores"] if value is not None)
    return {"id": name, "nombre": text, "unidad": unit, "periodos": periods, "cortes": cuts}


def map_words(lang: Language) -> dict[str, str]:
    """Words that the map's script writes."""
    return {"sin_datos": lang.no_data, "clientes": lang.gettext("customers")}


@cache
def shared_files() -> dict[str, bytes]:
    """Scripts and styles by name: the map's paths and the index of comunas are made here."""
    folder = files("sec_core.gold.site").joinpath("assets")
    own = {name: folder.joinpath(name).read_bytes() for name in ("site.css", "site.js", "icono.svg")}
    atlas = [{"id": p.id, "ancho": p.width, "alto": p.height, "trazos": p.paths} for p in panels()]
    regions = {region.codigo: region.nombre_oficial for region in regiones()}
    index = [[c.codigo, c.nombre_oficial, slug(c.nombre_oficial), regions[c.codigo_region]] for c in comunas()]
    return {
        **own,
        "mapa.js": b"window.ATLAS=" + orjson.dumps(atlas) + b";\n",
        "comunas.js": b"window.COMUNAS=" + orjson.dumps(index) + b";\n",
    }


def _hashed(name: str, body: bytes) -> str:
    """The path of a shared file: a changed one has another name, so that no page meets the wrong one."""
    stem, _, kind = name.rpartition(".")
    return f"assets/{stem}.{hashlib.sha256(body).hexdigest()[:10]}.{kind}"


@cache
def _template(name: str, code: str) -> Template:
    return _templates(code).get_template(name)


def _json(data: object) -> bytes:
    return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


def partitions(frame: pl.DataFrame, key: str) -> dict[str, pl.DataFrame]:
    """Rows by a key, categories as text."""
    parts = frame.with_columns(pl.col(pl.Categorical).cast(pl.String)).partition_by(key, as_dict=True)
    return {str(name): rows for (name,), rows in parts.items() if name is not None}


def by(frame: pl.DataFrame, key: str) -> dict[str, Rows]:
    """Rows by a key, ready for JSON."""
    return {name: rows.to_dicts() for name, rows in partitions(frame, key).items()}


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
