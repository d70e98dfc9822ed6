"""Parquet for researchers: typed, sorted, compressed, and documented inside the file."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sec_core.blobs.place import BlobMissing, Blobs
from sec_core.gold.model import PayloadRow
from sec_core.gold.payloads.basis import CITATION, LICENCE, METHOD, SOURCE, SOURCE_URL
from sec_core.gold.payloads.hours import OfficialRow, ReliabilityRow
from sec_core.gold.payloads.storms import StormRow

# Enough for the footers written here; a longer one is read again.
_FOOTER_BYTES = 64 * 1024
# Arrow's own pool keeps what it was given once, a tenth of a gigabyte, beside that of Polars.
pa.set_memory_pool(pa.system_memory_pool())

UTC_US = pa.timestamp("us", tz="UTC")


# All values that a column of few values can have, by its name.
CATEGORIES: Mapping[str, Sequence[str]] = {
    "forma": ("detailed", "aggregated"),
    "estado": ("captured", "empty", "failed", "quarantined", "pending"),
    "metodo": ("medido", "estimado", "insuficiente"),
    "metodo_clientes": ("facturacion", "viviendas"),
    "censurado": ("inicio", "fin", "inicio,fin"),
}
# Types of `columns.csv` that Arrow calls otherwise.
_TYPES = {"text": pa.string(), "instant": UTC_US, "date": pa.date32()}
_PAYLOADS: Mapping[str, type[PayloadRow]] = {
    "reliability": ReliabilityRow,
    "storms": StormRow,
    "official_comparison": OfficialRow,
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a published file, as `columns.csv` lists it.

    Attributes:
        name: Its name.
        type: Its type.
        description: One sentence with meaning and zone; in the list `=payload` stands for that of the payload's key.
        nullable: Whether it may lack a value.
        repeats: Whether few different values make most of it, so that a dictionary saves space.
        unit: Unit, or empty.
        deprecated: What to use in its place; it goes with the next version of the interface.
    """

    name: str
    type: pa.DataType
    description: str
    nullable: bool
    repeats: bool
    unit: str
    deprecated: str

    @property
    def about(self) -> dict[str, str]:
        """What the file says of the column."""
        found = {
            "description": self.description,
            "unit": self.unit,
            "categories": "|".join(CATEGORIES.get(self.name, ())),
            "deprecated": self.deprecated,
        }
        return {name: text for name, text in found.items() if text}


def _read() -> dict[str, tuple[Column, ...]]:
    """The columns of each published table, from `columns.csv`."""
    found: dict[str, list[Column]] = {}
    text = files("sec_core.gold").joinpath("columns.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        name, description = row["column"], row["description"]
        if payload := _PAYLOADS.get(description.removeprefix("=")):
            description = " ".join((payload.model_fields[name].description or "").split())
        flags = row["null"] == "yes", row["repeats"] == "yes"
        kind = _TYPES.get(row["type"]) or pa.type_for_alias(row["type"])
        column = Column(name, kind, description, *flags, row["unit"], row["deprecated"])
        found.setdefault(row["table"], []).append(column)
    return {table: tuple(columns) for table, columns in found.items()}


COLUMNS = _read()
EVENTS = COLUMNS["golden_interrupciones"]
OBSERVATIONS = COLUMNS["observaciones"]
PANEL = COLUMNS["panel"]


def schema(
    columns: Sequence[Column], title: str, made: datetime | None = None, extra: Mapping[str, str] | None = None
) -> pa.Schema:
    """The Arrow schema with a description on each column, and source, licence and citation on the file."""
    fields = [pa.field(c.name, c.type, nullable=c.nullable, metadata={**c.about}) for c in columns]
    about = {
        "title": title,
        "source": f"{SOURCE} ({SOURCE_URL})",
        "licence": LICENCE,
        "citation": CITATION,
        "version": version("sec-outages"),
        "method": METHOD,
        "made": made.isoformat() if made else "",
        "columns": "\n".join(f"{c.name}: {c.description}" for c in columns),
        **(extra or {}),
    }
    return pa.schema(fields, metadata=about)


def write(
    frame: pl.DataFrame,
    gold: Blobs,
    key: str,
    columns: Sequence[Column],
    title: str,
    made: datetime | None = None,
    extra: Mapping[str, str] | None = None,
    group_rows: int = 131_072,
) -> memoryview:
    """Write a frame whole or not at all, and return the bytes. The same frame gives the same bytes.

    Args:
        frame: Already sorted; columns by name, further ones are left out.
        gold: Where it is written.
        key: Its name there.
        columns: Order, types and descriptions.
        title: What the file is.
        made: When the newest capture in it was received: unlike the clock, it gives the same bytes for the same data.
        extra: Further metadata of the file.
        group_rows: Rows of a row group: the least that a reader of some rows must fetch.

    Raises:
        StorageError: The place refused it.
    """
    wanted = schema(columns, title, made, extra)
    repeats = [column.name for column in columns if column.repeats]
    out = pa.BufferOutputStream()
    with pq.ParquetWriter(out, wanted, compression="zstd", compression_level=1, use_dictionary=repeats) as writer:
        # In parts, so that memory stays bounded.
        for part in frame.select(wanted.names).iter_slices(group_rows):
            writer.write_table(part.to_arrow().cast(wanted), row_group_size=group_rows)
    data = memoryview(out.getvalue())
    gold.replace(key, data, durable=False)
    return data


def metadata(gold: Blobs, key: str) -> dict[str, str]:
    """The metadata of a file's footer; empty where there is no readable file.

    Raises:
        StorageUnavailable: The place did not answer.
    """
    try:
        raw = pq.read_schema(pa.BufferReader(_footer(gold, key))).metadata
    except (BlobMissing, OSError, pa.ArrowInvalid):
        return {}
    return as_text(raw)


def as_text(raw: Mapping[bytes, bytes] | None) -> dict[str, str]:
    """Metadata of a schema or a column as texts, without Arrow's own."""
    return {key.decode(): value.decode() for key, value in (raw or {}).items() if not key.startswith(b"ARROW")}


def _footer(gold: Blobs, key: str) -> bytes:
    """The end of a file, its whole footer in it: eight bytes before the end say how long that is."""
    data = gold.tail(key, _FOOTER_BYTES)
    needed = int.from_bytes(data[-8:-4], "little") + 8
    return gold.tail(key, needed) if needed > len(data) == _FOOTER_BYTES else data
