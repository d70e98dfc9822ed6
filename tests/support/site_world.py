"""Frames of a made-up history for tests of the site: all comunas, a gap, a storm, names that are markup."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from sec_core.gold.customers import COUNTRY
from sec_core.gold.frames import UTC_TIME, with_month
from sec_core.gold.site.figures import SiteFrames
from sec_core.gold.storm_curves import CURVES_SCHEMA, STORMS_SCHEMA
from sec_core.hours import Month, month_range
from sec_core.reference.tables import comunas, regiones

# A name as nobody should have it.
EVIL = '<img src=x onerror="document.title=1"></script><script>document.title=1</script>'
STORM = "0c0ffee0-0000-4000-8000-000000000001"
OTHER_STORM = "0c0ffee0-0000-4000-8000-000000000002"


FIRST, LAST = Month(2023, 3), Month(2024, 8)


def make_frames(first: Month = FIRST, last: Month = LAST, seed: int = 1, **meta: object) -> SiteFrames:
    """A history of whole months; the last three days but one of it have no data, nor has the fourth month."""
    rng = np.random.default_rng(seed)
    months = [month.first_day for month in month_range(first, last)]
    hours = _hours(first, last)
    known = hours.filter("cargada")
    places = [(c.codigo, c.nombre, c.nombre_oficial, c.codigo_region, c.nombre_region) for c in comunas()]
    names = ["codigo_comuna", "nombre_comuna", "nombre_oficial", "codigo_region", "nombre_region"]
    about = pl.DataFrame(places, schema=names, orient="row").with_columns(
        clientes=pl.Series(rng.integers(200, 90_000, len(places))),
        metodo_clientes=pl.lit("viviendas"),
        fuente_clientes=pl.lit("INE, Censo 2024, viviendas censadas (CC BY 4.0)"),
    )
    unknown = pl.col("codigo_comuna") == "12202"
    about = about.with_columns(
        pl.when(~unknown).then(pl.col(name)).alias(name) for name in ("clientes", "metodo_clientes", "fuente_clientes")
    )
    comunal = _months(about.drop("nombre_oficial"), months, rng)
    regions = pl.DataFrame(
        [(r.codigo, r.nombre) for r in regiones()] + [(None, COUNTRY)],
        schema=["codigo_region", "nombre_region"],
        orient="row",
    ).with_columns(clientes=pl.lit(400_000, dtype=pl.Int64))
    regional = _months(regions, months, rng)
    newest = known["hora"].max()
    assert isinstance(newest, datetime)
    recent = _recent(known.filter(pl.col("hora") > newest - timedelta(days=60)), rng)
    daily = rng.integers(1000, 40_000, known.height)
    region_hours = pl.concat(
        [
            known.select("hora", serie=pl.lit(COUNTRY), clientes=pl.Series(daily)),
            known.tail(1440).select("hora", serie=pl.lit("MAULE"), clientes=pl.lit(700, dtype=pl.Int64)),
        ]
    )
    storms, curves = _storms(known)
    return SiteFrames(
        payloads=_payloads(months, known, meta),
        comunas=about,
        comunal=comunal,
        regional=regional,
        years=pl.concat([_years(comunal, "codigo_comuna", hours), _years(regional, "nombre_region", hours)]),
        hours=hours,
        region_hours=region_hours,
        panel=recent.lazy(),
        events=_events(months, rng),
        storms=storms,
        curves=curves,
        companies=curves.select("id", "hora", "clientes_afectados", nombre_empresa=pl.lit("CGE")),
    )


def _hours(first: Month, last: Month) -> pl.DataFrame:
    hora = pl.datetime_range(first.start, last.end, "1h", closed="left", time_unit="us", eager=True)
    frame = with_month(pl.DataFrame({"hora": hora})).with_row_index("n")
    gap = pl.col("mes") == first.shift(3).first_day
    hole = pl.col("hora").is_between(last.end - timedelta(days=4), last.end - timedelta(days=1), closed="left")
    loaded = ~(gap | hole)
    return frame.select(
        "hora",
        "mes",
        estado=pl.when(loaded).then(pl.lit("captured")).when(gap).then(pl.lit("pending")).otherwise(pl.lit("failed")),
        forma=pl.when(loaded).then(pl.lit("aggregated")),
        cargada=loaded,
        sospechosa=loaded & (pl.col("n") == 30),
    )


def _months(places: pl.DataFrame, months: list[date], rng: np.random.Generator) -> pl.DataFrame:
    seen = [month for at, month in enumerate(months) if at != 3]
    table = places.join(pl.DataFrame({"mes": seen}), how="cross").sort("mes", maintain_order=True)
    index = pl.Series(rng.gamma(1.2, 0.8, table.height))
    insufficient = pl.col("mes") == seen[1]
    table = table.with_columns(
        metodo=pl.when(insufficient).then(pl.lit("insuficiente")).otherwise(pl.lit("estimado")),
        saidi=pl.when(~insufficient & pl.col("clientes").is_not_null()).then(index),
        cobertura=pl.lit(0.97),
        interpolada=pl.lit(0.02),
        meses_denominador=pl.lit(3, dtype=pl.Int64),
    )
    return table.with_columns(
        saidi_inf=pl.col("saidi") * 0.9,
        saidi_sup=pl.col("saidi") * 1.2,
        cliente_horas=pl.when(~insufficient).then(index * pl.col("clientes").fill_null(100)),
        cliente_horas_observadas=(index * pl.col("clientes").fill_null(100) * 0.9).cast(pl.Int64),
        clientes_punta=(pl.col("clientes").fill_null(100) * 0.2).cast(pl.Int64),
    ).with_columns(cliente_horas_inf=pl.col("cliente_horas") * 0.9, cliente_horas_sup=pl.col("cliente_horas") * 1.2)


def _years(months: pl.DataFrame, key: str, hours: pl.DataFrame) -> pl.DataFrame:
    ended = hours.group_by(anho=pl.col("mes").dt.year().cast(pl.Int32)).agg(
        horas=pl.len().cast(pl.Int64), observadas=pl.col("cargada").sum().cast(pl.Int64)
    )
    hours_out = pl.col("cliente_horas").sum()
    own = months.group_by(serie=key, anho=pl.col("mes").dt.year()).agg(
        metodo=pl.lit("estimado"),
        clientes_punta=pl.col("clientes_punta").max(),
        cliente_horas=hours_out,
        cliente_horas_inf=hours_out * 0.93,
        cliente_horas_sup=hours_out * 1.1,
        cliente_horas_observadas=hours_out.cast(pl.Int64),
    )
    columns = ["serie", "anho", "metodo", "horas", "observadas", "interpoladas"]
    values = [name for name in own.columns if name.startswith("cliente")]
    counted = own.join(ended, on="anho").with_columns(interpoladas=pl.col("horas") - pl.col("observadas"))
    named = {"cobertura": pl.col("observadas"), "interpolada": pl.col("interpoladas")}
    shares = [(hours / pl.col("horas")).alias(name) for name, hours in named.items()]
    return counted.sort("anho", "serie").select(*columns, *values, *shares)


def _recent(known: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    codes = [c.codigo for c in comunas()]
    listed = rng.random((known.height, len(codes))) < 0.2
    hour, comuna = np.nonzero(listed)
    return pl.DataFrame(
        {
            "hora": known["hora"].gather(hour),
            "codigo_comuna": np.array(codes)[comuna],
            "clientes_afectados": rng.integers(1, 190, len(hour)),
        }
    )


def _events(months: list[date], rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    for at, comuna in enumerate(comunas()):
        for number in range(12):
            begin = datetime(months[-1].year, months[-1].month, 1 + number, 5, tzinfo=UTC)
            last = begin + timedelta(hours=int(rng.integers(1, 300)))
            rows.append(
                {
                    "hash_id": f"{at}-{number}", "forma": "aggregated", "codigo_comuna": comuna.codigo,
                    "nombre_region": comuna.nombre_region, "nombre_empresa": EVIL if number == 1 else "NO INFORMADA",
                    "mes": months[-1], "primera_hora": begin, "ultima_hora": last, "fin": None if number == 0 else last,
                    "censurado": "inicio" if number == 3 else None, "clientes_afectados": 120 + number,
                    "cliente_horas": 900,
                }
            )  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"primera_hora": UTC_TIME, "ultima_hora": UTC_TIME, "fin": UTC_TIME})


def _storms(known: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    hours = known.tail(400).head(60)["hora"].to_list()
    codes = [c.codigo for c in comunas() if c.codigo_region in {"13", "05"} and c.codigo != "05201"]
    shape = np.rint(2000 * np.exp(-np.abs(np.arange(60) - 12) / 12)).astype(int)
    curves = pl.DataFrame(
        [(STORM, hour, code, int(value)) for code in codes for hour, value in zip(hours, shape, strict=True)],
        schema=CURVES_SCHEMA,
        orient="row",
    )
    base: dict[str, Any] = {
        "id": STORM, "inicio": hours[0], "fin": hours[-1], "hora_punta": hours[12], "punta": 2000 * len(codes),
        "cliente_horas": 3_000_000, "comunas": len(codes), "regiones": "05,13", "horas_hasta_punta": 12, "horas_50": 9,
        "horas_90": 28, "horas_95": None, "salidas": 200_000, "reposiciones": 190_000, "reposicion_maxima": 22_000,
        "cobertura": 0.93, "abierta": False,
    }  # fmt: skip
    odd = base | {"id": OTHER_STORM, "inicio": hours[3], "fin": None, "abierta": True, "cliente_horas": None}
    storms = pl.DataFrame([base, odd], schema=STORMS_SCHEMA, orient="row").with_columns(
        nombre=pl.Series([None, EVIL]), nota=pl.Series([None, EVIL])
    )
    return storms, curves


def _payloads(months: list[date], known: pl.DataFrame, meta: dict[str, object]) -> dict[str, list[dict[str, Any]]]:
    coverage = [
        {
            "mes": f"{month}", "horas_esperadas": 744, "capturadas": 700, "vacias": 40, "fallidas": 4,
            "en_cuarentena": 0, "pendientes": 0, "cobertura": 700 / 744, "detalladas": 0, "agregadas": 700,
            "cargadas": 700, "filas": 90_000,
        }
        for month in months
    ]  # fmt: skip
    first, last = known["hora"].min(), known["hora"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    return {
        "meta": [
            {
                "ultima_hora": f"{last:%Y-%m-%dT%H:%M:%SZ}", "meses_con_empresa": [f"{months[0]}"],
                "denominadores": [
                    {"nombre_region": name, "universo": 400_000, "mes": f"{months[0]}", "antiguedad_meses": 5}
                    for name in ("MAULE", COUNTRY)
                ],
                "totales": {"horas_cargadas": known.height}, "version_metodo": "2", "version": "0.1.0",
                "origenes": [{"origen": "SEC", "horas": known.height}],
            }
            | meta
        ],
        "coverage": coverage,
        "company_ranking": [
            {
                "nombre_empresa": name, "total_eventos": 12, "total_clientes_afectados": n, "promedio_afectados": 1.5
            }
            for name, n in ((EVIL, 9000), ("CGE", 500))
        ],
        "investment_roi": [
            {
                "nombre_region": "MAULE", "clientes_afectados": 9, "total_inversión_mmu": 2.0, "efficiency_ratio": None,
                "maturity_note": EVIL,
            }
        ],
        "investment_validation": [
            {"project": EVIL, "year": 2020, "type": "Datos insuficientes", "delta": None, "context": "Sin controles."}
        ],
        "eda_projects_dist": [{"nombre_region": "MAULE", "count": 3}],
        "eda_quality_stats": [{"category": "Affected = 0 (Imputed)", "count": 0, "percentage": 0.0}],
        "quality": [{"mes": f"{months[0]}", "nombre_region": COUNTRY, "cobertura": 0.9, "estancado": None}],
        "sensitivity": [{"umbral": 50, "anho": 2024, "eventos": 3, "clientes": 9, "cliente_horas": 11}],
        "official_comparison": [
            {
                "anho": 2023, "nombre_region": "MAULE", "saidi_oficial": 12.0, "parcial": None, "verificado": True,
                "fuente": EVIL, "saidi": 10.0, "saidi_inf": 9.0, "saidi_sup": 12.0, "razon": 0.8333, "cobertura": 0.9,
            }
        ],
    }  # fmt: skip
