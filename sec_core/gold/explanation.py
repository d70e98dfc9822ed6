"""What `sec explain` says of a figure, for programs and for people."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
from pydantic import BaseModel

from sec_core.errors import InputError
from sec_core.text import counted, for_markdown

EVENT = "event"
# Keys of the definitions and inputs of each payload.
ABOUT: Mapping[str, tuple[str, str]] = {
    "reliability": (
        "panel customer-hours interval saidi saifi caidi med peak stale universe",
        "The month's bodies and those of the eight days around it; of other months the kept daily values and parts.",
    ),
    "quality": ("quality-parts coverage", "The month's bodies, its hours in the ledger, and the denominator."),
    "time_series": ("affected event", "Every body in which an event that begins in the month can be listed."),
    "market_map": ("instability affected event universe", "All bodies, for the events of the comuna and company."),
    "company_ranking": ("ranking affected event", "All bodies, for the events of known companies."),
    "investment_roi": ("roi affected event", "All bodies, for events, and the SEIA's list of projects."),
    "investment_validation": ("validation interval", "All bodies, and the reviewed list of works."),
    "eda_quality_stats": ("quality", "All bodies: rows that each rule of imputation touched."),
    "eda_projects_dist": ("projects", "The SEIA's list of projects."),
    "sensitivity": ("sensitivity event", "All aggregated bodies."),
    "official_comparison": ("official saidi interval", "The year's bodies, and the SEC's published SAIDI."),
    "storms": (
        "storm customer-hours",
        "The bodies from a week before the first hit to after the end; hits of other hours as they are kept.",
    ),
    "coverage": ("coverage", "The ledger's state of each hour."),
    EVENT: ("event affected customer-hours", "Every body from the event's beginning to after its last hour."),
}


class Explanation(BaseModel):
    """Where a figure comes from, and whether Bronze still gives it.

    Attributes:
        payload: The payload, or `event`.
        row: The row as it is published (an event: as PostgreSQL holds it).
        definitions: key, name, formula, unit, source and note of each figure in it.
        hours: esperadas, cargadas, sospechosas, interpoladas, descubiertas: of the row's own month, else of all.
        rows: Source rows of the row's places and hours.
        imputed: Those in observations that a rule touched, by rule (an upper bound); `tope` counts capped events.
        denominator: Customers divided by: universo, mes, periodo_star, meses, fuente.
        captures: How many bodies were read, when the first and the last was received, hours by origin.
        files: Each of them: hora, clave, sha256, recibido, anfitrion, origen.
        inputs: What it is computed from.
        version: Version and digest of the code, version of the method.
        recomputed: The row from the bodies alone; None where it can't be computed so.
        equal: Whether that is the published row, and PostgreSQL's rows are those of the bodies; None if not recomputed.
        differences: What is not, with the body, hour or event.
        notes: What was taken from elsewhere than the bodies.
    """

    payload: str
    row: dict[str, Any]
    definitions: list[dict[str, str]]
    hours: dict[str, int]
    rows: int
    imputed: dict[str, int]
    denominator: dict[str, Any] | None
    captures: dict[str, Any]
    files: list[dict[str, str | None]]
    inputs: str
    version: dict[str, str]
    recomputed: dict[str, Any] | None
    equal: bool | None
    differences: list[str]
    notes: list[str]

    def verdict(self) -> str:
        """Whether it holds, in a sentence."""
        if self.equal is None:
            return "Not computed again: there is no function that gives it from the bodies alone."
        if self.equal:
            return f"Computed again from {counted(self.captures.get('cuerpos', 0), 'body', 'bodies')}: equal."
        return f"Computed again from the bodies: NOT equal, {counted(len(self.differences), 'difference')}."

    def next_step(self) -> str:
        """What to do where it is not equal."""
        return (
            "Run `sec gold` if months were loaded since; restore damaged bodies from a backup or ask again with `sec "
            "sync`, then `sec reprocess`."
        )

    def markdown(self, *, files: bool = False, show: Callable[[object], str] = for_markdown) -> str:
        """All of it as a page for a person; `show` gives a value's text."""
        return "\n".join(self._parts(files, show))

    def _parts(self, files: bool, show: Callable[[object], str]) -> Iterator[str]:
        yield f"# {self.payload}\n\n**{self.verdict()}**\n"
        yield from (f"- {show(text)}" for text in (*self.differences[:MOST_SHOWN], *self.notes))
        if len(self.differences) > MOST_SHOWN:
            yield f"- and {len(self.differences) - MOST_SHOWN} more"
        yield "\n## Row\n\n| | published | from the bodies |\n|---|---|---|"
        again = self.recomputed or {}
        yield from (f"| {key} | {show(value)} | {show(again.get(key, ''))} |" for key, value in self.row.items())
        yield f"\n## What it rests on\n\n{self.inputs}\n"
        groups = {
            "hours": self.hours, "source rows": {"filas": self.rows}, "rows imputed by rule": self.imputed,
            "denominator": self.denominator or {"universo": None}, "captures": self.captures, "code": self.version,
        }  # fmt: skip
        for name, figures in groups.items():
            yield f"- {name}: " + show(", ".join(f"{key} {value}" for key, value in figures.items()))
        yield "\n## Definitions\n"
        for each in self.definitions:
            yield f"- **{each['name']}** ({each['unit']}): {each['formula']} {each['note']} Source: {each['source']}."
        if files:
            yield "\n## Captures\n\n| hour | file | SHA-256 | received | host | origin |\n|---|---|---|---|---|---|"
            yield from ("| " + " | ".join(map(show, each.values())) + " |" for each in self.files)


# Differences that a person is shown; programs get all.
MOST_SHOWN = 20


def as_text(value: object) -> str:
    """A value as a person writes it in key=value."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def matches(row: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Whether a row has these values; a month may be written YYYY-MM."""
    return all(
        as_text(row[key]) == value or (key == "mes" and as_text(row[key])[:7] == value) for key, value in wanted.items()
    )


def one_row(rows: list[dict[str, Any]], wanted: Mapping[str, str], payload: str) -> dict[str, Any]:
    """The only row with these values; raises InputError."""
    keys = list(rows[0]) if rows else []
    if unknown := [key for key in wanted if rows and key not in keys]:
        raise InputError(f"{payload} has no key {', '.join(unknown)}.", next_step=f"Its keys: {', '.join(keys)}.")
    found = [row for row in rows if matches(row, wanted)]
    if len(found) != 1:
        raise InputError(
            f"{len(found)} of {counted(len(rows), 'row')} of {payload} match.",
            next_step=f"Name one by key=value; keys: {', '.join(keys)}." if rows else "Run `sec gold` first.",
        )
    return found[0]


def differing_keys(published: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    """What differs between a published row and the same from the bodies, in words."""
    return [
        f"{key}: published {published.get(key)}, from the bodies {value}."
        for key, value in again.items()
        if not _same(published.get(key), value)
    ]


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float | int):
        # Figures are rounded to eight digits, and sums of other widths may differ in the last one.
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=2e-8)
    return one == other
