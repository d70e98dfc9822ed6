"""A Supabase project to publish to, and a small Gold to publish: what tests of publication share."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial

import polars as pl
import pytest
from supabase import Client, create_client

from sec_core.blobs.local import LocalBlobs
from sec_core.config import Settings
from sec_core.gold import parquet
from sec_core.gold.build import write_payloads
from sec_core.gold.frames import UTC_TIME
from sec_core.gold.model import PayloadRow, as_json
from sec_core.gold.payloads.basis import METHOD, MetaRow, Outside, ShapeMix, Thresholds, Totals
from sec_core.gold.payloads.registry import PAYLOADS
from sec_core.gold.payloads.seen import TimeSeriesRow
from sec_core.gold.publish import PublishReport, publish
from sec_core.gold.standing import EVENTS_FILE
from support.fixtures import StandingClock, on_disk
from support.postgrest import Project, executable, project

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


@pytest.fixture
def settings(gold_settings: Callable[..., Settings]) -> Settings:
    """Settings of the project, and a small Gold to publish."""
    made = gold_settings()
    write_gold(made)
    return made


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
            "umbrales": dict.fromkeys(Thresholds.model_fields, 1),
            "denominadores": [],
            "totales": dict.fromkeys(Totals.model_fields, 0),
            "mezcla": dict.fromkeys(ShapeMix.model_fields, 0),
            "fuera_de_ventana": dict.fromkeys(Outside.model_fields, 0),
            "origen": origin,
            "origenes": [{"origen": origin, "horas": 744}],
            "version_metodo": METHOD,
            **dict.fromkeys(("version", "fuente", "fuente_url", "cita", "licencia"), "x"),
        }
    )
    payloads: dict[str, list[PayloadRow]] = {spec.id: [] for spec in PAYLOADS}
    payloads["time_series"] = [*series]
    payloads["meta"] = [meta]
    gold = LocalBlobs(on_disk(settings.gold))
    write_payloads({name: as_json(rows) for name, rows in payloads.items()}, gold)
    parquet.write(make_events(event_hours), gold, EVENTS_FILE, parquet.EVENTS, "Events")


def make_events(hours_before: tuple[int, ...]) -> pl.DataFrame:
    last = pl.Series("ultima_hora", [NEWEST - timedelta(hours=hours) for hours in hours_before], UTC_TIME)
    texts = ("codigo_region", "codigo_comuna", "nombre_region", "nombre_comuna", "nombre_empresa")
    numbers = ("clientes_afectados", "clientes_afectados_crudo", "cliente_horas")
    return pl.DataFrame({"hash_id": [f"00000000-0000-0000-0000-{hours:012d}" for hours in hours_before]}).with_columns(
        last,
        *(last.alias(name) for name in ("inicio", "hora_maximo", "primera_hora")),
        *(pl.lit("07").alias(name) for name in texts),
        *(pl.lit(7, pl.Int64).alias(name) for name in numbers),
        fin=last.dt.offset_by("1h"),
        forma=pl.lit("detailed"),
        id_tiempo=pl.lit(2024083100, pl.Int64),
        n_observaciones=pl.lit(1, pl.Int64),
        imputaciones=pl.lit(0, pl.Int64),
        topado=pl.lit(value=False),
        meses_denominador=pl.lit(None, pl.Int16),
        censurado=pl.lit(None, pl.String),
        horas_sin_datos=pl.lit(0, pl.Int64),
    )


def client(supabase: Project, key: str) -> Client:
    return create_client(supabase.url, key)


def stored(supabase: Project) -> list[tuple[object, ...]]:
    return supabase.sql(
        "select id, data::text, updated_at from dashboard_stats"
        " union all select id, data::text, updated_at from estadisticas order by id"
    )
