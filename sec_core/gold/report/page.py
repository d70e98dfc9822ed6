"""The report page: one HTML file with its data, charts and chart library inside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

import orjson

from sec_core.gold.definitions import definitions
from sec_core.gold.payloads.meta import CITATION, LICENCE, SOURCE, SOURCE_URL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sec_core.gold.report.charts import Spec
    from sec_core.gold.report.data import Rows


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the page.

    Attributes:
        id: Its anchor, and the name of its picture.
        caption: How to read it, and what to beware of.
        spec: The chart; None where there is nothing to draw yet.
        table: Rows behind it that are few enough to be read; empty for none.
        definitions: Anchors of the definitions it rests on.
        width: Width of its picture in pixels, before scaling.
    """

    id: str
    title: str
    caption: str
    spec: Spec | None
    table: Rows
    definitions: tuple[str, ...]
    width: int = 860


def render(figures: Sequence[Figure], meta: Mapping[str, Any], coverage: Rows, bundle: str) -> str:
    """The page.

    Args:
        figures: In their order.
        meta: The object of payload `meta`.
        coverage: Payload `coverage`.
        bundle: The chart library as one script.
    """
    specs = {figure.id: figure.spec for figure in figures if figure.spec is not None}
    template = Template(files("sec_core.gold.report").joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        lead=_lead(meta),
        facts="".join(f"<li><strong>{value}</strong>{name}</li>" for name, value in _facts(meta, coverage)),
        remark=_remark(meta),
        sections="".join(_section(figure) for figure in figures),
        definitions="".join(
            f'<dt id="definition-{one.key}">{escape(one.name)}</dt><dd>{escape(one.formula)}</dd>'
            f'<dd class="soft">Unit: {escape(one.unit)}. Source: {escape(one.source)}. {escape(one.note)}</dd>'
            for one in definitions("en")
        ),
        made=_when(meta["generado"]),
        source=escape(SOURCE),
        source_url=escape(SOURCE_URL),
        licence=escape(LICENCE),
        citation=escape(CITATION),
        bundle=_in_script(bundle),
        figures=orjson.dumps(specs).decode().replace("<", "\\u003c"),
    )


def _lead(meta: Mapping[str, Any]) -> str:
    if meta["ultima_hora"] is None:
        return "Nothing is loaded yet."
    return (
        f"Hourly snapshots of the SEC from {_when(meta['primera_hora'])} to {_when(meta['ultima_hora'])}."
        " Hours without data are missing from every figure; they are never counted as zero."
    )


def _facts(meta: Mapping[str, Any], coverage: Rows) -> list[tuple[str, str]]:
    totals = meta["totales"]
    expected = sum(row["horas_esperadas"] for row in coverage)
    share = f"{sum(row['capturadas'] for row in coverage) / expected:.1%}" if expected else "none"
    return [
        ("events", f"{totals['eventos']:,}"),
        ("affected customers, summed", f"{totals['clientes_afectados']:,}"),
        ("hours loaded", f"{totals['horas_cargadas']:,}"),
        ("of the hours captured", share),
    ]


def _remark(meta: Mapping[str, Any]) -> str:
    ages = [row["antiguedad_meses"] for row in meta["denominadores"] if row["antiguedad_meses"] is not None]
    named = meta["meses_con_empresa"]
    companies = (
        f"Months in which the source names companies: {len(named)}, the newest is {named[-1][:7]}."
        if named
        else "In no month loaded does the source name companies."
    )
    age = f" Customer figures are up to {max(ages)} months old." if ages else " Customer figures are not known yet."
    return companies + age


def _section(figure: Figure) -> str:
    chart = (
        f'<div class="chart" id="{figure.id}" role="img" aria-label="{escape(figure.title)}"></div>'
        if figure.spec is not None
        else '<div class="empty">No data yet.</div>'
    )
    links = ", ".join(
        f'<a href="#definition-{key}">{escape(name)}</a>'
        for key in figure.definitions
        for name in [next(one.name for one in definitions("en") if one.key == key)]
    )
    return (
        f"<section><h2>{escape(figure.title)}</h2><figure>{chart}<figcaption>{escape(figure.caption)}"
        f" Definitions: {links}.</figcaption></figure>{_table(figure.table)}</section>"
    )


def _table(rows: Rows) -> str:
    if not rows:
        return ""
    head = "".join(f"<th scope=col>{escape(str(key))}</th>" for key in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row.values()) + "</tr>" for row in rows)
    return (
        f"<details><summary>Figures as a table</summary><div class=scroll><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div></details>"
    )


def _cell(value: object) -> str:
    if value is None:
        return "no data"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))


def _when(text: str) -> str:
    return escape(text.replace("T", " ").replace("Z", " UTC"))


def _in_script(text: str) -> str:
    """A script that can't end the element it stands in."""
    return re.sub(r"</(script)", r"<\\/\1", text, flags=re.IGNORECASE)
