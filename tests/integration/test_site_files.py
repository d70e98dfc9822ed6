"""The site's files: valid, linked, small, the same for the same data; and how they are put somewhere."""

import gzip
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any
from urllib.parse import unquote

import html5lib
import orjson
import polars as pl
import pytest
from support.site_world import EVIL, OTHER_STORM, STORM, make_frames
from typing_extensions import override

from sec_core.blobs.local import LocalBlobs
from sec_core.blobs.place import StoreUrl, open_blobs
from sec_core.errors import StorageError
from sec_core.gold.site import press, words
from sec_core.gold.site.figures import SiteFrames
from sec_core.gold.site.pages import build_site
from sec_core.gold.site.put import MANIFEST, Site, put, read_site, standing, whole
from sec_core.hours import Month

ADDRESS = "https://example.org/cortes"
PRESS = ("pais-dias", "pais-anhos", "mapa", "cobertura", "tormentas")
FILES = ("index.html", "datos.json", "datos.csv")
SIMULATED = [{"origen": "SIMULACIÓN", "horas": 700}, {"origen": EVIL, "horas": 1}]


@cache
def site() -> dict[str, bytes]:
    """A site of half a year."""
    return build_site(make_frames(Month(2024, 3), Month(2024, 8)), ADDRESS, pictures=PRESS).files


def made(files: dict[str, bytes]) -> Site:
    return Site(files=files)


def pages(files: dict[str, bytes]) -> dict[str, str]:
    return {path: body.decode() for path, body in files.items() if path.endswith(".html")}


class Wanting(dict[str, str]):
    """A catalogue that notes what it does not hold."""

    def __missing__(self, message: str) -> str:
        raise AssertionError(f"{message!r} has no translation")

    @override
    def get(self, message: str, default: object = None) -> str:
        return self[message]


def test_all_that_pages_say_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Wanting(words.catalogue("es"))
    monkeypatch.setattr(words, "catalogue", {"es": known, "en": {}}.__getitem__)
    assert len(build_site(make_frames(Month(2024, 7), Month(2024, 8), origenes=SIMULATED)).files) > 700


def test_there_is_a_page_for_each_place_and_storm() -> None:
    kinds = {"comuna": 346, "region": 16, "tormenta": 2}
    assert {kind: sum(path.startswith(f"{kind}/") for path in pages(site())) for kind in kinds} == kinds
    for path in pages(site()):
        assert f"{dirname(path)}/datos.json".lstrip("/") in site()
    data = orjson.loads(site()["comuna/nunoa/datos.json"])
    assert (data["codigo_comuna"], len(data["indices_comunales"]), len(data["horas"]["clientes"])) == ("13120", 5, 1440)
    assert data["horas"]["clientes"].count(None) == 72
    assert {"anho", "metodo", "cliente_horas", "inferior", "superior", "observado", "saidi"} <= data["anhos"][0].keys()
    rows = pl.read_csv(site()["comuna/nunoa/datos.csv"], schema_overrides={"codigo_comuna": pl.String})
    assert rows["saidi"].to_list() == [row["saidi"] for row in data["indices_comunales"]]
    locations = re.findall(r"<loc>(.*?)</loc>", site()["sitemap.xml"].decode())
    assert sorted(locations) == sorted(f"{ADDRESS}/{path.removesuffix('index.html')}" for path in pages(site()))


def test_all_pages_are_valid_html() -> None:
    parser = html5lib.HTMLParser(strict=True)
    for path, text in pages(site()).items():
        try:
            parser.parse(text)
        except html5lib.html5parser.ParseError as error:
            raise AssertionError(f"{path}: {error}") from error


def test_all_links_lead_somewhere_and_none_elsewhere() -> None:
    files = dict.fromkeys((f"prensa/{name}.{kind}" for name in PRESS for kind in ("png", "vl.json")), b"") | site()
    anchors = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages(files).items()}
    for path, text in pages(files).items():
        assert len(re.findall(r'\bid="', text)) == len(anchors[path]), f"{path} has an id twice"
        for target in re.findall(r'(?:href|src|action)="([^"]*)"', text):
            if target.startswith("https://"):
                assert target.startswith((ADDRESS, "https://apps.sec.cl/")), f"{path} leads to {target}"
                continue
            place, _, anchor = unquote(target).partition("#")
            to = normpath(join(dirname(path), place)) if place else path
            assert to in files, f"{path} leads to {target}"
            assert not anchor or anchor in anchors[to], f"{path} leads to {target}"


