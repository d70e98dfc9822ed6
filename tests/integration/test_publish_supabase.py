"""Publication against PostgREST itself, with JWT roles and row-level security, through supabase-py."""

import io
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from loguru import logger
from postgrest.exceptions import APIError
from support.fixtures import StandingClock, on_disk
from support.postgrest import SCHEMA, Project, token
from support.publication import NOW, FixedClock, client, make_events, no_wait, send, stored, write_gold

from sec_core.config import Settings
from sec_core.errors import InputError, PublicationError, PublicationUnavailable
from sec_core.gold.payloads.registry import PAYLOADS
from sec_core.gold.publish import publish


def test_a_publication_is_one_upsert_that_anybody_can_read(supabase: Project, settings: Settings) -> None:
    report = send(settings)
    assert report.published
    assert (report.payloads["time_series"], report.events, report.events_written) == (2, 2, 2)
    assert [path.partition("?")[0] for method, path in supabase.requests if method == "POST"] == [
        "/rest/v1/rpc/publicar",
        "/rest/v1/interrupciones_recientes",
    ]
    anon = client(supabase, supabase.anon_key)
    rows: list[Any] = anon.table("dashboard_stats").select("*").execute().data
    assert {row["id"] for row in rows} == {
        "time_series",
        "company_ranking",
        "investment_roi",
        "eda_projects_dist",
        "market_map",
        "investment_validation",
        "eda_quality_stats",
        "meta",
    }
    others: list[Any] = anon.table("estadisticas").select("*").execute().data
    assert {row["id"] for row in [*rows, *others]} == {spec.id for spec in PAYLOADS}
    assert {row["updated_at"] for row in others} == {row["updated_at"] for row in rows}
    assert len({row["updated_at"] for row in rows}) == 1
    assert next(row["data"] for row in rows if row["id"] == "time_series")[0] == {
        "mes": "2024-01-01",
        "nombre_region": "REGION 0",
        "afectados": 10,
    }
    by_region: list[Any] = anon.table("v_recientes_por_region").select("*").execute().data
    assert [(row["nombre_region"], row["eventos"], row["clientes_afectados"]) for row in by_region] == [("07", 2, 14)]
    by_hour: list[Any] = anon.table("v_recientes_por_hora").select("*").order("hora").execute().data
    assert [(row["hora"][:13], row["eventos_vivos"]) for row in by_hour] == [("2024-08-31T18", 1), ("2024-08-31T23", 1)]


@pytest.mark.parametrize("table", ["dashboard_stats", "estadisticas", "interrupciones_recientes"])
@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_the_public_may_not_write(supabase: Project, settings: Settings, role: str, table: str) -> None:
    send(settings)
    before = supabase.sql(f"select * from {table} order by 1")
    outsider = client(supabase, token(role)).table(table)
    key = "hash_id" if table == "interrupciones_recientes" else "id"
    with pytest.raises(APIError) as refused:
        client(supabase, token(role)).rpc("publicar", {"panel": {}, "otras": {}, "publicado": "2024-01-01"}).execute()
    assert refused.value.code == "42501"
    for attempt in (
        outsider.upsert({"id": "x", "data": []} if key == "id" else {"hash_id": str(before[0][0])}),
        outsider.update({"imputaciones": 1} if key == "hash_id" else {"data": []}).neq(key, str(before[0][0])),
        outsider.delete().neq(key, "00000000-0000-0000-0000-00000000ffff"),
    ):
        with pytest.raises(APIError) as refused:
            attempt.execute()
        assert refused.value.code == "42501"
    assert supabase.sql(f"select * from {table} order by 1") == before


def test_what_was_the_dashboards_before_moves(supabase: Project, settings: Settings) -> None:
    supabase.sql("insert into dashboard_stats (id, data) values ('reliability', '[]'), ('another', '[]')")
    send(settings)
    ids = {row[0] for row in supabase.sql("select id from dashboard_stats")}
    assert "another" in ids
    assert "reliability" not in ids


def test_projects_stay_published_while_no_list_was_imported(supabase: Project, settings: Settings) -> None:
    projects = '[{"nombre_region": "MAULE", "count": 3}]'
    supabase.sql(f"insert into dashboard_stats (id, data) values ('eda_projects_dist', '{projects}')")
    assert "eda_projects_dist" not in send(settings).payloads
    kept = supabase.sql("select data from dashboard_stats where id = 'eda_projects_dist'")
    assert kept == [([{"nombre_region": "MAULE", "count": 3}],)]


