"""What an installation holds, table by table, in a form that versions can be compared by. Needs nothing of ours."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import psycopg

_OBSERVATIONS = "hora, id_geografia, id_empresa, fecha_inicio, clientes_afectados, n_filas, imputaciones"
# Tables and the columns that every version must keep.
TABLES = {
    "fact_interrupciones": "hash_id, forma, id_geografia, id_empresa, id_tiempo, inicio, fin, clientes_afectados,"
    " clientes_afectados_crudo, hora_maximo, cliente_horas, n_observaciones, imputaciones, topado, primera_hora,"
    " ultima_hora",
    "cargas": "hora, forma, capturado_en, sha256, n_filas, n_observaciones, clientes",
    "calidad_imputacion": "mes, regla, filas, total",
    "nombres_no_resueltos": "hora, tipo, nombre_region, nombre, n_filas",
    "clientes_regionales": "mes, codigo_region, clientes, clientes_estimados, periodo_star, capturado_en",
    "proyectos_seia": "nombre, codigo_region, tipo_proyecto, inversion_mmu, fecha_calificacion, categoria",
    "capturas": "hora, estado, forma, capturado_en, sha256, bytes, n_filas, clientes, n_revisiones, intentos,"
    " primera_consulta, ultima_consulta, vacio_desde, fallos_seguidos, codigo_error, sospechosa, total_nacional",
    "revisiones": "hora, capturado_en, resultado, forma, origen, clave, sha256, bytes, n_filas, clientes",
}


def state_of(database_url: str, data_dir: Path) -> dict[str, dict[str, Any]]:
    """Count and digest of the rows of each table, and of the observations wherever they are."""
    with psycopg.connect(database_url) as connection:
        state = {
            table: _summary(connection.execute(f"select {columns} from {table}")) for table, columns in TABLES.items()
        }
        rows = set(connection.execute(f"select {_OBSERVATIONS} from fact_observaciones"))
    for path in sorted((data_dir / "archive").rglob("*.parquet")):
        rows |= set(pl.read_parquet(path).select(_OBSERVATIONS.split(", ")).iter_rows())
    state["observaciones"] = _summary(rows) | {"customer_hours": sum(row[4] for row in rows)}
    return state


def _summary(rows: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    lines = sorted("|".join(map(_text, row)) for row in rows)
    return {"rows": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def _text(value: object) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
