"""Whether a release is what it says: sums, files, keys, ranges, and figures that other figures vouch for."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import duckdb
import orjson
import polars as pl

from sec_core.gold.frames import source_hours
from sec_core.gold.origin import in_words, others
from sec_core.gold.release.contents import PACKAGE, SUMS, files_of, sha256
from sec_core.gold.release.database import DATABASE, connect, quoted, source
from sec_core.hours import Month

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sec_core.gold.frames import GoldFrames

_BOUNDS: Final = (
    ("cliente_horas_inf", "cliente_horas"),
    ("cliente_horas", "cliente_horas_sup"),
    ("saidi_inf", "saidi"),
    ("saidi", "saidi_sup"),
    ("primera_hora", "ultima_hora"),
)
"""Pairs of columns, of which the first is never above the second."""
_OBSERVED: Final = """
    with p as (
        select date_trunc('month', timezone('America/Santiago', hora))::date as mes, codigo_comuna as serie,
            clientes_afectados as n
        from {panel} semi join (select hora from {horas} where cargada and not sospechosa) using (hora)
    ), sums as (
        select mes, serie, sum(n) as n from p where serie <> '' group by all
        union all select mes, 'CHILE', sum(n) from p group by all
    ), told as (
        select mes, codigo_comuna as serie, cliente_horas_observadas as n from {comunales}
        union all select mes, nombre_region, cliente_horas_observadas from {regionales} where nombre_region = 'CHILE'
    )
    select count(*) from told t full join sums s using (mes, serie) where coalesce(t.n, 0) <> coalesce(s.n, 0)
"""
_INDEX: Final = """
    select count(*) from {table}
    where clientes > 0 and abs(saidi - cliente_horas / clientes) > 1e-6 + 1e-3 * abs(saidi)
"""


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
    foreign = others(collected.origins.to_dicts())
    if foreign and not other_source:
        found.append(
            f"The data is not the SEC's ({in_words(foreign)}); --other-source makes a release of it all the same."
        )
    quarter, seen, expected = quarter_coverage(collected)
    if not draft and seen < bound * expected:
        found.append(
            f"The last full quarter, {quarter}, has {seen:,} of {expected:,} hours, less than {bound:.0%}"
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
            return [*_examine_tables(db, folder, package), *_examine_figures(db, folder)]
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
    """What is wrong with the tables, by what the data package says of them."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for resource in package["resources"]:
        if "tabla" in resource:
            tables.setdefault(resource["tabla"], []).append(resource)
    for table, parts in tables.items():
        yield from (f"{table}{text}" for text in _examine_table(db, folder, table, parts))


def _examine_table(
    db: duckdb.DuckDBPyConnection, folder: Path, table: str, parts: list[dict[str, Any]]
) -> Iterator[str]:
    """Rows, keys, values and ranges of a table, and whether the DuckDB file holds the same."""
    schema, read = parts[0]["schema"], source(folder, table)
    names = [field["name"] for field in schema["fields"]]
    key = ", ".join(f'"{name}"' for name in schema["primaryKey"])
    rows, distinct = 0, 0
    for part in parts:
        one = f"read_parquet({quoted(str(folder / part['path']))}, hive_partitioning = false)"
        counted = db.execute(f"select count(*), count(distinct ({key})) from {one}").fetchone() or (0, 0)
        rows, distinct = rows + counted[0], distinct + counted[1]
    if rows != sum(part["filas"] for part in parts):
        yield f" has {rows:,} rows, not as many as {PACKAGE} says."
    if rows != distinct:
        yield f" has rows with the same {', '.join(schema['primaryKey'])}."
    for name, condition in _conditions(schema["fields"], names):
        if wrong := _count(db, f"select count(*) from {read} where not ({condition})"):
            yield f".{name}: {wrong:,} values are out of range."
    if "codigo_comuna" in names:
        known = f"select codigo_comuna from {source(folder, 'comunas')} union all select ''"
        if wrong := _count(db, f"select count(*) from {read} where codigo_comuna not in ({known})"):
            yield f".codigo_comuna: {wrong:,} rows name no comuna."
    columns = ", ".join(f'"{name}"' for name in names)
    totals = f"select count(*), bit_xor(hash({columns})), sum(hash({columns})) from"
    if db.execute(f"{totals} {read}").fetchone() != db.execute(f"{totals} entrega.{table}").fetchone():
        yield f" in {DATABASE} differs from its Parquet."


def _conditions(fields: list[dict[str, Any]], names: list[str]) -> Iterator[tuple[str, str]]:
    """What every row must satisfy, by the column that it is about; null satisfies all but the first."""
    for field in fields:
        name, must = f'"{field["name"]}"', field.get("constraints", {})
        if must.get("required"):
            yield field["name"], f"{name} is not null"
        if "enum" in must:
            yield field["name"], f"{name} in ({', '.join(map(quoted, must['enum']))})"
        if "pattern" in must:
            yield field["name"], f"regexp_full_match({name}, {quoted(must['pattern'])})"
        if field.get("unit") in {"customers", "customer-hours"} and field["name"] != "diferencia_nacional":
            yield field["name"], f"{name} >= 0"
        if field.get("unit") == "share, 0 to 1" and field["name"] != "punta":
            yield field["name"], f"{name} between 0 and 1"
    for low, high in _BOUNDS:
        if low in names and high in names:
            yield low, f'"{low}" <= "{high}"'


def _examine_figures(db: duckdb.DuckDBPyConnection, folder: Path) -> Iterator[str]:
    """Figures that follow from others."""
    read = {name: source(folder, name) for name in ("horas", "indices_comunales", "indices_regionales")}
    if any(folder.glob("panel/*/*/*.parquet")):
        panel = source(folder, "panel")
        tables = {"comunales": read["indices_comunales"], "regionales": read["indices_regionales"]}
        if wrong := _count(db, _OBSERVED.format(panel=panel, horas=read["horas"], **tables)):
            yield f"indices: {wrong:,} customer-hours are not the sum of the panel."
        loaded = f"select hora from {read['horas']} where cargada"
        if wrong := _count(db, f"select count(*) from {panel} where hora not in ({loaded})"):
            yield f"panel: {wrong:,} rows are of hours that are not loaded."
    for table in ("indices_comunales", "indices_regionales"):
        if wrong := _count(db, _INDEX.format(table=read[table])):
            yield f"{table}: {wrong:,} values of saidi are not cliente_horas over clientes."


def _count(db: duckdb.DuckDBPyConnection, query: str) -> int:
    row = db.execute(query).fetchone()
    return int(row[0]) if row else 0
