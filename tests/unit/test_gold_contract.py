"""The payloads' keys are the dashboard's, and the generated contract is current."""

import re

import pytest

from scripts.contract import generated_files, interface, json_schema, typescript
from sec_core.gold.datasets import DATASETS, definitions
from sec_core.gold.release.contents import dictionary, spanish, views

DASHBOARD = {
    "market_map": "nombre_region nombre_comuna nombre_empresa total_afectados frecuencia instability_index",
    "time_series": "mes nombre_region afectados",
    "company_ranking": "nombre_empresa total_eventos total_clientes_afectados promedio_afectados",
    "investment_roi": "nombre_region clientes_afectados total_inversión_mmu efficiency_ratio maturity_note",
    "investment_validation": "project year type delta context",
    "eda_quality_stats": "category count percentage",
    "eda_projects_dist": "nombre_region count",
}


@pytest.mark.parametrize("payload", DASHBOARD)
def test_the_keys_are_the_dashboards(payload: str) -> None:
    schema = json_schema()
    name = schema["properties"][payload]["items"]["$ref"].rpartition("/")[2]
    row = schema["$defs"][name]
    assert list(row["properties"]) == DASHBOARD[payload].split()
    assert sorted(row["required"]) == sorted(DASHBOARD[payload].split())
    assert row["additionalProperties"] is False


def test_every_payload_and_key_is_described() -> None:
    schema = json_schema()
    others = {"reliability", "quality", "sensitivity", "official_comparison", "coverage", "storms", "meta"}
    assert others | DASHBOARD.keys() == schema["properties"].keys()
    rows = {entry["items"]["$ref"].rpartition("/")[2] for entry in schema["properties"].values()}
    silent = [
        f"{name}.{key}"
        for name in rows
        for key, field in schema["$defs"][name]["properties"].items()
        if not field.get("description")
    ]
    assert silent == []


def test_the_generated_files_are_current(request: pytest.FixtureRequest) -> None:
    for path, body in generated_files(request.config.rootpath).items():
        assert path.read_bytes() == body, "Run `python -m scripts.contract` and commit what it writes."
    spanish, english = definitions("es"), definitions("en")
    assert [one.key for one in spanish] == [one.key for one in english]
    assert all(one.formula and bool(one.note) == bool(two.note) for one, two in zip(spanish, english, strict=True))


def test_typescript_spells_types_and_odd_keys() -> None:
    text = typescript()
    assert '  "total_inversión_mmu": number;' in text
    assert "  instability_index: number | null;" in text
    assert '  type: "Inmediato" | "Lag (2 Años)" | "Lag (3 Años)" | "Lag (4 Años)" | "Sin efecto" |' in text
    assert "  market_map: MarketMapRow[];" in text
    assert "  formas: ShapeMonth[];" in text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("tables", "panel", "columns", "gone"), "tables.panel.columns.gone"),
        (("tables", "gone"), "tables.gone"),
        (("payloads", "market_map", "gone"), "payloads.market_map.gone"),
        (("tables", "panel", "columns", "hora"), "tables.panel.columns.hora"),
        (("tables", "panel", "key"), "tables.panel.key"),
    ],
)
def test_what_was_promised_stays(path: tuple[str, ...], said: str) -> None:
    recorded = interface()
    *way, last = path
    place = recorded
    for step in way:
        place = place[step]
    place[last] = {} if last == "gone" and way == ["tables"] else "int8"
    with pytest.raises(ValueError, match=re.escape(said)):
        interface(recorded)
    interface(recorded | {"version": "0"})


def test_every_column_and_view_of_a_release_is_described_in_spanish() -> None:
    page = dictionary("DICCIONARIO.md")
    for dataset in DATASETS:
        assert f"## {dataset.name}" in page
        assert all(spanish(dataset.name, column.name) in page for column in dataset.columns)
    assert all(spanish("vistas", name) in page for name, _ in views())
    with pytest.raises(KeyError):
        spanish("panel", "nobody wrote of it")
