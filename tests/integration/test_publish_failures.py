"""Publication when it can't go as it should: wrong keys, a missing table, a server that fails or dies in the middle."""

import asyncio
import socket
import time
from collections.abc import Callable
from datetime import datetime

import pytest
from support.postgrest import Project, token
from support.publication import send, stored, write_gold

from sec_core.clock import SystemClock
from sec_core.config import Settings
from sec_core.errors import PublicationError, PublicationUnavailable, SecError
from sec_core.gold import supabase as adapter
from sec_core.gold.publish import publish
from sec_core.gold.supabase import SupabaseStore
from sec_core.health.facts import find_facts


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (token("service_role", secret="another-secret-0123456789-0123456789"), "does not accept the key"),
        ("no.jwt.at-all", "does not accept the key"),
        (token("nobody"), "refuse"),
        (token("anon"), "policies refuse this key"),
    ],
)
def test_a_wrong_key_is_a_clear_error(
    supabase: Project, gold_settings: Callable[..., Settings], key: str, message: str
) -> None:
    settings = gold_settings(key)
    write_gold(settings)
    with pytest.raises(PublicationError, match=message) as refused:
        send(settings)
    assert not refused.value.transient
    assert "SUPABASE_KEY" in refused.value.next_step or "schema.sql" in refused.value.next_step
    assert stored(supabase) == []


def test_a_missing_table_is_a_clear_error(supabase: Project, settings: Settings) -> None:
    supabase.sql("alter table dashboard_stats rename to hidden")
    try:
        with pytest.raises(PublicationError, match=r"missing in Supabase.*schema\.sql"):
            send(settings)
    finally:
        supabase.sql("alter table hidden rename to dashboard_stats")


def test_a_server_that_recovers_is_asked_again(supabase: Project, settings: Settings) -> None:
    answers = iter([503, 502])
    supabase.intercept = lambda method, _path: next(answers, None) if method == "POST" else None
    assert send(settings).published
    posts = [path for method, path in supabase.requests if method == "POST" and "publicar" in path]
    assert len(posts) == 3


def test_a_server_that_dies_in_the_middle_leaves_the_earlier_publication(supabase: Project, settings: Settings) -> None:
    write_gold(settings, affected=1)
    send(settings)
    before = stored(supabase)
    write_gold(settings, affected=2)

    def die(method: str, _path: str) -> int | None:
        if method == "POST":
            supabase.stop_server()
        return None

    supabase.intercept = die
    with pytest.raises(PublicationUnavailable, match="did not answer") as failed:
        send(settings)
    assert failed.value.transient
    assert stored(supabase) == before
    supabase.intercept = lambda _method, _path: None
    supabase.start_server()
    assert send(settings).published
    assert stored(supabase) != before


def test_the_address_of_the_api_is_the_projects(
    supabase: Project, gold_settings: Callable[..., Settings], make_settings: Callable[..., Settings]
) -> None:
    for path in ("/rest/v1", "/rest/v1/", "/"):
        settings = make_settings(
            database_url=supabase.database_url, supabase_url=supabase.url + path, supabase_key=supabase.service_key
        )
        assert SupabaseStore(settings).payloads() == {}
        assert settings.supabase_url == gold_settings().supabase_url


def test_supabase_itself_says_when_it_was_published(
    supabase: Project, gold_settings: Callable[..., Settings], make_settings: Callable[..., Settings]
) -> None:
    # The pipeline's database knows of no publication at all.
    settings = make_settings(
        supabase_url=supabase.url, supabase_key=supabase.service_key, base_url="http://127.0.0.1:1/", retries=0
    )

    def told() -> tuple[bool, str]:
        facts = asyncio.run(find_facts(settings, SystemClock(), monitored=False))
        published = facts.supabase
        return isinstance(published, datetime), published.message if isinstance(published, SecError) else ""

    assert told() == (False, "")
    project = gold_settings()
    write_gold(project)
    send(project)
    assert told() == (True, "")
    supabase.intercept = lambda _method, _path: 540
    assert told() == (False, "Supabase answered 540 (read dashboard_stats).")


@pytest.mark.parametrize("retries", [0, 2, 20])
def test_a_dead_host_is_given_up_in_time(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, retries: int
) -> None:
    # It takes connections and never answers; the limits are a twentieth of the real ones.
    monkeypatch.setattr(adapter, "_ANSWER_S", 1.25)
    monkeypatch.setattr(adapter, "_PATIENCE_S", 1.25)
    with socket.create_server(("127.0.0.1", 0)) as dead:
        settings = make_settings(
            supabase_url=f"http://127.0.0.1:{dead.getsockname()[1]}", supabase_key="a.b.c", retries=retries
        )
        write_gold(settings)
        waits: list[float] = []
        began = time.monotonic()
        with pytest.raises(PublicationUnavailable, match="did not answer"):
            publish(settings, SystemClock(), sleep=waits.append)
        assert time.monotonic() - began < 6
        assert len(waits) <= min(retries, 1)


def test_a_host_that_refuses_is_tried_as_often_as_the_setting_says(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(supabase_url="http://127.0.0.1:1", supabase_key="a.b.c", retries=3)
    write_gold(settings)
    waits: list[float] = []
    with pytest.raises(PublicationUnavailable, match="did not answer"):
        publish(settings, SystemClock(), sleep=waits.append)
    assert waits == [1, 2, 4]
