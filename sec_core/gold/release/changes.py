"""What differs from the release before: rows, hours, names, and every figure that moved by over 1%, with why. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from sec_core.gold.customers import COUNTRY
from sec_core.reference.tables import UNKNOWN_NAME
from sec_core.silver.timeline import chile_date
from sec_core.text import counted

Tables = Mapping[str, pl.DataFrame]

# A figure that moves by a smaller share of itself is not told of.
MOVED: Final = 0.01
NOTHING: Final = "sin motivo"
# Keys and figures of each table.
_FIGURES: Final = {
    "indices_regionales": (("mes", "nombre_region"), ("cliente_horas", "cliente_horas_observadas", "saidi", "saifi")),
    "indices_comunales": (("mes", "codigo_comuna"), ("cliente_horas", "cliente_horas_observadas", "saidi")),
    "indices_anuales": (("anho", "nombre_region"), ("cliente_horas", "saidi")),
    "tormentas": (("id",), ("punta", "cliente_horas")),
}
# Tables that are compared.
READ: Final = ("horas", "comunas", *_FIGURES)
_MONTH: Final = chile_date(pl.col("hora")).dt.month_start()
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
        return self.moved.group_by("tabla", "motivo").len().sort("tabla", "motivo").rows()

    def line(self) -> str:
        """The sums in a sentence of Spanish."""
        gained, revised = (int(self.hours[name].sum()) for name in ("ganadas", "revisadas"))
        hours = counted(gained, "hora nueva", "horas nuevas")
        renamed = counted(self.names["codigo_comuna"].n_unique(), "comuna")
        moved = counted(self.moved.height, "cifra que se mueve", "cifras que se mueven")
        return f"{hours}, {revised:,} revisadas, {renamed} con otro nombre, {moved} más de 1%."


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
    changed = sorted({name for name, _ in rules[0].items() ^ rules[1].items()})
    differing = {name: (str(rules[0].get(name)), str(rules[1].get(name))) for name in changed}
    hours = _hours(old["horas"], new["horas"])
    storms = [frozenset(tables["tormentas"]["id"]) for tables in (old, new)]
    return Changes(
        rows={name: (counts[0].get(name), rows) for name, rows in counts[1].items()},
        hours=hours,
        names=_names(old["comunas"], new["comunas"]),
        moved=_moved(old, new, _near(old["horas"], new["horas"], hours), ruled=bool(differing.keys() - {"interfaz"})),
        new_storms=sorted(storms[1] - storms[0]),
        lost_storms=sorted(storms[0] - storms[1]),
        rules=differing,
    )


def _hours(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """mes, ganadas, perdidas, revisadas, otras (expected now, or suspect otherwise) of months with any."""
    both = old.join(new, on="hora", how="full", coalesce=True, suffix="_b")
    before, now = pl.col("cargada").fill_null(value=False), pl.col("cargada_b").fill_null(value=False)
    differs = {
        name: before & now & pl.col(name).ne_missing(pl.col(f"{name}_b"))
        for name in ("forma", "n_filas", "n_revisiones", "sospechosa")
    }
    suspect = differs.pop("sospechosa")
    return (
        both.group_by(mes=_MONTH)
        .agg(
            ganadas=(now & ~before).sum(),
            perdidas=(before & ~now).sum(),
            revisadas=pl.any_horizontal(differs.values()).sum(),
            otras=(pl.col("cargada").is_null() | pl.col("cargada_b").is_null() | suspect).sum(),
        )
        .filter(pl.sum_horizontal(pl.exclude("mes")) > 0)
        .sort("mes")
    )


def _near(old: pl.DataFrame, new: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
    """periodo, con_horas, con_revision: whether hours that changed can have moved the figures of a month or year.

    Those of the month before can: rises and lines begin there. Those of the month after can unless the month's own last
    hour was and is loaded.
    """
    last = [frame.sort("hora").group_by(mes=_MONTH).agg(pl.col("cargada").last()) for frame in (old, new)]
    shut = last[0].join(last[1], on="mes", suffix="_b").filter("cargada", "cargada_b")
    found = changed.select(
        "mes", con_horas=pl.sum_horizontal("ganadas", "perdidas", "otras") > 0, con_revision=pl.col("revisadas") > 0
    )
    after = found.with_columns(pl.col("mes").dt.offset_by("1mo"))
    before = found.with_columns(pl.col("mes").dt.offset_by("-1mo")).join(shut, on="mes", how="anti")
    return _by_period(pl.concat([found, after, before])).group_by("periodo").agg(pl.exclude("mes").any())


def _by_period(months: pl.DataFrame) -> pl.DataFrame:
    """What holds of a month, for it and for its year; periodo is `YYYY-MM` or `YYYY`."""
    return pl.concat([months.with_columns(periodo=pl.col("mes").dt.strftime(form)) for form in ("%Y-%m", "%Y")])


def _names(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    wanted = ("nombre_comuna", "nombre_oficial", "codigo_region", "nombre_region")
    before, now = (
        comunas.unpivot(wanted, index="codigo_comuna", variable_name="columna", value_name=name)
        for comunas, name in ((old, "antes"), (new, "ahora"))
    )
    return (
        before.join(now, on=["codigo_comuna", "columna"], how="full", coalesce=True)
        .filter(pl.col("antes").ne_missing(pl.col("ahora")))
        .sort("codigo_comuna", "columna")
    )


def _renamed(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Months in which the country saw the same and UNKNOWN places did not: names resolved otherwise."""
    both = old.join(new, on=["mes", "nombre_region"], suffix="_b").select(
        "mes", "nombre_region", same=pl.col("cliente_horas_observadas") == pl.col("cliente_horas_observadas_b")
    )
    whole = both.filter(pl.col("nombre_region") == COUNTRY, pl.col("same"))
    return both.filter(pl.col("nombre_region") == UNKNOWN_NAME, ~pl.col("same")).join(whole, on="mes", how="semi")