def test_names_with_markup_are_shown_and_never_run() -> None:
    shown = 0
    for path, text in pages(site()).items():
        assert "<img" not in text, path
        assert "<script>" not in text, path
        shown += "&lt;img src=x" in text
    assert shown > 250


def test_pages_carry_their_origin_and_how_sure_they_are() -> None:
    simulated = pages(build_site(make_frames(Month(2024, 7), Month(2024, 8), origenes=SIMULATED)).files)
    for path, text in simulated.items():
        assert ("SIMULATION" if path.startswith("en/") else "SIMULACIÓN") in text
        assert "&lt;img src=x" in text
        assert "<img" not in text
    assert not any('class="banner"' in text for text in pages(site()).values())
    nunoa = pages(site())["comuna/nunoa/index.html"]
    assert "muy pocos datos para estimar" in nunoa
    assert "metodo/index.html#comuna-saidi" in nunoa
    assert f'<link rel="canonical" href="{ADDRESS}/comuna/nunoa/">' in nunoa
    assert "sec explain storms id=" + STORM in pages(site())[f"tormenta/{STORM}/index.html"]
    assert "sin datos" in pages(site())[f"tormenta/{OTHER_STORM}/index.html"]
    compared = orjson.loads(site()["tormentas/datos.json"])["comparacion"]
    assert [(row["grupo"], row["completa"]) for row in compared["region"]] == [
        ("Valparaíso", False),
        ("Metropolitana de Santiago", False),
    ]
    assert "con vacíos" in pages(site())["tormentas/index.html"]


def test_a_site_without_data_says_so() -> None:
    frames = make_frames(Month(2024, 7), Month(2024, 8))
    tables = [name for name in vars(frames) if name not in {"payloads", "comunas"}]
    empty = {name: getattr(frames, name).clear() for name in tables}
    payloads: dict[str, list[dict[str, Any]]] = {name: [] for name in frames.payloads} | {
        "meta": [frames.payloads["meta"][0] | {"ultima_hora": None, "denominadores": [], "meses_con_empresa": []}]
    }
    files = build_site(replace(frames, payloads=payloads, **empty)).files
    texts = pages(files)
    assert len(texts) == len(pages(site())) - 2
    assert "Aún no hay datos." in texts["index.html"]
    assert "sitemap.xml" not in files
    assert re.search(r"<strong>sin datos</strong>clientes sin suministro", texts["comuna/nunoa/index.html"])


def nulls(frame: pl.DataFrame, names: str) -> pl.DataFrame:
    return frame.with_columns(pl.lit(None, dtype=frame.schema[name]).alias(name) for name in names.split())


def at_one_hour(frames: SiteFrames) -> SiteFrames:
    newest = pl.col("hora") == frames.hours.filter("cargada")["hora"].max()
    hours = {name: getattr(frames, name).filter(newest) for name in ("hours", "region_hours", "panel")}
    empty = ("comunal", "regional", "years", "events", "storms", "curves")
    return replace(frames, **hours, **{name: getattr(frames, name).clear() for name in empty})


