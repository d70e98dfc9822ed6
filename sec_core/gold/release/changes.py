"""What differs from the release before: rows, hours, names, and every figure that moved by over 1%, with why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from sec_core.gold.universe import COUNTRY
from sec_core.reference.tables import UNKNOWN_NAME
from sec_core.silver.timeline import chile_date

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Tables = Mapping[str, pl.DataFrame]

MOVED: Final = 0.01
"""A figure that moves by a smaller share of itself is not told of."""
HOURS, REVISION, NAME, RULE, DENOMINATOR, NOTHING = "horas", "revisión", "nombre", "regla", "denominador", "sin motivo"
READ: Final = ("horas", "comunas", "indices_regionales", "indices_comunales", "indices_anuales", "tormentas")
"""Tables that are compared."""
_FIGURES: Final = {
    "indices_regionales": (("mes", "nombre_region"), ("cliente_horas", "cliente_horas_observadas", "saidi", "saifi")),
    "indices_comunales": (("mes", "codigo_comuna"), ("cliente_horas", "cliente_horas_observadas", "saidi")),
    "indices_anuales": (("anho", "nombre_region"), ("cliente_horas", "saidi")),
    "tormentas": (("id",), ("punta", "cliente_horas")),
}
"""Keys and figures of each table."""
_SEEN: Final = ("cargada", "forma", "n_filas", "n_revisiones", "sospechosa")
_MONTH: Final = chile_date(pl.col("hora")).dt.month_start()
_DECEMBER: Final = pl.date(pl.col("mes").dt.year(), 12, 1)
"""Stands for a year."""
_PER_CUSTOMER: Final = ("saidi", "saifi")


@dataclass(frozen=True, slots=True)
class Changes:
    """All differences.

    Attributes:
        rows: Rows of each table, before (None where it is new) and now.
        hours: mes, ganadas, perdidas, revisadas, where one is not 0.
        names: codigo_comuna, columna, antes, ahora.
        moved: tabla, clave, cifra, antes, ahora, motivo; the largest changes first.
        new_storms: ids.
        lost_storms: ids.
        rules: Versions and settings that differ, as texts before and now.
    """

    rows: dict[str, tuple[int | None, int]]
    hours: pl.DataFrame
    names: pl.DataFrame
    moved: pl.DataFrame
    new_storms: list[str]
    lost_storms: list[str]
    rules: dict[str, tuple[str, str]]

    @property
    def unexplained(self) -> pl.DataFrame:
        """Figures that moved without a reason: a release is refused for them."""
        return self.moved.filter(pl.col("motivo") == NOTHING)

    @property
    def by_reason(self) -> list[tuple[str, str, int]]:
        """Table, reason and number of figures."""
        counted = self.moved.group_by("tabla", "motivo").len().sort("tabla", "motivo")
        return [(table, reason, count) for table, reason, count in counted.iter_rows()]

    def line(self) -> str:
        """The sums in a sentence of Spanish."""
        gained, revised = (int(self.hours[name].sum()) for name in ("ganadas", "revisadas"))
        return (
            f"{gained:,} horas nuevas, {revised:,} revisadas, {self.names['codigo_comuna'].n_unique()} comunas con otro"
            f" nombre, {self.moved.height:,} cifras que se mueven más de 1%."
        )


def compare(
    old: Tables, new: Tables, counts: tuple[Mapping[str, int], Mapping[str, int]], rules: Sequence[Mapping[str, Any]]
) -> Changes:
    """All differences between two releases.

    Args:
        old: The tables of `READ` in the release before.
        new: The same now.
        counts: Rows of all tables, before and now.
        rules: What figures are made by, and the version of the interface, before and now.
    """
    differing = {
        name: (str(rules[0].get(name)), str(rules[1].get(name)))
        for name in sorted({*rules[0], *rules[1]})
        if rules[0].get(name) != rules[1].get(name)
    }
    hours = _hours(old["horas"], new["horas"])
    names = _names(old["comunas"], new["comunas"])
    near = _near(old["horas"], new["horas"], hours)
    unknown = _renamed(old["indices_regionales"], new["indices_regionales"])
    served = not old["comunas"]["clientes"].equals(new["comunas"]["clientes"])
    ruled = bool(differing.keys() - {"interfaz"})
    years = near.with_columns(mes=_DECEMBER).group_by("mes").agg(pl.exclude("mes").any())
    moved = [
        _moved(table, old[table], new[table], served=served).pipe(
            _with_reason,
            years if "anho" in keys else near,
            unknown.with_columns(mes=_DECEMBER) if "anho" in keys else unknown,
            ruled=ruled,
        )
        for table, (keys, _) in _FIGURES.items()
    ]
    storms = [frozenset(tables["tormentas"]["id"]) for tables in (old, new)]
    return Changes(
        {name: (counts[0].get(name), rows) for name, rows in counts[1].items()},
        hours,
        names,
        pl.concat(moved).sort("cambio", descending=True, nulls_last=True, maintain_order=True),
        sorted(storms[1] - storms[0]),
        sorted(storms[0] - storms[1]),
        differing,
    )


def _hours(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """mes, ganadas, perdidas, revisadas, otras (expected now, or suspect otherwise) of months with any."""
    both = old.select("hora", *_SEEN).join(
        new.select("hora", *_SEEN), on="hora", how="full", coalesce=True, suffix="_b"
    )
    before, now = pl.col("cargada").fill_null(value=False), pl.col("cargada_b").fill_null(value=False)
    differs = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name}_b")) for name in ("forma", "n_filas", "n_revisiones")
    )
    return (
        both.group_by(mes=_MONTH)
        .agg(
            ganadas=(now & ~before).sum(),
            perdidas=(before & ~now).sum(),
            revisadas=(before & now & differs).sum(),
            otras=(
                pl.col("cargada").is_null()
                | pl.col("cargada_b").is_null()
                | (before & now & pl.col("sospechosa").ne_missing(pl.col("sospechosa_b")))
            ).sum(),
        )
        .filter(pl.sum_horizontal("ganadas", "perdidas", "revisadas", "otras") > 0)
        .sort("mes")
    )


def _near(old: pl.DataFrame, new: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
    """mes, con_horas, con_revision: of each month, whether hours that changed can have moved its figures.

    Those of the month before can: rises and lines begin there. Those of the month after can unless the month's own last
    hour was and is loaded.
    """
    last = [frame.sort("hora").group_by(mes=_MONTH).agg(pl.col("cargada").last()) for frame in (old, new)]
    shut = last[0].join(last[1], on="mes", suffix="_b").filter("cargada", "cargada_b")
    found = changed.select(
        "mes",
        con_horas=pl.sum_horizontal("ganadas", "perdidas", "otras") > 0,
        con_revision=pl.col("revisadas") > 0,
    )
    reach = pl.concat(
        [
            found,
            found.with_columns(pl.col("mes").dt.offset_by("1mo")),
            found.with_columns(pl.col("mes").dt.offset_by("-1mo")).join(shut, on="mes", how="anti"),
        ]
    )
    return reach.group_by("mes").agg(pl.col("con_horas", "con_revision").any())


def _names(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    kept = ["nombre_comuna", "nombre_oficial", "codigo_region", "nombre_region"]
    both = old.select("codigo_comuna", *kept).join(
        new.select("codigo_comuna", *kept), on="codigo_comuna", how="full", coalesce=True, suffix="_b"
    )
    parts = [
        both.filter(pl.col(name).ne_missing(pl.col(f"{name}_b"))).select(
            "codigo_comuna", columna=pl.lit(name), antes=name, ahora=f"{name}_b"
        )
        for name in kept
    ]
    return pl.concat(parts).sort("codigo_comuna", "columna")


def _renamed(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Months in which the country saw the same and UNKNOWN places did not: names resolved otherwise."""
    both = old.join(new, on=["mes", "nombre_region"], suffix="_b").select(
        "mes", "nombre_region", same=pl.col("cliente_horas_observadas") == pl.col("cliente_horas_observadas_b")
    )
    whole = both.filter(pl.col("nombre_region") == COUNTRY, pl.col("same"))
    return both.filter(pl.col("nombre_region") == UNKNOWN_NAME, ~pl.col("same")).join(whole, on="mes", how="semi")


