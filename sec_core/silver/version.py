"""Silver's version: a cheap witness of every write to it, so that what was made from it need not be made again."""

from sqlalchemy import text

from sec_core.db.database import Database

# Tables whose rows are written only where something changed. Each load of an hour writes its row of `cargas`.
_WRITTEN = (
    "cargas", "fact_interrupciones", "calidad_imputacion", "clientes_regionales", "facturacion_comunal",
    "proyectos_seia", "reglas", "archivo", "dim_geografia", "dim_empresa",
)  # fmt: skip

# Transaction numbers only grow: of equally many rows the sum is the same only if no row was written.
_COUNTS = " union all ".join(
    f"select count(*), sum(xmin::text::bigint)::text as written from {name}" for name in _WRITTEN
)
# Asking an hour again writes its row though its state stays, so here the content counts.
_VERSION = text(f"""
    with witness as (
        {_COUNTS} union all
        select count(*), sum(hashtextextended(concat_ws(' ', hora, estado, forma, n_filas, n_revisiones, sospechosa,
            total_nacional, diferencia_nacional, anfitrion, fuente), 0))::text from capturas
    )
    select string_agg(concat_ws(' ', count, written), ';') from witness
""")


def silver_version(database: Database) -> str:
    """A text that differs whenever the database holds other events, hours, customers, projects or rules than before.

    Raises:
        DatabaseUnavailable: The database can't be reached.
    """
    with database.engine.connect() as connection:
        return str(connection.execute(_VERSION).scalar_one())