def _figures(tables: Tables) -> pl.DataFrame:
    """tabla, clave, periodo, clientes, cifra, valor: all figures that are compared, each in a row."""
    begun = chile_date(pl.col("inicio")).dt.strftime("%Y-%m")
    periods = {"mes": pl.col("mes").dt.strftime("%Y-%m"), "anho": pl.col("anho").cast(pl.String), "id": begun}
    served = pl.lit(str(tables["comunas"]["clientes"].to_list()))
    parts = [
        tables[name]
        .select(
            pl.col(figures).cast(pl.Float64),
            tabla=pl.lit(name),
            clave=pl.concat_str(pl.col(keys).cast(pl.String), separator=" "),
            periodo=periods[keys[0]],
            clientes=pl.col("clientes").cast(pl.String) if "clientes" in tables[name].columns else served,
        )
        .unpivot(figures, index=["tabla", "clave", "periodo", "clientes"], variable_name="cifra", value_name="valor")
        for name, (keys, figures) in _FIGURES.items()
    ]
    return pl.concat(parts)


def _moved(old: Tables, new: Tables, near: pl.DataFrame, *, ruled: bool) -> pl.DataFrame:
    """tabla, clave, cifra, antes, ahora, cambio (a share; null without a figure), motivo; the largest first."""
    renamed = _by_period(_renamed(old["indices_regionales"], new["indices_regionales"]))["periodo"]
    divided = pl.col("cifra").is_in(_PER_CUSTOMER) | (pl.col("tabla") == "tormentas")
    reasons = {
        "regla": pl.lit(ruled),
        "horas": pl.col("con_horas"),
        "revisión": pl.col("con_revision"),
        "denominador": divided & pl.col("clientes").ne_missing(pl.col("clientes_b")),
        "nombre": pl.col("periodo").is_in(renamed.implode()),
    }
    words = [pl.when(holds).then(pl.lit(word)) for word, holds in reasons.items()]
    before, now = pl.col("antes"), pl.col("ahora")
    return (
        _figures(new)
        .rename({"valor": "ahora"})
        .join(
            _figures(old).rename({"valor": "antes"}).drop("periodo"),
            on=["tabla", "clave", "cifra"],
            suffix="_b",
            maintain_order="left",
        )
        .filter(before.is_null().ne_missing(now.is_null()) | ((now - before).abs() > MOVED * before.abs()))
        .join(near, on="periodo", how="left", maintain_order="left")
        .select(
            "tabla", "clave", "cifra", "antes", "ahora", cambio=((now - before) / before).abs(),
            motivo=pl.concat_str(words, separator=", ", ignore_nulls=True).replace("", NOTHING),
        )
        .sort("cambio", descending=True, nulls_last=True, maintain_order=True)
    )  # fmt: skip
