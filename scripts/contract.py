"""The contract for other programs, and the pages of definitions, generated from the code.

`python -m scripts.contract` writes the record of tables and payloads (docs/interface.json), the JSON Schema, the
TypeScript interfaces and both pages of definitions again; a test fails while they are not current.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from sec_core.gold.datasets import DATASETS, definitions
from sec_core.gold.payloads.basis import CITA, CITATION, LICENCE, LICENCIA, SOURCE, SOURCE_URL
from sec_core.gold.payloads.registry import PAYLOADS
from sec_core.gold.release.contents import INTERFACE, views

_NOTICE = "Generated from the models in sec_core/gold/payloads by `python -m scripts.contract`; do not edit."
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def json_schema() -> dict[str, Any]:
    """One JSON Schema (2020-12) for all payloads: an object with a property for each payload's list."""
    definitions: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for spec in PAYLOADS:
        row = spec.row.model_json_schema(mode="serialization", by_alias=True)
        definitions |= row.pop("$defs", {})
        definitions[spec.row.__name__] = row
        properties[spec.id] = {"type": "array", "items": {"$ref": f"#/$defs/{spec.row.__name__}"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": _NOTICE,
        "title": "dashboard_stats",
        "description": "Column `data` of table dashboard_stats by its `id`.",
        "type": "object",
        "properties": properties,
        "required": [spec.id for spec in PAYLOADS],
        "$defs": {name: _bare(definitions[name]) for name in sorted(definitions)},
    }


def typescript() -> str:
    """TypeScript interfaces of all payloads, and one that maps a payload's id to its rows."""
    schema = json_schema()
    blocks = [f"// {_NOTICE}"]
    for name, definition in schema["$defs"].items():
        fields = [
            f"{_comment(field.get('description'), '  ')}  {_key(key)}: {_type(field)};"
            for key, field in definition["properties"].items()
        ]
        blocks.append(
            f"{_comment(definition.get('description'), '')}export interface {name} {{\n" + "\n".join(fields) + "\n}"
        )
    lines = [f"  {_key(spec.id)}: {spec.row.__name__}[];" for spec in PAYLOADS]
    blocks.append(
        "/** Column `data` of table dashboard_stats by its `id`. */\nexport interface DashboardStats {\n"
        + "\n".join(lines)
        + "\n}"
    )
    return "\n\n".join(blocks) + "\n"


def interface(recorded: dict[str, Any] | None = None) -> dict[str, Any]:
    """What programs of others rest on: tables with keys and types of columns, payloads with types of keys.

    Args:
        recorded: What was promised before. Of the same version it may only grow.

    Raises:
        ValueError: Something promised is gone or another; the message names it.
    """
    now: dict[str, Any] = {
        "version": INTERFACE,
        "tables": {
            each.name: {
                "key": list(each.key),
                "columns": {column.name: f"{column.type}{'?' if column.nullable else ''}" for column in each.columns},
            }
            for each in DATASETS
        },
        "views": [name for name, _ in views()],
        "payloads": {
            spec.id: {
                key: _type(field)
                for key, field in spec.row.model_json_schema(mode="serialization", by_alias=True)["properties"].items()
            }
            for spec in PAYLOADS
        },
    }
    if recorded is not None and recorded["version"] == INTERFACE:
        gone = sorted(_broken(recorded, now))
        if gone:
            raise ValueError(f"Promised until version {int(INTERFACE) + 1} of the interface: {', '.join(gone)}.")
    return now


def _broken(before: Any, now: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 - JSON
    """Paths of what is in `before` and missing or different in `now`."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key, value in before.items():
            yield from _broken(value, now.get(key), f"{path}.{key}".lstrip("."))
    elif path == "views":
        yield from (f"view {name}" for name in set(before) - set(now or ()))
    elif before != now:
        yield path


# Title, introduction, labels and source of the page of definitions.
PAGE_WORDS = {
    "en": (
        "Definitions",
        (
            "Every published figure: its formula, unit and source. Generated from `sec_core/gold/definitions.toml` by\n"
            "`python -m scripts.contract`; do not edit. [En español](definiciones.md)."
        ),
        ("Formula", "Unit", "Source", "Beware"),
        f"Source: [{SOURCE}]({SOURCE_URL}). {LICENCE}\n\nTo cite: {CITATION}",
    ),
    "es": (
        "Definiciones",
        (
            "Cada cifra publicada: su fórmula, unidad y fuente. Generado desde `sec_core/gold/definitions.toml` por\n"
            "`python -m scripts.contract`; no editar. [In English](definitions.md)."
        ),
        ("Fórmula", "Unidad", "Fuente", "Cuidado"),
        f"Fuente: [{SOURCE}]({SOURCE_URL}). {LICENCIA}\n\nPara citar: {CITA}",
    ),
}


def definitions_page(language: str) -> str:
    """The page docs/definitions.md, or docs/definiciones.md in Spanish."""
    title, introduction, labels, source = PAGE_WORDS[language]
    blocks = [f"# {title}", introduction, source]
    for one in definitions(language):
        texts = zip(labels, (one.formula, one.unit, one.source, one.note), strict=True)
        lines = "\n".join(f"- {label}: {text}" for label, text in texts if text)
        blocks += [f'<a id="{one.key}"></a>', f"## {one.name}", lines]
    return "\n\n".join(blocks) + "\n"


def generated_files(root: Path) -> dict[Path, bytes]:
    """Every generated file of the project with its contents.

    Args:
        root: The project's root.

    Raises:
        ValueError: Something that docs/interface.json promises is gone, see `interface`.
    """
    schema = orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    record = root / "docs" / "interface.json"
    promised = interface(orjson.loads(record.read_bytes()) if record.exists() else None)
    return {
        record: orjson.dumps(promised, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
        root / "deployments" / "supabase" / "payloads.schema.json": schema,
        root / "deployments" / "supabase" / "payloads.ts": typescript().encode(),
        root / "docs" / "definitions.md": definitions_page("en").encode(),
        root / "docs" / "definiciones.md": definitions_page("es").encode(),
    }


def _bare(node: dict[str, Any]) -> dict[str, Any]:
    """A model's definition without the titles that pydantic makes up, every description on one line."""
    kept = {key: value for key, value in node.items() if key != "title"}
    if "description" in kept:
        kept["description"] = " ".join(kept["description"].split())
    if "properties" in kept:
        kept["properties"] = {key: _bare(field) for key, field in kept["properties"].items()}
    return kept


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field:
        return " | ".join(f'"{value}"' for value in field["enum"])
    if "anyOf" in field:
        return " | ".join(_type(option) for option in field["anyOf"])
    if field.get("type") == "array":
        inner = _type(field["items"])
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    return _PLAIN[field["type"]]


def _key(key: str) -> str:
    return key if _IDENTIFIER.fullmatch(key) and key.isascii() else f'"{key}"'


def _comment(text: str | None, indent: str) -> str:
    return f"{indent}/** {text} */\n" if text else ""


if __name__ == "__main__":
    for path, body in generated_files(Path(__file__).resolve().parents[1]).items():
        path.write_bytes(body)
