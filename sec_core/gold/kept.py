"""What is kept between builds, so that only what changed is made or written again: rows in `gold/kept/`, and tables.

Rows are kept in parts, each beside a digest of all that it follows from.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO

import orjson
import polars as pl
import pyarrow.parquet as pq

from sec_core.blobs.place import BlobMissing, Blobs
from sec_core.db.database import Database
from sec_core.silver.tables import Statements, columns

FOLDER = "kept/"
# The part of rows that are kept by month.
MONTH = pl.col("mes").dt.strftime("%Y-%m")


def bring_up_to_date(
    gold: Blobs,
    kinds: Mapping[str, pl.Schema],
    part: pl.Expr,
    wanted: Mapping[str, str],
    make: Callable[[list[str]], Mapping[str, Iterable[pl.DataFrame]]],
) -> tuple[dict[str, pl.DataFrame], list[str]]:
    """The rows of each kind, and the parts that were made again.

    Args:
        gold: Gold's place.
        kinds: Columns of each kind; its rows are ordered by the first three.
        part: To which part a row belongs.
        wanted: The digest of each part that there is.
        make: Gives the rows of each kind for some parts.

    Raises:
        StorageError: The place refused a file.
    """
    kept = {kind: read_kept(gold, kind, schema) for kind, schema in kinds.items()}
    changed = [name for name in wanted if any(known.get(name) != wanted[name] for _, known in kept.values())]
    made = make(changed)
    stay = part.is_in(sorted(wanted.keys() - set(changed)))
    whole = {}
    for kind, (rows, known) in kept.items():
        whole[kind] = joined(rows.filter(stay), made[kind], kinds[kind])
        if known != wanted:
            write_kept(gold, kind, whole[kind], wanted)
    return whole, changed


def joined(rows: pl.DataFrame, made: Iterable[pl.DataFrame], schema: pl.Schema) -> pl.DataFrame:
    """Rows that are kept and those that were made, in order."""
    new = [frame.select(schema.names()).cast(schema) for frame in made]
    return pl.concat([rows, *new]).sort(schema.names()[:3])


def read_kept(gold: Blobs, kind: str, schema: pl.Schema) -> tuple[pl.DataFrame, dict[str, str]]:
    """The rows that are kept and the digest of each part; nothing where there is no readable file of this schema."""
    try:
        body = gold.read(f"{FOLDER}{kind}.parquet")
        frame = pl.read_parquet(body)
        digests: dict[str, str] = orjson.loads((pq.read_schema(BytesIO(body)).metadata or {})[b"digests"])
    except (BlobMissing, pl.exceptions.PolarsError, OSError, KeyError, orjson.JSONDecodeError):
        return pl.DataFrame(schema=schema), {}
    return (frame, digests) if frame.schema == schema else (pl.DataFrame(schema=schema), {})


def write_kept(gold: Blobs, kind: str, frame: pl.DataFrame, digests: Mapping[str, str]) -> None:
    """Keep rows, and the digest of what each part of them follows from."""
    out = BytesIO()
    table = frame.to_arrow().replace_schema_metadata({"digests": orjson.dumps(digests, option=orjson.OPT_SORT_KEYS)})
    pq.write_table(table, out, compression="zstd")
    gold.replace(f"{FOLDER}{kind}.parquet", out.getbuffer(), durable=False)


def digest(*parts: str | bytes | memoryview | pl.DataFrame) -> str:
    """A digest of texts, bytes and rows."""
    found = hashlib.sha256()
    for part in parts:
        text = part.write_csv() if isinstance(part, pl.DataFrame) else part
        found.update(text.encode() if isinstance(text, str) else text)
        found.update(b"\0")
    return found.hexdigest()


def write_rows(rows: pl.DataFrame, database: Database, table: str, key: Sequence[str]) -> pl.DataFrame:
    """Turn a table into these rows in one transaction; rows that stay as they are are not written.

    Returns those whose key is new.

    Args:
        rows: All of it, with the table's columns and types.
        database: Where the table is.
        table: Its name.
        key: Its primary key.
    """
    spelled = pl.concat_str(pl.col(*key).cast(pl.String), separator="|")
    with database.adbc() as connection:
        statements = Statements(connection)
        statements.execute(f"lock table {table} in share row exclusive mode")
        held = statements.query(f"select {columns(rows.columns)} from {table}", rows.schema)
        gone = held.join(rows, on=rows.columns, how="anti", nulls_equal=True)
        if gone.height:
            keys = gone.select(spelled).to_series()
            statements.execute(f"delete from {table} where concat_ws('|', {columns(key)}) = any($1::text[])", keys)
        statements.append(table, rows.join(held, on=rows.columns, how="anti", nulls_equal=True))
    return rows.join(held, on=key, how="anti")
