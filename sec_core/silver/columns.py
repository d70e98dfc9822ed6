"""The columns of Silver: one type for each name, in whatever table or frame it stands."""

from collections.abc import Mapping
from typing import Final

import polars as pl

HORA: Final = pl.Datetime("us", "UTC")
_NAMES: Final[dict[pl.DataType, str]] = {
    HORA: "hora inicio fin hora_maximo primera_hora ultima_hora capturado_en",
    pl.Date(): "mes fecha_inicio",
    pl.String(): "forma sha256 tipo nombre_region nombre codigo_region periodo_star censurado",
    pl.Binary(): "hash_id",
    pl.Boolean(): "topado",
    pl.Int16(): "id_geografia id_empresa imputaciones previo_imputaciones meses_denominador",
    pl.Int32(): "id_tiempo n_filas n_observaciones previo_n_observaciones horas_sin_datos filas_clientes "
    "filas_geografia filas_empresa filas_fecha",
    pl.Int64(): "clientes clientes_estimados clientes_afectados clientes_afectados_crudo cliente_horas "
    "previo_cliente_horas maximo indice orden racha",
}
_TYPES: Final = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def typed(*names: str) -> dict[str, pl.DataType]:
    """Columns in this order, with their types; a text may name several."""
    return {name: _TYPES[name] for text in names for name in text.split()}


def conform(frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The frame with exactly the columns and types of a schema."""
    if frame.schema == schema:
        return frame
    return frame.select(pl.col(name).cast(kind) for name, kind in schema.items())