ODD: dict[str, Callable[[SiteFrames], SiteFrames]] = {
    "one hour": at_one_hour,
    "nothing loaded": lambda f: replace(f, hours=f.hours.with_columns(cargada=False), panel=f.panel.clear()),
    "no curves": lambda f: replace(f, curves=f.curves.clear()),
    "no customers": lambda f: replace(f, comunas=nulls(f.comunas, "clientes metodo_clientes fuente_clientes")),
    "storms of which little is known": lambda f: replace(
        f, storms=nulls(f.storms, "fin cliente_horas regiones horas_hasta_punta horas_50 horas_90 salidas cobertura")
    ),
    "null figures": lambda f: replace(
        f,
        comunal=nulls(f.comunal, "saidi saidi_inf saidi_sup cliente_horas cobertura interpolada"),
        years=nulls(f.years, "cliente_horas cliente_horas_inf cliente_horas_sup"),
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_worlds_make_valid_pages_too(name: str) -> None:
    frames = ODD[name](make_frames(Month(2024, 7), Month(2024, 8), origenes=[{"origen": "desconocido", "horas": 3}]))
    texts = pages(build_site(frames, pictures=press.specifications(frames)).files)
    assert not any('class="banner"' in text for text in texts.values())
    assert "desconocido: de antes" in texts["calidad/index.html"]
    for path, text in texts.items():
        assert not re.search(r">\s*(None|nan|inf)\b", text), path
        if not path.startswith("comuna/") or path in {"comuna/nunoa/index.html", "comuna/antartica/index.html"}:
            html5lib.HTMLParser(strict=True).parse(text)


def test_nine_years_stay_small() -> None:
    files = build_site(make_frames(Month(2017, 1), Month(2025, 12))).files
    sizes = {path: len(body) for path, body in files.items()}
    assert sum(sizes[path] for path in ("index.html", "datos.json")) < 400_000
    for folder in {dirname(path) for path in sizes if path.startswith("comuna/")}:
        assert sum(size for path, size in sizes.items() if dirname(path) == folder) < 250_000


def test_the_same_data_gives_the_same_bytes_and_only_changes_are_written(tmp_path: Path) -> None:
    frames = make_frames(Month(2024, 3), Month(2024, 8))
    target = LocalBlobs(tmp_path)
    foreign = tmp_path / "favicon.ico"
    foreign.write_bytes(b"x")
    first = put(build_site(frames, ADDRESS, pictures=PRESS), target)
    assert (len(first.written), first.kept, first.removed) == (len(site()), 0, ())
    assert read_site(target).files == site()
    again = put(build_site(make_frames(Month(2024, 3), Month(2024, 8)), ADDRESS, pictures=PRESS), target)
    assert (again.written, again.kept) == ((), len(site()))

    fewer = replace(frames, storms=frames.storms.filter(pl.col("id") == STORM))
    less = put(build_site(fewer, ADDRESS), target)
    assert set(less.removed) == {f"tormenta/{OTHER_STORM}/{name}" for name in ("index.html", "datos.json")}
    assert not (tmp_path / "tormenta" / OTHER_STORM / "index.html").exists()
    assert f"tormenta/{STORM}/index.html" not in less.written
    assert {"index.html", "tormentas/index.html", "region/valparaiso/index.html"} <= set(less.written)
    assert "comuna/iquique/index.html" not in less.written
    assert foreign.exists()
    (tmp_path / "index.html").unlink()
    assert not whole(target, "")
    assert put(build_site(fewer, ADDRESS), target).written == ("index.html",)


def test_what_stands_is_kept_and_equals_a_site_from_nothing(tmp_path: Path) -> None:
    target = LocalBlobs(tmp_path)
    put(build_site(make_frames(Month(2024, 3), Month(2024, 8)), ADDRESS), target)
    frames = make_frames(Month(2024, 3), Month(2024, 8))
    nunoa = (pl.col("codigo_comuna") == "13120") & (pl.col("mes") == date(2024, 5, 1))
    changed = replace(frames, comunal=frames.comunal.with_columns(saidi=pl.when(nunoa).then(9.5).otherwise("saidi")))
    (tmp_path / "region" / "maule" / "index.html").write_bytes(b"by another hand")
    (tmp_path / "datos" / "horas.csv").unlink()
    site = build_site(changed, ADDRESS, standing(target))
    made = {path for path in site.files if path != "sitemap.xml"}
    tables = {f"{data}{name}" for data in ("datos/", "en/data/") for name in ("index.html", "datos.json")}
    assert made - tables == {
        *(f"{place}/{name}" for place in ("comuna/nunoa", "region/maule") for name in FILES),
        "datos/indices_comunales.csv",
        "datos/horas.csv",
    }
    put(site, target)
    assert read_site(target).files == build_site(changed, ADDRESS).files
    assert build_site(changed, ADDRESS, standing(target)).files.keys() == {"sitemap.xml"}
    elsewhere = build_site(changed, "https://example.net", standing(target)).files
    assert pages(elsewhere).keys() == pages(read_site(target).files).keys()


class Breaking(LocalBlobs):
    """A folder that notes what is done to it, and refuses after so many writes."""

    def __init__(self, root: Path, left: int = 1000) -> None:
        super().__init__(root)
        self.left = left
        self.done: list[str] = []

    @override
    def replace(
        self, key: str, data: bytes | memoryview, *, durable: bool = True, headers: Mapping[str, str] | None = None
    ) -> None:
        if len(self.done) == self.left:
            raise StorageError("full")
        self.done.append(key)
        super().replace(key, data, durable=durable, headers=headers)

    @override
    def delete(self, key: str) -> None:
        self.done.append(f"-{key}")
        super().delete(key)


def test_shared_files_come_first_and_old_ones_go_last(tmp_path: Path) -> None:
    put(made({"assets/a.1.css": b"1", "index.html": b"1", "old.html": b"1"}), LocalBlobs(tmp_path))
    target = Breaking(tmp_path)
    put(made({"index.html": b"2", "assets/a.2.css": b"2", "new.html": b"2"}), target)
    written = ["assets/a.2.css", "new.html", "index.html"]
    assert target.done == [MANIFEST, *written, MANIFEST, "-assets/a.1.css", "-old.html", MANIFEST]


def test_a_run_that_was_killed_is_made_good(tmp_path: Path) -> None:
    one, two = made({"a.html": b"1", "b.html": b"1"}), made({"a.html": b"2", "b.html": b"2"})
    put(one, LocalBlobs(tmp_path))
    target = Breaking(tmp_path, left=2)
    with pytest.raises(StorageError):
        put(two, target)
    assert (tmp_path / "a.html").read_bytes() == b"2"
    assert put(one, LocalBlobs(tmp_path)).written == ("a.html", "b.html")
    assert (tmp_path / "a.html").read_bytes() == b"1"


@pytest.mark.parametrize("left", range(9))
def test_wherever_a_run_is_killed_no_link_is_broken(left: int, tmp_path: Path) -> None:
    page = '<link href="assets/a.{0}.css"><a href="{0}.html">'
    one, two = (
        made({"index.html": page.format(n).encode(), f"{n}.html": b"", f"assets/a.{n}.css": b""}) for n in ("1", "2")
    )
    put(one, LocalBlobs(tmp_path))
    with suppress(StorageError):
        put(two, Breaking(tmp_path, left))
    for target in re.findall(r'href="([^"]*)"', (tmp_path / "index.html").read_text(encoding="utf-8")):
        assert (tmp_path / target).exists()
    put(two, LocalBlobs(tmp_path))
    assert {path.name for path in tmp_path.rglob("*.*")} == {"index.html", "2.html", "a.2.css", MANIFEST}
    assert read_site(LocalBlobs(tmp_path)).files == two.files


def test_a_store_gets_types_and_compressed_pages(bucket: StoreUrl) -> None:
    target = open_blobs(bucket / "cortes")
    files = {"index.html": f"<p>{EVIL * 50}".encode(), "assets/x.js": b"1", "prensa/x.png": b"\x89PNG"}
    done = put(made(files), target)
    assert (len(done.written), put(made(files), target).written) == (3, ())
    headers = target.headers("index.html")
    assert headers["Content-Type"].startswith("text/html")
    packed = headers.get("Content-Encoding") == "gzip"
    body = target.read("index.html")
    assert (gzip.decompress(body) if packed else body) == files["index.html"]
    assert target.headers("assets/x.js")["Content-Type"].startswith("text/javascript")
    assert target.headers("prensa/x.png").get("Content-Encoding") is None
    assert read_site(target).files.keys() == files.keys()


def test_the_figures_for_the_press_say_where_and_when_they_are_from(tmp_path: Path) -> None:
    frames, gold = make_frames(Month(2023, 1), Month(2024, 8), origenes=SIMULATED), LocalBlobs(tmp_path)
    drawn = Site()
    press.pictures(press.specifications(frames), drawn)
    assert {path for path in drawn.files if path.endswith(".png")} == {f"prensa/{name}.png" for name in PRESS}
    for name in PRESS:
        assert drawn.files[f"prensa/{name}.png"].startswith(b"\x89PNG")
        title = orjson.loads(drawn.files[f"prensa/{name}.vl.json"])["title"]
        assert "SIMULACIÓN" in title["text"]
        assert any("Superintendencia" in line for line in title["subtitle"])
        assert any("Datos hasta el 31 ago 2024, 23:00 (hora de Chile)" in line for line in title["subtitle"])
    put(drawn, gold)
    gold.replace("prensa/mapa.png", b"not as it was")
    again = Site(standing(gold))
    press.pictures(press.specifications(frames), again)
    assert again.files == {path: drawn.files[path] for path in ("prensa/mapa.png", "prensa/mapa.vl.json")}
