"""Parquet for researchers: typed, sorted, compressed, and documented inside the file."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sec_core.blobs.model import BlobMissing
from sec_core.gold.payloads.meta import CITATION, LICENCE, METHOD, SOURCE, SOURCE_URL
from sec_core.gold.payloads.official_comparison import OfficialRow
from sec_core.gold.payloads.reliability import ReliabilityRow
from sec_core.gold.payloads.storms import StormRow
from sec_core.gold.storm_curves import STORMS_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sec_core.blobs.model import Blobs
    from sec_core.gold.model import PayloadRow

_FOOTER_BYTES = 64 * 1024
"""Enough for the footers written here; a longer one is read again."""
# Arrow's own pool keeps what it was given once, a tenth of a gigabyte, beside that of Polars.
pa.set_memory_pool(pa.system_memory_pool())

UTC_US = pa.timestamp("us", tz="UTC")


CATEGORIES: Mapping[str, Sequence[str]] = {
    "forma": ("detailed", "aggregated"),
    "estado": ("captured", "empty", "failed", "quarantined", "pending"),
    "metodo": ("medido", "estimado", "insuficiente"),
    "metodo_clientes": ("facturacion", "viviendas"),
    "censurado": ("inicio", "fin", "inicio,fin"),
}
"""All values that a column of few values can have, by its name."""
_UNITS = {
    "customers": "clientes clientes_afectados clientes_afectados_crudo clientes_punta punta salidas reposiciones"
    " diferencia_nacional",
    "customers per hour": "reposicion_maxima",
    "customer-hours": "cliente_horas cliente_horas_inf cliente_horas_sup cliente_horas_observadas",
    "hours": "saidi saidi_inf saidi_sup saidi_observado saidi_sin_med umbral_med caidi caidi_sin_med horas_hasta_punta"
    " horas_50 horas_90 horas_95 horas_sin_datos n_observaciones saidi_oficial",
    "interruptions per customer": "saifi saifi_eventos saifi_sin_med",
    "days": "dias_med dias_base",
    "months": "meses_denominador",
    "share, 0 to 1": "cobertura interpolada estancado",
}
UNITS: Mapping[str, str] = {name: unit for unit, names in _UNITS.items() for name in names.split()}
"""Unit of each column that has one, by its name."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a published file: its description is one sentence with meaning, unit and zone.

    `repeats`: few different values make most of it, so that a dictionary saves space. `deprecated` says what to use
    in its place; it goes with the next version of the interface.
    """

    name: str
    type: pa.DataType
    description: str
    nullable: bool = False
    repeats: bool = False
    unit: str | None = None
    deprecated: str = ""

    @property
    def about(self) -> dict[str, str]:
        """What the file says of the column."""
        found = {
            "description": self.description,
            "unit": UNITS.get(self.name, "") if self.unit is None else self.unit,
            "categories": "|".join(CATEGORIES.get(self.name, ())),
            "deprecated": self.deprecated,
        }
        return {name: text for name, text in found.items() if text}


def _text(name: str, description: str, *, nullable: bool = False) -> Column:
    """A column of few different texts."""
    return Column(name, pa.string(), description, nullable=nullable, repeats=True)


_ARROW = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}


_STORM_TYPES = {
    name: field.type
    for name, field in zip(STORMS_SCHEMA, pl.DataFrame(schema=STORMS_SCHEMA).to_arrow().schema, strict=True)
    if name not in {"id", "regiones"}
}


def _payload(name: str, row: type[PayloadRow] = ReliabilityRow) -> Column:
    """A column that is a payload's key too; null where that row is missing."""
    field: dict[str, Any] = row.model_json_schema(mode="serialization")["properties"][name]
    kind = _ARROW[next(option for option in [field, *field.get("anyOf", [])] if "type" in option)["type"]]
    text = " ".join(field["description"].split())
    unit = "share, 0 to 1" if name == "punta" else None
    return Column(name, pa.date32() if name == "mes" else kind, text, nullable=name != "mes", unit=unit)


NAMES = (
    _text("codigo_region", "Official region code, two digits; empty for UNKNOWN."),
    _text("nombre_region", "Region, upper case without accents; UNKNOWN where it did not resolve."),
    _text("codigo_comuna", "Official comuna code (CUT), five digits; empty for UNKNOWN."),
    _text("nombre_comuna", "Comuna, upper case without accents; UNKNOWN where it did not resolve."),
    _text("nombre_empresa", "Distribution company; NO INFORMADA where the source names none."),
)
"""Columns of places and companies, the same in every file."""

