"""The payloads' contract for other programs, generated from the models: JSON Schema and TypeScript interfaces.

`python -m sec_core.gold.contract` writes both files again; a test fails while they are not current.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson

from sec_core.gold.files import replace_bytes
from sec_core.gold.payloads.registry import PAYLOADS

SCHEMA_FILE = "payloads.schema.json"
TYPES_FILE = "payloads.ts"
_NOTICE = "Generated from the models in sec_core/gold/payloads by `python -m sec_core.gold.contract`; do not edit."
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


def write_contract(folder: Path) -> list[Path]:
    """Write both files.

    Args:
        folder: `deployments/supabase`.

    Returns:
        The files.
    """
    contents = {
        SCHEMA_FILE: orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
        TYPES_FILE: typescript().encode(),
    }
    for name, body in contents.items():
        replace_bytes(folder / name, body)
    return [folder / name for name in contents]


def _bare(node: dict[str, Any]) -> dict[str, Any]:
    """A definition with its docstring split: the summary on top, each attribute's sentence at its property."""
    summary, _, rest = node.get("description", "").partition("\n\nAttributes:\n")
    told = _attributes(rest)
    found = {key: value for key, value in node.items() if key != "title"}
    found["description"] = " ".join(summary.split())
    found["properties"] = {
        key: {name: value for name, value in field.items() if name != "title"}
        for key, field in node["properties"].items()
    }
    for key, field in found["properties"].items():
        text = told.get(key) or told.get(_ascii(key))
        if text:
            field["description"] = text
    return found


def _attributes(text: str) -> dict[str, str]:
    """Attributes of a Google-style docstring, by name."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        start = re.fullmatch(r" {4}(\w+): (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2].strip()
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def _ascii(key: str) -> str:
    return key.replace("ó", "o")


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
    write_contract(Path(__file__).resolve().parents[2] / "deployments" / "supabase")
