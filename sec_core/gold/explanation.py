"""What `sec explain` says of a figure, for programs and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import Iterator


class File(BaseModel):
    """A body that a figure rests on."""

    hora: str
    clave: str
    sha256: str
    recibido: str
    origen: str


class Explanation(BaseModel):
    """Where a figure comes from, and whether Bronze still gives it.

    Attributes:
        payload: The payload, or `event`.
        row: The row as it is published (an event: as PostgreSQL holds it).
        definitions: name, formula, unit, source and note of each figure in it.
        hours: esperadas, cargadas, sospechosas, interpoladas, descubiertas: of the row's own month, else of all.
        rows: Source rows of the row's places and hours.
        imputed: Those in observations that a rule touched, by rule (an upper bound); `tope` counts capped events.
        denominator: Customers divided by: universo, mes, periodo_star, meses, fuente.
        captures: How many bodies were read, when the first and the last was received, hours by origin.
        files: Each of them.
        inputs: What it is computed from.
        version: Version and digest of the code, version of the method.
        recomputed: The row from the bodies alone; None where it can't be computed so.
        equal: Whether that is the published row, and PostgreSQL's rows are those of the bodies; None if not recomputed.
        differences: What is not, with the body, hour or event.
        notes: What was taken from elsewhere than the bodies.
    """

    payload: str
    row: dict[str, Any]
    definitions: list[dict[str, str]] = Field(default_factory=list)
    hours: dict[str, int] = Field(default_factory=dict)
    rows: int = 0
    imputed: dict[str, int] = Field(default_factory=dict)
    denominator: dict[str, Any] | None = None
    captures: dict[str, Any] = Field(default_factory=dict)
    files: list[File] = Field(default_factory=list)
    inputs: str = ""
    version: dict[str, str] = Field(default_factory=dict)
    recomputed: dict[str, Any] | None = None
    equal: bool | None = None
    differences: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)

    def verdict(self) -> str:
        """Whether it holds, in a sentence."""
        if self.equal is None:
            return "Not computed again: there is no function that gives it from the bodies alone."
        if self.equal:
            return f"Computed again from {self.captures.get('cuerpos', 0):,} bodies: equal."
        return f"Computed again from the bodies: NOT equal, {len(self.differences)} differences."

    def next_step(self) -> str:
        """What to do where it is not equal."""
        return (
            "Run `sec gold` if months were loaded since; restore damaged bodies from a backup or ask again with `sec "
            "sync`, then `sec reprocess`."
        )

    def markdown(self, *, files: bool = False) -> str:
        """All of it as a page for a person."""
        return "\n".join(self._parts(files=files))

    def _parts(self, *, files: bool) -> Iterator[str]:
        yield f"# {self.payload}\n\n**{self.verdict()}**\n"
        yield from (f"- {text}" for text in (*self.differences[:MOST_SHOWN], *self.notes))
        if len(self.differences) > MOST_SHOWN:
            yield f"- and {len(self.differences) - MOST_SHOWN} more"
        yield "\n## Row\n\n| | published | from the bodies |\n|---|---|---|"
        again = self.recomputed or {}
        yield from (f"| {key} | {value} | {again.get(key, '')} |" for key, value in self.row.items())
        yield f"\n## What it rests on\n\n{self.inputs}\n"
        groups = {
            "hours": self.hours, "source rows": {"filas": self.rows}, "rows imputed by rule": self.imputed,
            "denominator": self.denominator or {"universo": None}, "captures": self.captures, "code": self.version,
        }  # fmt: skip
        for name, figures in groups.items():
            yield f"- {name}: " + ", ".join(f"{key} {value}" for key, value in figures.items())
        yield "\n## Definitions\n"
        for each in self.definitions:
            yield f"- **{each['name']}** ({each['unit']}): {each['formula']} {each['note']} Source: {each['source']}."
        if files:
            yield "\n## Captures\n\n| hour | file | SHA-256 | received | origin |\n|---|---|---|---|---|"
            yield from (f"| {f.hora} | {f.clave} | {f.sha256} | {f.recibido} | {f.origen} |" for f in self.files)


MOST_SHOWN = 20
"""Differences that a person is shown; programs get all."""