EVENTS: tuple[Column, ...] = (
    Column("hash_id", pa.string(), "Identity of the event: MD5 of codigo_comuna|nombre_empresa|inicio, as a UUID."),
    _text("forma", "Rule that made the event: detailed (company, start date) or aggregated (threshold)."),
    *NAMES,
    Column("id_tiempo", pa.int32(), "inicio as YYYYMMDDHH on the Chile wall clock."),
    Column("inicio", UTC_US, "Beginning, UTC. Detailed: first instant in Chile of the start date; no hour is known."),
    Column("fin", UTC_US, "End, UTC: the hour after the last observation; null while open.", nullable=True),
    Column("clientes_afectados", pa.int64(), "Customers affected: high-water mark over the event's life, capped."),
    Column("clientes_afectados_crudo", pa.int64(), "Customers affected as reported, before the cap."),
    Column("hora_maximo", UTC_US, "First hour that reached the high-water mark, UTC."),
    Column("cliente_horas", pa.int64(), "Customer-hours: sum of the hourly values over the captured hours."),
    Column("n_observaciones", pa.int32(), "Captured hours that list the event."),
    Column("imputaciones", pa.int16(), "Bits of the imputation rules that touched it; 0 for none."),
    Column("topado", pa.bool_(), "Whether the value was capped at the region's customers."),
    Column("primera_hora", UTC_US, "First hour observed, UTC."),
    Column("ultima_hora", UTC_US, "Last hour observed, UTC."),
    Column(
        "meses_denominador",
        pa.int16(),
        "Months from the customer figure of the cap to hora_maximo; negative if the figure is later, null if none.",
        nullable=True,
    ),
    _text(
        "censurado",
        "Ends that gaps may hide: inicio (the hour before primera_hora has no data), fin (the hour after ultima_hora"
        " has none), or inicio,fin. Null for none. A duration is then a lower bound.",
        nullable=True,
    ),
    Column("horas_sin_datos", pa.int32(), "Hours without data between primera_hora and ultima_hora."),
)

OBSERVATIONS: tuple[Column, ...] = (
    Column("hora", UTC_US, "Beginning of the observed hour, UTC."),
    _text("forma", "Shape of the hour's capture: detailed or aggregated."),
    *NAMES,
    Column("fecha_inicio", pa.date32(), "Start date of the outage in Chile; null if aggregated.", nullable=True),
    Column("clientes_afectados", pa.int64(), "Customers without supply in that hour; alike rows are summed."),
    Column("n_filas", pa.int32(), "Rows of the source's answer that were summed."),
    Column("imputaciones", pa.int16(), "Bits of the imputation rules that touched it; 0 for none."),
)


PANEL: tuple[Column, ...] = (
    Column("hora", UTC_US, "Beginning of a loaded hour, UTC."),
    _text("codigo_comuna", "Official comuna code (CUT), five digits; empty for UNKNOWN."),
    Column(
        "clientes_afectados",
        pa.int64(),
        "Customers without supply in that hour, all companies. A comuna without a row in a loaded hour (see"
        " horas.parquet) had 0; an hour that is not loaded is missing, not 0.",
    ),
    _text("forma", "Shape of the hour's capture: detailed or aggregated."),
)

CUSTOMERS = (
    Column("clientes", pa.int64(), "Customers of the comuna: an estimate, see metodo_clientes.", nullable=True),
    _text(
        "metodo_clientes", "facturacion (CNE's billing, regulated customers) or viviendas (dwellings).", nullable=True
    ),
    _text("fuente_clientes", "Where the customers come from.", nullable=True),
)

HOURS: tuple[Column, ...] = (
    Column("hora", UTC_US, "Beginning of the hour, UTC. Every hour that the source can have and that has ended."),
    _text("estado", "captured, empty (the source has no data), failed, quarantined, or pending (not asked for yet)."),
    Column("cargada", pa.bool_(), "Whether the hour is loaded: only then is a comuna that is not listed at 0."),
    Column("forma", pa.string(), "Shape of its capture: detailed or aggregated.", nullable=True, repeats=True),
    Column("n_filas", pa.int32(), "Rows of the source's answer.", nullable=True),
    Column("n_revisiones", pa.int32(), "Different answers held."),
    Column("sospechosa", pa.bool_(), "Whether it is a corrupt cycle that stayed: estimates count it as without data."),
    Column(
        "diferencia_nacional",
        pa.int64(),
        "Customers out in the source's national series less those of the rows; null where they were not compared.",
        nullable=True,
    ),
)

COMUNAS: tuple[Column, ...] = (
    _text("codigo_comuna", "Official comuna code (CUT), five digits."),
    _text("nombre_comuna", "Name, upper case without accents."),
    _text("nombre_oficial", "Official name."),
    _text("codigo_region", "Official region code, two digits."),
    _text("nombre_region", "Region, upper case without accents."),
    *CUSTOMERS,
)

