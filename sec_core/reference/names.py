"""How a spelling becomes a comuna, a company or a region. Pure; nothing is guessed, suggestions are made elsewhere.

A spelling and a known name are the same when they agree after folding: no accents, no case, no spaces and no
punctuation (`Viña del Mar ` is `VINADELMAR`, `O`Higgins` is `OHIGGINS`). What folding does not bring together is
listed as an alias. Rule: a comuna is found by its own name and lies in its official region of today; the region that
the SEC names only breaks ties. So `Los Lagos` as a comuna is that of Los Ríos, whatever the region says.
"""

import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache

from sec_core.reference import tables
from sec_core.reference.tables import UNKNOWN_COMPANY, UNKNOWN_GEOGRAPHY, Alias, Comuna, Empresa, Region


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
        comuna_aliases: Iterable[Alias] = (),
        empresa_aliases: Iterable[Alias] = (),
    ) -> None:
        by_code = {comuna.codigo: comuna for comuna in comunas}
        self._comunas: dict[str, tuple[Comuna, ...]] = {}
        for comuna in by_code.values():
            self._add_comuna(comuna.nombre, comuna)
            self._add_comuna(comuna.nombre_oficial, comuna)
        for alias in comuna_aliases:
            self._add_comuna(alias.alias, by_code[alias.codigo])
        self._regiones: dict[str, str] = {}
        for region in regiones:
            for name in (region.nombre, region.nombre_oficial, region.codigo, str(int(region.codigo)), *region.alias):
                self._regiones[fold(name)] = region.codigo
        self._empresas: dict[str, int] = {
            fold(empresa.nombre): empresa.id_empresa for empresa in empresas if empresa.id_empresa > 1
        }
        for alias in empresa_aliases:
            self._empresas[fold(alias.alias)] = int(alias.codigo)

    def _add_comuna(self, name: str, comuna: Comuna) -> None:
        known = self._comunas.get(fold(name), ())
        if comuna not in known:
            self._comunas[fold(name)] = (*known, comuna)

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
    return Names(
        tables.comunas(), tables.regiones(), tables.empresas(), tables.comuna_aliases(), tables.empresa_aliases()
    )