def test_a_second_publication_changes_only_what_differs(supabase: Project, settings: Settings) -> None:
    send(settings)
    write_gold(settings, event_hours=(0, 2))
    report = send(settings)
    # The event of five hours before is gone from Silver: a revision replaced it.
    assert (report.events_written, report.events_deleted, report.events) == (1, 1, 2)
    assert len(supabase.sql("select hash_id from interrupciones_recientes")) == 2


def test_events_that_slid_out_stay_until_the_archive_has_them(supabase: Project, settings: Settings) -> None:
    write_gold(settings, event_hours=(0, 719, 720, 900))
    assert send(settings).events == 2
    old = make_events((900, 901))
    for key, hour in old.select("hash_id", "ultima_hora").rows():
        supabase.sql(
            f"insert into interrupciones_recientes select '{key}', forma, codigo_region, nombre_region, codigo_comuna,"
            f" nombre_comuna, nombre_empresa, '{hour}', '{hour}', 1, 1, '{hour}', '{hour}', '{hour}', 1, 0, false"
            " from interrupciones_recientes limit 1"
        )
    report = send(settings)
    assert (report.events_deleted, report.events_unarchived) == (1, 1)
    kept = {str(row[0])[-4:] for row in supabase.sql("select hash_id from interrupciones_recientes")}
    assert kept == {"0000", "0719", "0901"}


def test_a_publication_that_loses_rows_stops_unless_forced(supabase: Project, settings: Settings) -> None:
    write_gold(settings, months=5)
    send(settings)
    before = stored(supabase)
    write_gold(settings, months=3)
    with pytest.raises(PublicationError, match=r"time_series would fall from 5 rows to 3.*newest month 2024-05"):
        send(settings)
    assert stored(supabase) == before
    with pytest.raises(PublicationError, match=r"sec publish --force time_series"):
        send(settings, force=["market_map"])
    with pytest.raises(InputError, match=r"no payload time_serie to force"):
        send(settings, force=["time_serie"])
    assert stored(supabase) == before
    report = send(settings, force=["time_series"])
    assert report.forced == (
        "time_series would fall from 5 rows to 3. time_series would lose its newest month 2024-05.",
    )
    assert stored(supabase) != before


def test_what_is_not_the_secs_is_published_only_if_that_is_meant(supabase: Project, settings: Settings) -> None:
    write_gold(settings, origin="SIMULACIÓN")
    with pytest.raises(PublicationError, match=r"not the SEC's \(744 hours SIMULACIÓN\).*--other-source"):
        send(settings)
    assert supabase.requests == []
    assert send(settings, other_source=True).published
    write_gold(settings, origin="desconocido")
    assert send(settings).published


def test_gold_that_is_invalid_or_missing_is_not_published(
    supabase: Project, gold_settings: Callable[..., Settings]
) -> None:
    settings = gold_settings()
    with pytest.raises(PublicationError, match=r"sec gold"):
        send(settings)
    write_gold(settings)
    path = on_disk(settings.gold) / "dashboard_stats" / "time_series.json"
    path.write_bytes(b'[{"mes": "2024-01-01", "nombre_region": "MAULE", "afectados": -1}]')
    with pytest.raises(PublicationError, match=r"time_series\.json is not valid"):
        send(settings)
    assert supabase.requests == []


def test_a_large_payload_goes_through_whole(supabase: Project, settings: Settings) -> None:
    write_gold(settings, months=10, rows=5000)
    assert send(settings).payloads["time_series"] == 50_000
    assert supabase.sql("select jsonb_array_length(data) from dashboard_stats where id = 'time_series'") == [(50_000,)]


def test_readers_never_see_a_mixed_publication(supabase: Project, settings: Settings) -> None:
    write_gold(settings, affected=0)
    send(settings)
    mixed: list[object] = []
    seen: set[int] = set()
    done = threading.Event()

    def read() -> None:
        anon = client(supabase, supabase.anon_key)
        while not done.is_set():
            rows: list[Any] = anon.table("dashboard_stats").select("id,data,updated_at").execute().data
            if len({row["updated_at"] for row in rows}) != 1:
                mixed.append(rows)
            seen.add(next(row["data"] for row in rows if row["id"] == "time_series")[0]["afectados"])

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()

    for turn in range(1, 4):
        write_gold(settings, affected=turn)
        publish(settings, StandingClock(NOW + timedelta(minutes=turn)), sleep=no_wait)
    done.set()
    for reader in readers:
        reader.join()
    assert mixed == []
    assert len(seen) > 1