def _moved(table: str, old: pl.DataFrame, new: pl.DataFrame, *, served: bool) -> pl.DataFrame:
    """tabla, clave, mes, cifra, antes, ahora, cambio (a share; null without a figure), denominador (moved too)."""
    keys, figures = _FIGURES[table]
    begun = chile_date(pl.col("inicio")).dt.month_start()
    month = {"mes": pl.col("mes"), "anho": pl.date("anho", 12, 1), "id": begun}[keys[0]]
    own = "clientes" in old.columns
    wanted = [*keys, *figures, *(["clientes"] if own else [])]
    both = old.select(wanted).join(new.select(*wanted, desde=month), on=keys, suffix="_b")
    clave = pl.concat_str([pl.col(key).cast(pl.String) for key in keys], separator=" ")
    parts = []
    for figure in figures:
        before, now = pl.col(figure).cast(pl.Float64), pl.col(f"{figure}_b").cast(pl.Float64)
        parts.append(
            both.select(
                tabla=pl.lit(table),
                clave=clave,
                mes="desde",
                cifra=pl.lit(figure),
                antes=before,
                ahora=now,
                cambio=((now - before) / before).abs(),
                denominador=pl.col("clientes").ne_missing(pl.col("clientes_b")) & pl.lit(figure in _PER_CUSTOMER)
                if own
                else pl.lit(served),
            ).filter(
                pl.col("antes").is_null().ne_missing(pl.col("ahora").is_null())
                | ((pl.col("ahora") - pl.col("antes")).abs() > MOVED * pl.col("antes").abs())
            )
        )
    return pl.concat(parts)


def _with_reason(moved: pl.DataFrame, near: pl.DataFrame, renamed: pl.DataFrame, *, ruled: bool) -> pl.DataFrame:
    reasons = (
        (pl.lit(ruled), RULE),
        (pl.col("con_horas").fill_null(value=False), HOURS),
        (pl.col("con_revision").fill_null(value=False), REVISION),
        (pl.col("denominador"), DENOMINATOR),
        (pl.col("mes").is_in(renamed["mes"].to_list()), NAME),
    )
    words = [pl.when(condition).then(pl.lit(word)) for condition, word in reasons]
    joined = pl.concat_str(words, separator=", ", ignore_nulls=True)
    return moved.join(near, on="mes", how="left", maintain_order="left").select(
        "tabla", "clave", "cifra", "antes", "ahora", "cambio",
        motivo=pl.when(joined == "").then(pl.lit(NOTHING)).otherwise(joined),
    )  # fmt: skip
