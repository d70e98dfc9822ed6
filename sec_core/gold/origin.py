"""Where the loaded hours come from: the SEC's host, an import, the simulator, a replay, or another host. Pure."""

from __future__ import annotations

from typing import Final

import polars as pl

SEC_HOST: Final = "apps.sec.cl"
OWN: Final = "SEC"
UNKNOWN: Final = "desconocido"
"""From before the host was kept; never refused."""
MIXED: Final = "mixto"
_CALLED: Final = {"simulator": "SIMULACIÓN", "replay": "REPETICIÓN"}

ORIGIN: Final = (
    pl.when(pl.col("fuente").is_in(list(_CALLED)))
    .then(pl.col("fuente").replace(_CALLED))
    .when((pl.col("anfitrion") == SEC_HOST) | (pl.col("origen_cuerpo") == "legacy"))
    .then(pl.lit(OWN))
    .otherwise(pl.coalesce("anfitrion", pl.lit(UNKNOWN)))
)
"""Word for a capture, from its anfitrion, fuente and origen_cuerpo (`revisiones.origen`): a host stands for itself."""


def hours_by_origin(loads: pl.DataFrame) -> pl.DataFrame:
    """origen, horas: how many of some loaded hours come from where."""
    return loads.group_by("origen").agg(horas=pl.len().cast(pl.Int64)).sort("origen")


def one_word(found: pl.DataFrame) -> str:
    """One word for hours by origin: theirs if it is the same for all.

    Of the SEC's and unknown hours together it is `desconocido`, of any others together `mixto`.
    """
    words = set(found["origen"])
    if len(words) == 1:
        return str(words.pop())
    return UNKNOWN if words <= {OWN, UNKNOWN} else MIXED


def others(found: list[dict[str, object]]) -> list[dict[str, object]]:
    """Those of some hours by origin that are not the SEC's."""
    return [each for each in found if each["origen"] not in {OWN, UNKNOWN}]
