"""The resolver of names against the reference files and against every spelling seen in captures."""

import csv
import json
from pathlib import Path

import pytest

from sec_core.reference import tables
from sec_core.reference.tables import Comuna, Names, default_names, fold, plain


def test_reference_holds_every_comuna_once() -> None:
    comunas = tables.comunas()
    assert len(comunas) == 346
    assert len({comuna.codigo for comuna in comunas}) == 346
    regions = {region.codigo: region.nombre for region in tables.regiones()}
    assert len(regions) == 16
    for comuna in comunas:
        assert comuna.nombre_region == regions[comuna.codigo_region]
        assert comuna.codigo.startswith(comuna.codigo_region)
        assert comuna.nombre == plain(comuna.nombre_oficial)


def test_no_two_comunas_share_a_folded_name() -> None:
    shared = {name: found for name, found in default_names().known_comunas().items() if len(found) > 1}
    assert shared == {}


def test_aliases_are_not_resolved_by_folding_alone() -> None:
    bare = Names(tables.comunas(), tables.regiones(), tables.empresas())
    for alias, code in tables.comuna_aliases().items():
        assert bare.id_geografia(None, alias) == 0, f"{alias}: folding resolves it, drop the alias"
        assert default_names().id_geografia(None, alias) == int(code)


def test_company_ids_are_unique_and_aliases_point_at_them() -> None:
    empresas = {empresa.id_empresa: empresa.nombre for empresa in tables.empresas()}
    assert len(empresas) == len(tables.empresas()) == len(set(empresas.values()))
    assert (empresas[0], empresas[1]) == ("UNKNOWN", "NO INFORMADA")
    for alias, number in tables.empresa_aliases().items():
        assert number > 1
        assert default_names().id_empresa(alias) == number


def test_every_spelling_of_the_captures_resolves(captures_dir: Path) -> None:
    with (captures_dir / "reference" / "sec_names.csv").open(encoding="utf-8") as file:
        spellings = list(csv.DictReader(file))
    assert len(spellings) == 327
    wrong = [
        row
        for row in spellings
        if default_names().id_geografia(row["sec_region"], row["sec_comuna"]) != int(row["codigo_comuna"])
    ]
    assert wrong == []
    with (captures_dir / "reference" / "empresas.csv").open(encoding="utf-8") as file:
        names = [row["nombre_empresa"] for row in csv.DictReader(file)]
    known = {empresa.nombre: empresa.id_empresa for empresa in tables.empresas()}
    assert [name for name in names if default_names().id_empresa(name) != known[name]] == []


def test_regions_of_the_customers_answer_resolve(captures_dir: Path) -> None:
    path = captures_dir / "clientes_regional" / "todas.captured-2024-08-06.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert {default_names().codigo_region(row["NOMBRE_REGION"]): int(row["REGION_ID"]) for row in rows} == {
        f"{number:02d}": number for number in range(1, 17)
    }


@pytest.mark.parametrize(
    ("region", "comuna", "expected"),
    [
        ("Los Lagos", "Los Lagos", 14104), ("", "Arica", 15101), ("Biobio", "Chillan", 16101),
        ("Metropolitana", "  ñuñoa ", 13120), ("Metropolitana", "N\u0303un\u0303oa", 13120),
        ("Metropolitana", "TIL-TIL", 13303), ("Los Lagos", "", 0), ("Los Lagos", None, 0),
        ("Valparaiso", "Atlantis", 0), (None, "'; drop table dim_geografia; --", 0),
    ],
)  # fmt: skip
def test_comuna_is_found_by_its_own_name(region: str | None, comuna: str | None, expected: int) -> None:
    assert default_names().id_geografia(region, comuna) == expected


def test_region_breaks_ties_only() -> None:
    north = Comuna("02999", "SANTA ROSA", "02", "ANTOFAGASTA", "Santa Rosa")
    south = Comuna("10999", "SANTA ROSA", "10", "LOS LAGOS", "Santa Rosa")
    names = Names([north, south], tables.regiones(), [])
    assert names.id_geografia("Region de Los Lagos", "santa rosa") == 10999
    assert names.id_geografia("ANTOFAGASTA", "santa rosa") == 2999
    assert names.id_geografia("Maule", "santa rosa") == 0
    assert names.id_geografia("", "santa rosa") == 0


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("R.M.", "13"), ("Región Metropolitana", "13"), ("O`Higgins", "06"),
        ("Region del Libertador Gral. Bernardo O'Higgins", "06"),
        ("Region de Aysen del Gral. Carlos Ibañez del Campo", "11"), ("Décima", "10"), ("Décima Región", "10"),
        ("X Región de Los Lagos", "10"), ("Región de La Araucanía", "09"), ("5", "05"), ("XV", "15"), ("", None),
        (None, None), ("Atlantis", None),
    ],
)  # fmt: skip
def test_regions(name: str | None, code: str | None) -> None:
    assert default_names().codigo_region(name) == code


@pytest.mark.parametrize(
    ("name", "company"),
    [("CHILECTRA", "ENEL"), ("Conafe", "CGE"), ("emelari ", "CGE"), ("Luz Linares", "LUZLINARES")],
)
def test_former_company_names_give_what_they_became(name: str, company: str) -> None:
    known = {empresa.id_empresa: empresa.nombre for empresa in tables.empresas()}
    assert known[default_names().id_empresa(name)] == company


@pytest.mark.parametrize("name", ["", " ", None, "UNKNOWN", "NO INFORMADA", "ACME", "x" * 10_000])
def test_other_company_names_stay_unknown(name: str | None) -> None:
    assert default_names().id_empresa(name) == 0


def test_fold_drops_case_accents_spaces_and_punctuation() -> None:
    assert fold(" Ñiquén (ex-Ñiquén)! ") == "NIQUENEXNIQUEN"
