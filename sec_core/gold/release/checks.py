"""Whether a release is what it says: sums, files, keys, ranges, and figures that other figures vouch for."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import orjson
import polars as pl

from sec_core.db.queries import read_queries
from sec_core.gold.frames import GoldFrames, in_words, others, source_hours
from sec_core.gold.release.contents import DATABASE, PACKAGE, SUMS, connect, files_of, quoted, read_parquet, sha256
from sec_core.hours import Month
from sec_core.text import counted

# Pairs of columns, of which the first is never above the second.
_BOUNDS: Final = (
    ("cliente_horas_inf", "cliente_horas"), ("cliente_horas", "cliente_horas_sup"), ("saidi_inf", "saidi"),
    ("saidi", "saidi_sup"), ("primera_hora", "ultima_hora"),
)  # fmt: skip
_SQL: Final = read_queries("sec_core.gold.release", "checks.sql")


def last_quarter(newest: Month, now: datetime) -> tuple[Month, Month]:
    """First and last month of the newest quarter that has ended and lies within the data."""
    last = min(newest, Month.of(now).shift(-1))
    last = last.shift(-(last.month % 3))
    return last.shift(-2), last


def quarter_coverage(collected: GoldFrames) -> tuple[str, int, int]:
    """The last full quarter as text, its hours that are loaded and not suspect, and all its hours."""
    newest = collected.calendar["hora"].max()
    first, last = last_quarter(Month.of(newest if isinstance(newest, datetime) else collected.now), collected.now)
    expected = source_hours(first.start, last.start, collected.now)
    seen = collected.calendar.filter(pl.col("cargada") & ~pl.col("sospechosa"))
    return f"{first} to {last}", expected.join(seen, on="hora", how="semi").height, expected.height


def refusals(collected: GoldFrames, bound: float, *, draft: bool, other_source: bool) -> list[str]:
    """Why no release may be made of this data; empty when it may."""
    if collected.loads.is_empty():
        return ["Nothing is loaded."]
    found = []
    if (foreign := others(collected.origins.to_dicts())) and not other_source:
        found.append(
            f"The data is not the SEC's ({in_words(foreign)}); --other-source makes a release of it all the same."
        )
    quarter, seen, expected = quarter_coverage(collected)
    if not draft and seen < bound * expected:
        found.append(
            f"The last full quarter, {quarter}, has {seen:,} of {counted(expected, 'hour')}, less than {bound:.0%}"
            " (SEC_RELEASE_MIN_COVERAGE); --draft makes a draft all the same."
        )
    return found


def examine(folder: Path) -> list[str]:
    """All that is wrong with a release, in words; empty if nothing is.

    Its own data package says what must hold, so that a release of an older version is examined by its own words. What
    is wrong with its files is told before anything is read from them.
    """
    package, found = _examine_files(folder)
    if found:
        return found
    with connect() as db:
        db.execute(f"set variable entrega = {quoted(str(folder))}")
        try:
            db.execute(f"attach {quoted(str(folder / DATABASE))} as entrega (read_only)")
            return [*_examine_tables(db, folder, package), *_examine_figures(db)]
        except duckdb.Error as error:
            return [f"A table can't be read: {str(error).splitlines()[0]}"]


def _examine_files(folder: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        package: dict[str, Any] = orjson.loads((folder / PACKAGE).read_bytes())
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        listed = {each["path"]: each["hash"].removeprefix("sha256:") for each in package["resources"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {}, [f"{SUMS} or {PACKAGE} is missing or can't be read: {error}"]
    there = {name: sha256(folder / name) for name in files_of(folder)}
    there.pop(SUMS)
    found = [f"{name} is missing." for name in sorted((sums.keys() | listed.keys()) - there.keys())]
    found += [f"{name} does not belong to it." for name in sorted(there.keys() - sums.keys())]
    found += [f"{name} stands not in {PACKAGE}." for name in sorted(there.keys() - listed.keys() - {PACKAGE})]
    found += [
        f"{name} is not what it was: its SHA-256 differs."
        for name in sorted(there.keys() & sums.keys())
        if there[name] != sums[name] or listed.get(name, sums[name]) != sums[name]
    ]
    if package.get("version") != folder.name and not folder.name.startswith("."):
        found.append(f"It is release {package.get('version')}, not {folder.name}.")
    return package, found


def _examine_tables(db: duckdb.DuckDBPyConnection, folder: Path, package: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the tables, by what the data package says of them; each becomes a view of its Parquet."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for resource in package["resources"]:
        if "tabla" in resource:
            tables.setdefault(resource["tabla"], []).append(resource)
    for table, parts in tables.items():
        places = (quoted(f"{folder}/{part['path']}") for part in parts)
        db.execute(f"create view {table} as from {read_parquet(places)}")
    for table, parts in tables.items():
        yield from (f"{table}{text}" for text in _examine_table(db, folder, table, parts))


def _examine_table(
    db: duckdb.DuckDBPyConnection, folder: Path, table: str, parts: list[dict[str, Any]]
) -> Iterator[str]:
    """Rows, keys, values and ranges of a table, and whether the DuckDB file holds the same."""
    schema = parts[0]["schema"]
    columns = ", ".join(f'"{field["name"]}"' for field in schema["fields"])
    key = ", ".join(f'"{name}"' for name in schema["primaryKey"])
    rows, distinct = 0, 0
    for part in parts:
        one = read_parquet([quoted(f"{folder}/{part['path']}")])
        found = db.execute(f"select count(*), count(distinct ({key})) from {one}").fetchone() or (0, 0)
        rows, distinct = rows + found[0], distinct + found[1]
    if rows != sum(part["filas"] for part in parts):
        yield f" has {counted(rows, 'row')}, not as many as {PACKAGE} says."
    if rows != distinct:
        yield f" has rows with the same {', '.join(schema['primaryKey'])}."
    conditions = list(_conditions(schema["fields"]))
    counts = ", ".join(f"count(*) filter (not ({condition}))" for _, condition, _ in conditions)
    wrong = db.execute(f"select {counts} from {table}").fetchone() or ()
    yield from (f".{name}: {n:,} {text}." for n, (name, _, text) in zip(wrong, conditions, strict=True) if n)
    totals = f"select count(*), bit_xor(hash({columns})), sum(hash({columns})) from"
    if db.execute(f"{totals} {table}").fetchone() != db.execute(f"{totals} entrega.{table}").fetchone():
        yield f" in {DATABASE} differs from its Parquet."


def _conditions(fields: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """What every row must satisfy, the column that it is about, and what is wrong else; null satisfies all but one."""
    names = {field["name"] for field in fields}
    wrong = "values are out of range"
    for field in fields:
        name, must, unit = field["name"], field.get("constraints", {}), field.get("unit")
        if must.get("required"):
            yield name, f'"{name}" is not null', wrong
        if "enum" in must:
            yield name, f'"{name}" in ({", ".join(map(quoted, must["enum"]))})', wrong
        if "pattern" in must:
            yield name, f'regexp_full_match("{name}", {quoted(must["pattern"])})', wrong
        if unit in {"customers", "customer-hours"} and name != "diferencia_nacional":
            yield name, f'"{name}" >= 0', wrong
        if unit == "share, 0 to 1" and name != "punta":
            yield name, f'"{name}" between 0 and 1', wrong
        if name == "codigo_comuna":
            known = "select codigo_comuna from comunas union all select ''"
            yield name, f"codigo_comuna in ({known})", "rows name no comuna"
    yield from ((low, f'"{low}" <= "{high}"', wrong) for low, high in _BOUNDS if {low, high} <= names)


def _examine_figures(db: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """Figures that do not follow from others as they should."""
    for name in ("observed", "loaded", "divided"):
        yield from (text for (text,) in db.execute(_SQL[name]).fetchall())