def test_the_key_reaches_no_log_and_no_error(
    supabase: Project, gold_settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    key = supabase.service_key
    written = io.StringIO()
    sink = logger.add(written, level=0, backtrace=True, diagnose=True)
    caplog.set_level(logging.DEBUG)
    try:
        settings = gold_settings(key)
        write_gold(settings)
        report = send(settings)
        supabase.intercept = lambda _method, _path: 500
        with pytest.raises(PublicationUnavailable) as failed:
            send(settings)
    finally:
        logger.remove(sink)
    chain = [failed.value, failed.value.__cause__, failed.value.__context__]
    texts = [written.getvalue(), caplog.text, repr(settings), repr(report), *map(repr, chain), *map(str, chain)]
    assert "Next try" in written.getvalue()
    assert all(key not in text for text in texts)


def test_without_settings_nothing_is_published_and_one_line_says_so(make_settings: Callable[..., Settings]) -> None:
    report = publish(make_settings(database_url="postgresql://unused/x"), FixedClock())
    assert not report.published
    assert "locally only" in report.line()
    assert "\n" not in report.line()


def test_the_schema_applied_again_changes_nothing(supabase: Project) -> None:
    catalogue = """
        select 'relation', c.relname, c.oid::text, c.relacl::text, c.relrowsecurity::text, c.reloptions::text
        from pg_class c where c.relnamespace = 'public'::regnamespace
        union all select 'policy', polname, oid::text, polroles::text, polcmd::text, polrelid::text from pg_policy
        union all select 'comment', description, objoid::text, objsubid::text, '', '' from pg_description
        where classoid = 'pg_class'::regclass
        union all select 'column', attname, attrelid::text, atttypid::text, attnotnull::text, '' from pg_attribute
        where attnum > 0 order by 1, 2, 3, 4
    """
    before = supabase.sql(catalogue)
    with psycopg.connect(supabase.database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.read_bytes())
    assert supabase.sql(catalogue) == before


LEFTOVERS = """
    create policy "Enable insert for all" on public.dashboard_stats for insert to public with check (true);
    create policy "anyone" on public.estadisticas for all to anon using (true) with check (true);
    drop policy "public read" on public.interrupciones_recientes;
    create policy "public read" on public.interrupciones_recientes for all to anon using (true) with check (true);
    grant update (data) on public.dashboard_stats to anon;
    grant insert (id, data) on public.estadisticas to authenticated;
    grant all on all tables in schema public to public, anon, authenticated;
    grant execute on function public.publicar(jsonb, jsonb, timestamptz) to public;
    create role someone; grant insert on public.dashboard_stats to someone with grant option;
"""


@pytest.mark.parametrize("granted_later", [False, True])
def test_what_an_older_project_left_lets_nobody_write(
    supabase: Project, settings: Settings, *, granted_later: bool
) -> None:
    with psycopg.connect(supabase.database_url, autocommit=True) as connection:
        connection.execute(LEFTOVERS)
        connection.execute(SCHEMA.read_bytes())
        if granted_later:
            connection.execute("grant all on all tables in schema public to anon, authenticated")
    send(settings)
    for table, row in (
        ("dashboard_stats", {"id": "market_map", "data": []}),
        ("estadisticas", {"id": "reliability", "data": []}),
        ("interrupciones_recientes", {"imputaciones": 1}),
    ):
        before = supabase.sql(f"select * from {table} order by 1")
        assert before
        for role in ("anon", "authenticated"):
            outsider = client(supabase, token(role)).table(table)
            attempts = [outsider.update(row).neq("updated_at" if "id" in row else "forma", "2000-01-01")]
            attempts += [outsider.upsert(row)] if "id" in row else []
            for attempt in attempts:
                with suppress(APIError):
                    attempt.execute()
            with suppress(APIError):
                outsider.delete().neq("updated_at" if "id" in row else "forma", "2000-01-01").execute()
        assert supabase.sql(f"select * from {table} order by 1") == before
        assert client(supabase, supabase.anon_key).table(table).select("*").execute().data
    grants = supabase.sql(
        "select grantee, privilege_type from information_schema.column_privileges where table_schema = 'public'"
        " and table_name = 'dashboard_stats' and grantee in ('PUBLIC', 'someone') group by 1, 2"
    )
    supabase.sql("drop owned by someone; drop role someone; select 1")
    assert grants == []