CUSTOMER_HOURS = (
    Column("cliente_horas", pa.float64(), "Customer-hours of all ended hours; null if insuficiente.", nullable=True),
    Column("cliente_horas_inf", pa.float64(), "Lower bound of its 95% interval.", nullable=True),
    Column("cliente_horas_sup", pa.float64(), "Upper bound of its 95% interval.", nullable=True),
    Column("cliente_horas_observadas", pa.int64(), "Customer-hours of observed hours alone."),
    Column("clientes_punta", pa.int64(), "Most customers out in an observed hour."),
)

REGIONAL: tuple[Column, ...] = (
    _payload("mes"),
    _text("codigo_region", "Official region code; empty for UNKNOWN, null for CHILE.", nullable=True),
    _text("nombre_region", "Region, UNKNOWN (which has no customers of its own), or CHILE: all of them."),
    *CUSTOMER_HOURS,
    *(_payload(name) for name in ReliabilityRow.model_fields if name not in {"mes", "nombre_region"}),
)

COMUNAL: tuple[Column, ...] = (
    _payload("mes"),
    *NAMES[:4],
    _payload("metodo"),
    *CUSTOMER_HOURS,
    _payload("cobertura"),
    _payload("interpolada"),
    *CUSTOMERS,
    Column("meses_denominador", pa.int64(), "Months between this month and the customers'.", nullable=True),
    Column("saidi", pa.float64(), "cliente_horas over clientes: hours, an estimate in both parts.", nullable=True),
    Column("saidi_inf", pa.float64(), "Lower bound; says nothing of the customers' own error.", nullable=True),
    Column("saidi_sup", pa.float64(), "Upper bound; says nothing of the customers' own error.", nullable=True),
)


STORMS: tuple[Column, ...] = tuple(
    Column(
        name,
        _STORM_TYPES.get(name, pa.string()),
        " ".join((field.description or "").split()),
        nullable=name in {"nombre", "fin", "nota"} or name.startswith(("cliente_", "horas_", "salidas", "reposicion")),
    )
    for name, field in StormRow.model_fields.items()
)

STORM_HOURS: tuple[Column, ...] = (
    _text("id", "The storm."),
    Column("hora", UTC_US, "Beginning of a loaded hour, UTC."),
    _text("codigo_comuna", "Official comuna code (CUT), five digits."),
    Column("clientes_afectados", pa.int64(), "Customers out above the comuna's usual level; rows of 0 are left out."),
)


ANNUAL: tuple[Column, ...] = (
    Column("anho", pa.int32(), "Year, Chile wall clock."),
    _text("nombre_region", "Region, UNKNOWN, or CHILE: all of them."),
    _payload("metodo"),
    *CUSTOMER_HOURS,
    Column("clientes", pa.int64(), "Customers: the mean of the months'; null where unknown.", nullable=True),
    Column("saidi", pa.float64(), "cliente_horas over clientes.", nullable=True),
    Column("saidi_inf", pa.float64(), "Lower bound of its 95% interval: the year's own, no sum.", nullable=True),
    Column("saidi_sup", pa.float64(), "Upper bound of its 95% interval.", nullable=True),
    _payload("cobertura"),
    _payload("interpolada"),
)

OFFICIAL: tuple[Column, ...] = tuple(_payload(name, OfficialRow) for name in OfficialRow.model_fields)

COMPANIES: tuple[Column, ...] = (
    Column("id_empresa", pa.int32(), "The company's number here: 0 UNKNOWN, 1 NO INFORMADA (the source names none)."),
    _text("nombre_empresa", "Distribution company, by the name that the SEC writes today."),
)

COMUNA_CUSTOMERS: tuple[Column, ...] = (
    Column("mes", pa.date32(), "Month for which the region has a denominator, Chile wall clock."),
    COMUNAS[0],
    Column("clientes", pa.int64(), "Customers of the comuna: an estimate, see metodo_clientes."),
    *CUSTOMERS[1:],
)


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
        raw = pq.read_schema(pa.BufferReader(_footer(gold, key))).metadata or {}
    except (BlobMissing, OSError, pa.ArrowInvalid):
        return {}
    return {key.decode(): value.decode() for key, value in raw.items() if not key.startswith(b"ARROW")}


def _footer(gold: Blobs, key: str) -> bytes:
    """The end of a file, its whole footer in it: eight bytes before the end say how long that is."""
    data = gold.tail(key, _FOOTER_BYTES)
    needed = int.from_bytes(data[-8:-4], "little") + 8
    return gold.tail(key, needed) if needed > len(data) == _FOOTER_BYTES else data
