"""The reference files as typed values. They are read once in a process and never change while it runs."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

UNKNOWN_NAME = "UNKNOWN"
# `codigo_region` of the whole country.
COUNTRY_CODE = "00"
UNKNOWN_GEOGRAPHY = 0
UNKNOWN_COMPANY = 0
# `id_empresa` of NO INFORMADA: the shape has no company.
NO_COMPANY = 1


@dataclass(frozen=True, slots=True)
class Region:
    """One of the 16 regions: official two-digit code, the dashboard's short form, official name with accents.

    `nombre_sec` is the full name by which `GetClientesRegional` knows it.
    """

    codigo: str
    nombre: str
    nombre_oficial: str
    nombre_sec: str
    alias: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comuna:
    """One of the 346 comunas in its region of today, by its official code of five digits (empty for UNKNOWN)."""

    codigo: str
    nombre: str
    codigo_region: str
    nombre_region: str
    nombre_oficial: str

    @property
    def id_geografia(self) -> int:
        """The code as a number, the key of `dim_geografia`; 0 for UNKNOWN."""
        return int(self.codigo) if self.codigo else UNKNOWN_GEOGRAPHY


@dataclass(frozen=True, slots=True)
class Empresa:
    """A company by the name that the SEC writes today. Ids are fixed in the file: never give one to another company."""

    id_empresa: int
    nombre: str


@dataclass(frozen=True, slots=True)
class Alias:
    """A spelling that folding does not resolve, and why: code of the comuna, or id of the company, as text."""

    alias: str
    codigo: str
    motivo: str


@cache
def regiones() -> tuple[Region, ...]:
    """The 16 regions by code."""
    rows = read_rows("regiones.csv")
    return tuple(Region(alias=tuple(filter(None, row.pop("alias").split("|"))), **row) for row in rows)


@cache
def comunas() -> tuple[Comuna, ...]:
    """The 346 comunas by code, UNKNOWN not among them."""
    return tuple(Comuna(**row) for row in read_rows("comunas.csv"))


@cache
def empresas() -> tuple[Empresa, ...]:
    """All companies by id, UNKNOWN and NO INFORMADA among them."""
    return tuple(Empresa(int(row["id_empresa"]), row["nombre"]) for row in read_rows("empresas.csv"))


@cache
def comuna_aliases() -> tuple[Alias, ...]:
    """Spellings of comunas that folding does not resolve."""
    return tuple(Alias(**row) for row in read_rows("comunas_alias.csv"))


@cache
def empresa_aliases() -> tuple[Alias, ...]:
    """Spellings and former names of companies."""
    return tuple(Alias(row["alias"], row["id_empresa"], row["motivo"]) for row in read_rows("empresas_alias.csv"))


# The member of `dim_geografia` for places that do not resolve.
UNKNOWN_COMUNA = Comuna("", UNKNOWN_NAME, "", UNKNOWN_NAME, UNKNOWN_NAME)


def read_rows(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file of this package, as text."""
    text = files("sec_core.reference").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
