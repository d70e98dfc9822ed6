"""A Supabase project to publish to, and a small Gold to publish: what tests of publication share."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import polars as pl
import pytest
from supabase import Client, create_client

from sec_core.blobs.local import LocalBlobs
from sec_core.gold import local, parquet
from sec_core.gold.events_file import EVENTS_FILE
from sec_core.gold.frames import UTC_TIME
from sec_core.gold.payloads.meta import METHOD, MetaRow
from sec_core.gold.payloads.registry import PAYLOADS
from sec_core.gold.payloads.seen import TimeSeriesRow
from sec_core.gold.publish import PublishReport, publish
from support.fixtures import StandingClock
from support.postgrest import Project, executable, project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sec_core.config import Settings
    from sec_core.gold.model import PayloadRow

NEWEST = datetime(2024, 8, 31, 23, tzinfo=UTC)
NOW = NEWEST + timedelta(hours=3)


FixedClock = partial(StandingClock, NOW)


@pytest.fixture(scope="module")
def supabase_project(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    executable()
    with project(server_url, tmp_path_factory.mktemp("postgrest")) as running:
        yield running


@pytest.fixture
def supabase(supabase_project: Project) -> Iterator[Project]:
    """The project with empty tables."""
    supabase_project.sql("truncate dashboard_stats, estadisticas, interrupciones_recientes")
    supabase_project.requests.clear()
    yield supabase_project
    supabase_project.intercept = lambda _method, _path: None


@pytest.fixture
def gold_settings(supabase: Project, make_settings: Callable[..., Settings]) -> Callable[..., Settings]:
    def make(key: str | None = None) -> Settings:
        return make_settings(
            database_url=supabase.database_url,
            supabase_url=supabase.url,
            supabase_key=key or supabase.service_key,
            retries=2,
            timeout_s=30,
        )

    return make


def no_wait(_seconds: float) -> None:
    """Retries at once."""


def send(settings: Settings, *, force: Sequence[str] = (), other_source: bool = False) -> PublishReport:
    return publish(settings, FixedClock(), force=force, other_source=other_source, sleep=no_wait)


def write_gold(
    settings: Settings,
    *,
    months: int = 2,
    affected: int = 10,
    event_hours: tuple[int, ...] = (0, 5),
    rows: int = 1,
    origin: str = "SEC",
) -> None:
    """A small Gold: `months` months in `time_series`, and events that end that many hours before the newest hour."""
    series = [
        TimeSeriesRow(mes=date(2024, month, 1), nombre_region=f"REGION {row}", afectados=affected)
        for month in range(1, months + 1)
        for row in range(rows)
    ]
    meta = MetaRow.model_validate(
        {
            "generado": NOW,
            "primera_hora": NEWEST - timedelta(days=60),
            "ultima_hora": NEWEST,
            "formas": [],
            "meses_con_empresa": [],
            "umbrales": {
                "umbral_evento": 1,
                "horas_cierre": 1,
                "horas_sin_datos_max": 1,
                "horas_interpoladas_max": 12,
                "cobertura_minima": 0.95,
            },
            "denominadores": [],
            "totales": dict.fromkeys(
                ("eventos", "eventos_abiertos", "clientes_afectados", "horas_cargadas", "filas", "observaciones"), 0
            ),
            "mezcla": {"detalladas": 0, "agregadas": 0},
            "fuera_de_ventana": {"eventos": 0, "clientes": 0},
            "origen": origin,
            "origenes": [{"origen": origin, "horas": 744}],
            "version_metodo": METHOD,
            "version": "1",
            "fuente": "SEC",
            "fuente_url": "https://example.org",
            "cita": "SEC",
            "licencia": "none",
        }
    )
    payloads: dict[str, list[PayloadRow]] = {spec.id: [] for spec in PAYLOADS}
    payloads["time_series"] = [*series]
    payloads["meta"] = [meta]
    gold = LocalBlobs(settings.gold_dir)
    local.write_files(payloads, gold)
    parquet.write(make_events(event_hours), gold, EVENTS_FILE, parquet.EVENTS, "Events")


def make_events(hours_before: tuple[int, ...]) -> pl.DataFrame:
    last = [NEWEST - timedelta(hours=hours) for hours in hours_before]
    count = len(last)
    times = dict.fromkeys(("inicio", "hora_maximo", "primera_hora", "ultima_hora"), last)
    numbers = {name: [7] * count for name in ("clientes_afectados", "clientes_afectados_crudo", "cliente_horas")}
    texts = {
        name: ["07"] * count
        for name in ("codigo_region", "codigo_comuna", "nombre_region", "nombre_comuna", "nombre_empresa")
    }
    return pl.DataFrame(
        {
            "hash_id": [f"00000000-0000-0000-0000-{hours:012d}" for hours in hours_before],
            "forma": ["detailed"] * count,
            "id_tiempo": [2024083100] * count,
            "fin": [hour + timedelta(hours=1) for hour in last],
            "n_observaciones": [1] * count,
            "imputaciones": [0] * count,
            "topado": [False] * count,
            "meses_denominador": [None] * count,
            "censurado": [None] * count,
            "horas_sin_datos": [0] * count,
            **times,
            **numbers,
            **texts,
        },
        schema_overrides={
            "meses_denominador": pl.Int16,
            "censurado": pl.String,
            "fin": UTC_TIME,
            **dict.fromkeys(times, UTC_TIME),
        },
    )


def client(supabase: Project, key: str) -> Client:
    return create_client(supabase.url, key)


def stored(supabase: Project) -> list[tuple[object, ...]]:
    return supabase.sql(
        "select id, data::text, updated_at from dashboard_stats"
        " union all select id, data::text, updated_at from estadisticas order by id"
    )
