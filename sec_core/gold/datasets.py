"""What is published: the tables, with columns, key, title and rows of each, and what each figure means.

Gold's files, a release with its DuckDB file and its data package, and the data dictionary are all made from the list of
tables. Figures are defined in `definitions.toml`, in English and Spanish.
"""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import polars as pl

from sec_core.blobs.place import Blobs
from sec_core.gold import estimates, parquet
from sec_core.gold.frames import GoldFrames, one_word
from sec_core.gold.indices import year_indices
from sec_core.gold.parquet import Column
from sec_core.gold.payloads.hours import official, official_comparison
from sec_core.reference import tables


@dataclass(frozen=True, slots=True)
class Dataset:
    """A published table.

    Attributes:
        name: Of its file and of its table in DuckDB.
        key: Columns that no two rows share.
        title: What it holds, in English.
        titulo: The same in Spanish.
        rows: Its rows, in the file's order; None where months are written by themselves.
        in_gold: Whether Gold has it too, or a release alone.
        large: Whether the DuckDB file of a release reads it from its Parquet.
    """

    name: str
    key: tuple[str, ...]
    title: str
    titulo: str
    rows: Callable[[GoldFrames], pl.DataFrame] | None = None
    in_gold: bool = True
    large: bool = False

    @property
    def columns(self) -> Sequence[Column]:
        """Its columns."""
        return parquet.COLUMNS[self.name]

    @property
    def file(self) -> str:
        """Its file; the panel has one for each month instead."""
        return f"{self.name}.parquet"

    def write(self, collected: GoldFrames, place: Blobs) -> int:
        """Write its file, and return how many rows it has; raises StorageError. None of a table without `rows`."""
        if self.rows is None:
            return 0
        table, about = self.rows(collected), {"origin": one_word(collected.origins)}
        parquet.write(table, place, self.file, self.columns, self.title, collected.made, about)
        return table.height


def with_customers(collected: GoldFrames) -> pl.DataFrame:
    """All comunas with their names, region and customers, as `comunas.parquet` has them."""
    comunas = pl.DataFrame(tables.comunas()).rename({"codigo": "codigo_comuna", "nombre": "nombre_comuna"})
    newest = collected.comuna_customers.sort("mes").group_by("codigo_comuna").last().drop("mes")
    return comunas.join(newest, on="codigo_comuna", how="left", maintain_order="left")


def _annual(collected: GoldFrames) -> pl.DataFrame:
    years = estimates.years(collected.monthly.region_parts, collected.seen)
    return year_indices(years, collected.indices.regional, "nombre_region").sort("anho", "nombre_region")


# fmt: off
DATASETS: tuple[Dataset, ...] = (
    Dataset("golden_interrupciones", ("hash_id",), "Power-outage events in Chile",
            "Eventos: cortes de suministro en Chile", lambda f: f.events, large=True),
    Dataset("panel", ("hora", "codigo_comuna"),
            "Customers without supply in Chile, by hour and comuna",
            "Clientes sin suministro por hora y comuna: comunas listadas en horas cargadas", large=True),
    Dataset("horas", ("hora",), "Hours of the SEC's snapshots: which are loaded",
            "Horas esperadas: cuáles están cargadas y cómo", lambda f: f.calendar),
    Dataset("revisiones", ("hora", "revision", "nombre_region"),
            "How the SEC's answers changed: every answer held of an hour",
            "Cómo cambiaron las respuestas de la SEC: cada respuesta guardada de una hora", lambda f: f.revisions,
            large=True),
    Dataset("comunas", ("codigo_comuna",), "Comunas of Chile",
            "Las 346 comunas, su región y sus clientes estimados", with_customers),
    Dataset("indices_regionales", ("mes", "nombre_region"), "Reliability by region and month",
            "Índices por región, país y mes", lambda f: f.indices.regional),
    Dataset("indices_comunales", ("mes", "codigo_comuna"), "Customer-hours by comuna and month",
            "Cliente-horas e índice estimado por comuna y mes", lambda f: f.indices.comunal),
    Dataset("tormentas", ("id",), "Storms: power cuts over many comunas of Chile",
            "Tormentas: cortes conectados sobre muchas comunas", lambda f: f.storms),
    Dataset("tormentas_horas", ("id", "hora", "codigo_comuna"), "Storms by hour and comuna",
            "Curva de cada tormenta por hora y comuna", lambda f: f.storm_hours, large=True),
    Dataset("indices_anuales", ("anho", "nombre_region"),
            "SAIDI by region and year, with an interval of its own",
            "SAIDI por región y año, con su propio intervalo", _annual, in_gold=False),
    Dataset("comparacion_oficial", ("anho", "nombre_region"),
            "The official SAIDI beside the estimate", "El SAIDI oficial junto al estimado",
            lambda f: official_comparison(official(), f.monthly, f.seen, f.customers), in_gold=False),
    Dataset("clientes_comunales", ("mes", "codigo_comuna"),
            "Customers by comuna and month, an estimate", "Clientes por comuna y mes, una estimación",
            lambda f: f.comuna_customers, in_gold=False),
    Dataset("empresas", ("id_empresa",), "Distribution companies", "Empresas distribuidoras",
            lambda _: pl.DataFrame(tables.empresas()).rename({"nombre": "nombre_empresa"}), in_gold=False),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Definition:
    """One published figure; `key` is its anchor, `note` says what to beware of."""

    key: str
    name: str
    formula: str
    unit: str
    source: str
    note: str = ""


@cache
def definitions(language: str) -> tuple[Definition, ...]:
    """All definitions in `en` or `es`, in the file's order."""
    text = files("sec_core.gold").joinpath("definitions.toml").read_text(encoding="utf-8")
    return tuple(Definition(key, **texts[language]) for key, texts in tomllib.loads(text).items())
