"""The pages: frames in, files by path out. The same frames give the same bytes; nothing tells when it was made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

import numpy as np
import orjson
import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from sec_core.gold.definitions import DEFINITIONS
from sec_core.gold.payloads.meta import CITATION, LICENCE, SOURCE, SOURCE_URL
from sec_core.gold.site import charts, figures
from sec_core.gold.site.atlas import panels
from sec_core.gold.site.words import Language, slug
from sec_core.gold.universe import COUNTRY
from sec_core.reference.tables import UNKNOWN_NAME, comunas, regiones

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jinja2 import Template

    from sec_core.gold.site.figures import Rows, SiteFrames

SPANISH, ENGLISH = "es", "en"
ALTERNATES: Final = (("", "en/"), ("metodo/", "en/method/"), ("datos/", "en/data/"))
"""Pages in both languages."""
ON_START: Final = 6
"""Storms and comunas that the first page lists."""
COLOURS: Final = 5
DOWNLOADS: Final = ("indices_comunales", "indices_regionales", "comunas", "tormentas", "horas")
"""Tables of the data page, as CSV."""

Site = dict[str, bytes]


def build_site(frames: SiteFrames, address: str | None = None) -> Site:
    """All files of the site by their path.

    Args:
        frames: What it is made from.
        address: Where the site will stand, for canonical addresses; None leaves them out.
    """
    return _Builder(frames, f"{address.rstrip('/')}/" if address else None).build()


@cache
def _templates(code: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("sec_core.gold.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    language = Language(code)
    environment.globals |= {"lang": language, "_": language.gettext, "number": language.number, "percent": language.percent}
    return environment


@dataclass(frozen=True, slots=True)
class Place:
    """A comuna or a region as pages name it: `path` is its folder."""

    code: str
    name: str
    path: str


class _Builder:
    """What several pages need, computed once."""

    def __init__(self, frames: SiteFrames, address: str | None) -> None:
        self.frames = frames
        self.address = address
        self.lang = Language(SPANISH)
        self.site: Site = {}
        self.meta = frames.payloads["meta"][0]
        self.assets = {name: _hashed(name, body) for name, body in _assets().items()}
        self.comunas = {c.codigo: Place(c.codigo, c.nombre_oficial, f"comuna/{slug(c.nombre_oficial)}/") for c in comunas()}
        self.regions = {r.nombre: Place(r.codigo, r.nombre_oficial, f"region/{slug(r.nombre)}/") for r in regiones()}
        self.region_names = {r.codigo: r.nombre for r in regiones()}
        self.spans = figures.spans(frames.hours)
        self.grid = figures.recent_grid(frames)
        self.newest = next((at for at in reversed(range(len(self.grid.hours))) if self.grid.known[at]), None)
        self.months = self._months()

    @cached_property
    def comuna_years(self) -> dict[str, Rows]:
        return _by(figures.comuna_years(self.frames), "codigo_comuna")

    @cached_property
    def region_years(self) -> dict[str, Rows]:
        return _by(figures.region_years(self.frames), "nombre_region")

    @cached_property
    def storms(self) -> dict[str, dict[str, Any]]:
        """All storms by id, the newest first, each with its address, its places and a title."""
        found = {}
        places = _by(figures.storm_places(self.frames.curves), "id")
        for row in self.frames.storms.sort("inicio", descending=True).to_dicts():
            own = places.get(row["id"], [])
            known = [p for p in (self.customers.get(place["codigo_comuna"]) for place in own) if p]
            row |= {
                "nombre": row.get("nombre"),
                "nota": row.get("nota"),
                "titulo": row.get("nombre") or f"{self.lang.gettext('Storm of')} {self.lang.day(row['inicio'].date())}",
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
        return dict(self.frames.comunas.select("codigo_comuna", "clientes").iter_rows())

    def build(self) -> Site:
        for name, body in _assets().items():
            self.site[self.assets[name]] = body
        self._start()
        self._map()
        self._lists()
        self._regions()
        self._comunas()
        self._storms()
        self._payload_pages()
        self._method_and_data()
        self.site["sitemap.xml"] = self._sitemap()
        return self.site

    def _page(self, path: str, template: str, title: str, about: str, data: object = None, /, **context: object) -> None:
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
            foreign=foreign(self.meta),
            source=SOURCE,
            source_url=SOURCE_URL,
            newest=self.grid.hours[self.newest] if self.newest is not None else None,
            regions=self.regions,
            comunas=self.comunas,
            **context,
        ).encode()
        if data is not None:
            self.site[f"{path}datos.json"] = _json(data)

    def _months(self) -> list[Any]:
        known = self.frames.hours["mes"]
        return charts.months_between(known.min(), known.max()) if len(known) else []  # type: ignore[arg-type]

    def _span(self, year: int) -> str:
        """A year's name: with its days where it isn't whole."""
        first, last, whole = self.spans[year]
        return str(year) if whole else f"{year} ({self.lang.day(first)}\N{EN DASH}{self.lang.day(last)})"

    def _whole_years(self) -> list[int]:
        return [year for year, (_, _, whole) in self.spans.items() if whole]

    def _index_tip(self, lang: Language, row: Mapping[str, Any]) -> str:
        if row["saidi"] is None:
            return lang.gettext("too little data for an estimate")
        range_ = lang.interval(row["saidi_inf"], row["saidi_sup"])
        return f"{lang.number(row['saidi'], 2)} h ({range_}; {lang.percent(row['cobertura'])})"

    def _month_chart(self, label: str, rows: Rows, lang: Language) -> charts.Chart:
        held = {row["mes"]: row for row in rows}
        columns = [(lang.month(month), held.get(month)) for month in self.months]
        return charts.bars(label, columns, lang, lambda _name, row: self._index_tip(lang, row))

    def _year_chart(self, label: str, rows: Rows, lang: Language) -> charts.Chart:
        held = {row["anho"]: row for row in rows}
        columns = [(str(year), held.get(year)) for year in self.spans]
        return charts.bars(label, columns, lang, lambda _name, row: self._index_tip(lang, row))

    def _hour_chart(self, label: str, series: str, lang: Language) -> charts.Chart:
        return charts.hourly(label, self.grid.hours, self.grid.of(series), self.grid.known, lang)

    def _out_now(self) -> list[tuple[Place, int, float | None]]:
        """Comunas by customers out in the newest hour: the share of its customers is null where these are unknown."""
        if self.newest is None:
            return []
        found = []
        for code, place in self.comunas.items():
            out, served = int(self.grid.of(code)[self.newest]), self.customers.get(code)
            found.append((place, out, out / served if served else None))
        return sorted(found, key=lambda row: (-row[1], row[0].code))

    def _map_data(self, years: Sequence[int], digits: int = 3) -> dict[str, Any]:
        """What the map shows: values in the order of the comunas' codes, null where there is no figure."""
        lang = self.lang
        codes = list(self.comunas)
        held = {(code, row["anho"]): row for code, rows in self.comuna_years.items() for row in rows}
        measures = []
        for name, key, text, unit in (
            ("saidi", "saidi", lang.gettext("Hours without supply per customer (SAIDI)"), "h"),
            ("punta", "punta", lang.gettext("Most customers out at once"), "%"),
        ):
            periods = []
            for year in years:
                rows = [held.get((code, year)) for code in codes]
                if not any(row and row[key] is not None for row in rows):
                    continue
                seen = next(row["cobertura"] for row in rows if row)
                period: dict[str, Any] = {
                    "nombre": self._span(year),
                    "nota": f"{lang.percent(seen)} {lang.gettext('of the hours have data')}",
                    "valores": [_rounded(row and row[key], digits) for row in rows],
                }
                if key == "saidi":
                    period["inf"] = [_rounded(row and row["saidi_inf"], digits) for row in rows]
                    period["sup"] = [_rounded(row and row["saidi_sup"], digits) for row in rows]
                periods.append(period)
            measures.append({"id": name, "nombre": text, "unidad": unit, "periodos": periods[::-1]})
        if self.newest is not None:
            now = {place.code: share for place, _, share in self._out_now()}
            period = {
                "nombre": lang.moment(self.grid.hours[self.newest]),
                "nota": lang.gettext("newest hour with data"),
                "valores": [_rounded(now[code], 4) for code in codes],
                "clientes": [int(self.grid.of(code)[self.newest]) for code in codes],
            }
            measures.insert(
                0,
                {"id": "ahora", "nombre": lang.gettext("Customers without supply now"), "unidad": "%", "periodos": [period]},
            )
        measures = [measure for measure in measures if measure["periodos"]]
        for measure in measures:
            measure["cortes"] = _breaks(
                value for period in measure["periodos"] for value in period["valores"] if value is not None
            )
        return {"medidas": measures, "sin_datos": lang.no_data}

    def _start(self) -> None:
        whole = self._whole_years()
        country = self.region_years.get(COUNTRY, [])
        peaks = figures.daily_peaks(self.frames)
        out = int(self.grid.of(COUNTRY)[self.newest]) if self.newest is not None else None
        served = next((d["universo"] for d in self.meta["denominadores"] if d["nombre_region"] == COUNTRY), None)
        top = [row for row in self._out_now()[:ON_START] if row[1]]
        data = {
            "ultima_hora": self.meta["ultima_hora"],
            "clientes_sin_suministro": out,
            "clientes": served,
            "anhos": country,
            "maximos_diarios": peaks.to_dicts(),
            "horas": self._hours_json(COUNTRY),
        }
        for path, code in (("", SPANISH), ("en/", ENGLISH)):
            lang = Language(code)
            self._page(
                path,
                "start.html",
                lang.gettext("Power outages in Chile"),
                lang.gettext("How many are without power, where and for how long: every comuna and every storm."),
                data,
                out=out,
                share=out / served if out is not None and served else None,
                year=next((row for row in reversed(country) if row["anho"] in whole and row["saidi"] is not None), None),
                newest_year=country[-1] if country else None,
                spans=self.spans,
                top=top,
                storms=list(self.storms.values())[:ON_START],
                map=self._map_data(whole[-1:]) if code == SPANISH else None,
                years=self._year_chart(lang.gettext("SAIDI of the country by year"), country, lang),
                recent=self._hour_chart(lang.gettext("Customers out in the country, last 60 days"), COUNTRY, lang),
                days=charts.daily(
                    lang.gettext("Most customers out at once, by day"),
                    peaks["dia"].to_list(),
                    peaks["clientes"].to_list(),
                    lang,
                ),
            )

    def _map(self) -> None:
        years = list(self.spans)
        data = self._map_data(years)
        last = next((year for year in reversed(self._whole_years())), years[-1] if years else None)
        rows = []
        for code, place in self.comunas.items():
            row = next((row for row in self.comuna_years.get(code, []) if row["anho"] == last), None)
            rows.append((place, row))
        self._page(
            "mapa/",
            "map.html",
            self.lang.gettext("Map by comuna"),
            self.lang.gettext("Hours without power and outages in each of the 346 comunas of Chile, by year."),
            {"codigos": list(self.comunas), **data},
            map=data,
            year=self._span(last) if last else "",
            rows=rows,
        )

    def _lists(self) -> None:
        groups: dict[str, list[Place]] = {name: [] for name in self.regions}
        for comuna in comunas():
            groups[comuna.nombre_region].append(self.comunas[comuna.codigo])
        self.groups = {name: sorted(group, key=lambda place: slug(place.name)) for name, group in groups.items()}
        self._page(
            "comunas/",
            "comunas.html",
            self.lang.gettext("Comunas and regions"),
            self.lang.gettext("All comunas of Chile, by region."),
            {"comunas": [{"codigo_comuna": p.code, "nombre": p.name, "pagina": p.path} for p in self.comunas.values()]},
            groups=self.groups,
        )

    def _hours_json(self, series: str) -> dict[str, Any]:
        hours = self.grid.hours
        return {"desde": hours[0] if hours else None, "clientes": self.grid.listed(series)}

    def _regions(self) -> None:
        monthly = _partitions(self.frames.regional, "nombre_region")
        events = _by(figures.events_by_year(self.frames.events, "nombre_region"), "serie")
        shares = {name: rows[-1] for name, rows in self.region_years.items()}
        for name, place in self.regions.items():
            months = monthly.get(name, self.frames.regional.clear())
            rows = months.to_dicts()
            years = self.region_years.get(name, [])
            storms = [s for s in self.storms.values() if place.code in (s["regiones"] or "").split(",")]
            self.site[f"{place.path}datos.csv"] = months.write_csv().encode()
            self._page(
                place.path,
                "region.html",
                place.name,
                f"{place.name}: {self.lang.gettext('outages by month and year, with coverage and intervals')}.",
                {
                    "codigo_region": place.code,
                    "nombre": place.name,
                    "indices_regionales": rows,
                    "anhos": years,
                    "eventos": events.get(name, []),
                    "horas": self._hours_json(name),
                },
                place=place,
                key=name,
                rows=rows[::-1],
                years=years[::-1],
                spans={row["anho"]: self._span(row["anho"]) for row in years},
                seen={row["anho"]: row for row in events.get(name, [])},
                served=shares[name]["clientes"] if name in shares else None,
                out=int(self.grid.of(name)[self.newest]) if self.newest is not None else None,
                storms=storms,
                members=[(p, self.customers.get(p.code)) for p in self.groups[name]],
                year_chart=self._year_chart(self.lang.gettext("SAIDI by year"), years, self.lang),
                month_chart=self._month_chart(self.lang.gettext("SAIDI by month"), rows, self.lang),
                hour_chart=self._hour_chart(self.lang.gettext("Customers out, last 60 days"), name, self.lang),
            )

    def _comunas(self) -> None:
        monthly = _partitions(self.frames.comunal, "codigo_comuna")
        cuts = _by(figures.longest_cuts(self.frames.events), "codigo_comuna")
        events = _by(figures.events_by_year(self.frames.events, "codigo_comuna"), "serie")
        storms: dict[str, list[dict[str, Any]]] = {}
        for storm in self.storms.values():
            for place in storm["lugares"]:
                storms.setdefault(place["codigo_comuna"], []).append({**place, "storm": storm})
        known = {row["codigo_comuna"]: row for row in self.frames.comunas.to_dicts()}
        for code, place in self.comunas.items():
            about = known[code]
            months = monthly.get(code, self.frames.comunal.clear())
            rows = months.to_dicts()
            years = self.comuna_years.get(code, [])
            region = self.regions[about["nombre_region"]]
            own = storms.get(code, [])
            self.site[f"{place.path}datos.csv"] = months.write_csv().encode()
            self._page(
                place.path,
                "comuna.html",
                f"{place.name}, {region.name}",
                f"{place.name}: {self.lang.gettext('power outages by hour, month and year, its storms and longest cuts')}.",
                {
                    "codigo_comuna": code,
                    "nombre": place.name,
                    "region": region.name,
                    "clientes": about["clientes"],
                    "metodo_clientes": about["metodo_clientes"],
                    "fuente_clientes": about["fuente_clientes"],
                    "indices_comunales": rows,
                    "anhos": years,
                    "eventos": events.get(code, []),
                    "cortes": cuts.get(code, []),
                    "tormentas": [{"id": s["id"], "punta": s["punta"], "hora_punta": s["hora_punta"]} for s in own],
                    "horas": self._hours_json(code),
                },
                place=place,
                region=region,
                about_customers=about,
                rows=rows[::-1],
                years=years[::-1],
                spans={row["anho"]: self._span(row["anho"]) for row in years},
                seen={row["anho"]: row for row in events.get(code, [])},
                out=int(self.grid.of(code)[self.newest]) if self.newest is not None else None,
                storms=own,
                cuts=cuts.get(code, []),
                year_chart=self._year_chart(self.lang.gettext("SAIDI by year"), years, self.lang),
                month_chart=self._month_chart(self.lang.gettext("SAIDI by month"), rows, self.lang),
                hour_chart=self._hour_chart(self.lang.gettext("Customers out, last 60 days"), code, self.lang),
            )

    def _storms(self) -> None:
        plain = [{k: v for k, v in storm.items() if k not in {"lugares", "path"}} for storm in self.storms.values()]
        self._page(
            "tormentas/",
            "storms.html",
            self.lang.gettext("Storms and large outages"),
            self.lang.gettext("The largest outages by weather or collapse: peak, duration and how power came back."),
            {"tormentas": plain},
            storms=list(self.storms.values()),
        )
        curves = _partitions(self.frames.curves, "id")
        hours = figures.usable(self.frames.hours)
        for storm in self.storms.values():
            own = curves.get(storm["id"], self.frames.curves.clear())
            end = storm["fin"] or own["hora"].max() or storm["inicio"]
            total = own.group_by("hora").agg(clientes=pl.col("clientes_afectados").sum()).with_columns(serie=pl.lit("x"))
            grid = figures.grid(
                hours.filter(pl.col("hora").is_between(storm["inicio"], end)), total.select("hora", "serie", "clientes")
            )
            chart = charts.hourly(
                self.lang.gettext("Customers out above the usual level, by hour"), grid.hours, grid.of("x"), grid.known, self.lang
            )
            if storm["hora_punta"] in grid.hours:
                at = grid.hours.index(storm["hora_punta"])
                chart.marks = [(round(100 * (at + 0.5) / len(grid.hours), 2), self.lang.gettext("peak"))]
            codes = list(self.comunas)
            peaks = {row["codigo_comuna"]: row["punta"] for row in storm["lugares"]}
            values = [
                _rounded(peaks[code] / served if code in peaks and (served := self.customers.get(code)) else None, 4)
                for code in codes
            ]
            self._page(
                storm["path"],
                "storm.html",
                storm["titulo"],
                f"{storm['titulo']}: {self.lang.number(storm['punta'])} {self.lang.gettext('customers without power at the peak')}.",
                {
                    **{key: value for key, value in storm.items() if key not in {"path", "lugares"}},
                    "comunas_afectadas": storm["lugares"],
                    "curva": {"horas": grid.hours, "clientes": grid.listed("x")},
                },
                storm=storm,
                chart=chart,
                map={
                    "sin_datos": self.lang.gettext("not hit, or customers unknown"),
                    "medidas": [
                        {
                            "id": "tormenta",
                            "nombre": self.lang.gettext("Most customers out in the storm"),
                            "unidad": "%",
                            "periodos": [
                                {
                                    "nombre": self.lang.moment(storm["inicio"]),
                                    "nota": "",
                                    "valores": values,
                                    "clientes": [peaks.get(code) for code in codes],
                                }
                            ],
                            "cortes": _breaks(value for value in values if value is not None),
                        }
                    ],
                },
                customers=self.customers,
            )

    def _payload_pages(self) -> None:
        rows, lang = self.frames.payloads, self.lang
        self._page(
            "empresas/",
            "companies.html",
            lang.gettext("Companies"),
            lang.gettext("Distribution companies by customers affected, in the months in which the source names them."),
            {"company_ranking": rows["company_ranking"], "meses_con_empresa": self.meta["meses_con_empresa"]},
            ranking=rows["company_ranking"],
            months=self.meta["meses_con_empresa"],
        )
        names = ("investment_roi", "investment_validation", "eda_projects_dist")
        self._page(
            "inversiones/",
            "investments.html",
            lang.gettext("Investments"),
            lang.gettext("Did outages become fewer where works went into service?"),
            {name: rows[name] for name in names},
            **{name: rows[name] for name in names},
        )
        states = figures.day_states(self.frames.hours)
        chart, paths = charts.calendar(
            lang.gettext("Which hours are there: a tile for each day"), list(states.select("dia", "estado").iter_rows()), lang
        )
        names = ("coverage", "quality", "eda_quality_stats", "sensitivity", "official_comparison")
        country = [row for row in rows["quality"] if row["nombre_region"] == COUNTRY]
        self._page(
            "calidad/",
            "quality.html",
            lang.gettext("Data quality and coverage"),
            lang.gettext("Which hours have data, what had to be mended, and how far the official index is from this one."),
            {name: rows[name] for name in names},
            chart=chart,
            paths=paths,
            coverage=rows["coverage"][::-1],
            country=country[::-1],
            imputed=rows["eda_quality_stats"],
            sensitivity=rows["sensitivity"],
            official=rows["official_comparison"],
            denominators=self.meta["denominadores"],
        )

    def _method_and_data(self) -> None:
        tables = {
            "indices_comunales": self.frames.comunal,
            "indices_regionales": self.frames.regional,
            "comunas": self.frames.comunas,
            "tormentas": self.frames.storms,
            "horas": self.frames.hours.select("hora", "estado", "cargada", "sospechosa", "forma"),
        }
        for name in DOWNLOADS:
            self.site[f"datos/{name}.csv"] = tables[name].write_csv().encode()
        sizes = [(name, tables[name].height, len(self.site[f"datos/{name}.csv"])) for name in DOWNLOADS]
        for path, data_path, code in (("metodo/", "datos/", SPANISH), ("en/method/", "en/data/", ENGLISH)):
            lang = Language(code)
            written = [
                {"clave": one.key, "nombre": lang.gettext(one.name), "formula": lang.gettext(one.formula),
                 "unidad": lang.gettext(one.unit), "fuente": lang.gettext(one.source),
                 "nota": lang.gettext(one.note) if one.note else ""}
                for one in DEFINITIONS
            ]  # fmt: skip
            self._page(
                path,
                "method.html",
                lang.gettext("Method and definitions"),
                lang.gettext("What each figure means, how it is computed, and what it does not say."),
                {"definiciones": written},
                definitions=written,
            )
            self._page(
                data_path,
                "data.html",
                lang.gettext("Data and citation"),
                lang.gettext("Downloads, what each file holds, licence and how to cite."),
                {"tablas": [{"nombre": name, "filas": rows, "bytes": size} for name, rows, size in sizes]},
                tables=sizes,
                citation=CITATION,
                licence=LICENCE,
            )

    def _sitemap(self) -> bytes:
        """All pages; without a known address their paths, which are no valid sitemap until the address is set."""
        paths = sorted(path.removesuffix("index.html") for path in self.site if path.endswith("index.html"))
        places = "".join(f"<url><loc>{escape((self.address or '/') + path)}</loc></url>\n" for path in paths)
        head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        return f"{head}{places}</urlset>\n".encode()


def foreign(meta: Mapping[str, Any]) -> list[str]:
    """Hosts that data came from and that are not the SEC's."""
    found = meta.get("origen") or []
    return [found] if isinstance(found, str) else list(found)


@cache
def _assets() -> dict[str, bytes]:
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


def _partitions(frame: pl.DataFrame, key: str) -> dict[str, pl.DataFrame]:
    parts = frame.with_columns(pl.col(pl.Categorical).cast(pl.String)).partition_by(key, as_dict=True)
    return {str(name): rows for (name,), rows in parts.items() if name is not None}


def _by(frame: pl.DataFrame, key: str) -> dict[str, Rows]:
    return {name: rows.to_dicts() for name, rows in _partitions(frame, key).items()}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _breaks(values: Iterable[float]) -> list[float]:
    """Lower bounds of the colours above the first: quantiles of all values but zeros, at two significant digits."""
    known = np.array([value for value in values if value > 0], dtype=float)
    if not len(known):
        return []
    cuts = np.quantile(known, np.linspace(0, 1, COLOURS + 1)[1:-1])
    return sorted({float(f"{cut:.2g}") for cut in cuts.tolist()})
