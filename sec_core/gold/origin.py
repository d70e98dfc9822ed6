"""Where the loaded hours come from: the SEC's host, an import, the simulator, a replay, or another host. Pure."""

from typing import Final

import polars as pl

SEC_HOST: Final = "apps.sec.cl"
OWN: Final = "SEC"
# From before the host was kept; never refused.
UNKNOWN: Final = "desconocido"
MIXED: Final = "mixto"
_CALLED: Final = {"simulator": "SIMULACIÓN", "replay": "REPETICIÓN"}

# Word for a capture, from its anfitrion, fuente and origen_cuerpo (`revisiones.origen`): a host stands for itself.
ORIGIN: Final = (
    pl.when(pl.col("fuente").is_in(list(_CALLED)))
    .then(pl.col("fuente").replace(_CALLED))
    .when((pl.col("anfitrion") == SEC_HOST) | (pl.col("origen_cuerpo") == "legacy"))
    .then(pl.lit(OWN))
    .otherwise(pl.coalesce("anfitrion", pl.lit(UNKNOWN)))
)


def hours_by_origin(loads: pl.DataFrame, denominators: pl.DataFrame | None = None) -> pl.DataFrame:
    """Count from where some loaded hours come.

    Args:
        loads: origen of each hour.
        denominators: origen of customers that figures are divided by.

    Returns:
        origen, horas; with 0 hours what only customers come from, unless that is unknown.
    """
    found = loads.group_by("origen").agg(horas=pl.len().cast(pl.Int64))
    if denominators is not None:
        others = denominators.filter(pl.col("origen") != UNKNOWN).select("origen").unique()
        found = pl.concat([found, others.join(found, on="origen", how="anti").with_columns(horas=pl.lit(0, pl.Int64))])
    return found.sort("origen")


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


def in_words(foreign: list[dict[str, object]]) -> str:
    """What `others` found, for a person."""
    return ", ".join(
        f"{each['horas']} hours {each['origen']}" if each["horas"] else f"customers of regions {each['origen']}"
        for each in foreign
    )
