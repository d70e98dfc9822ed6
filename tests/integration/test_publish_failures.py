"""Publication when it can't go as it should: wrong keys, a missing table, a server that fails or dies in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.postgrest import Project, token
from support.publication import send, stored, write_gold

from sec_core.errors import PublicationError, PublicationUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sec_core.config import Settings


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


def test_a_missing_table_is_a_clear_error(supabase: Project, gold_settings: Callable[..., Settings]) -> None:
    settings = gold_settings()
    write_gold(settings)
    supabase.sql("alter table dashboard_stats rename to hidden")
    try:
        with pytest.raises(PublicationError, match=r"missing in Supabase.*schema\.sql"):
            send(settings)
    finally:
        supabase.sql("alter table hidden rename to dashboard_stats")


def test_a_server_that_recovers_is_asked_again(supabase: Project, gold_settings: Callable[..., Settings]) -> None:
    settings = gold_settings()
    write_gold(settings)
    answers = iter([503, 502])
    supabase.intercept = lambda method, _path: next(answers, None) if method == "POST" else None
    assert send(settings).published
    posts = [path for method, path in supabase.requests if method == "POST" and "publicar" in path]
    assert len(posts) == 3


def test_a_server_that_dies_in_the_middle_leaves_the_earlier_publication(
    supabase: Project, gold_settings: Callable[..., Settings]
) -> None:
    settings = gold_settings()
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
