"""What stops a publication, and what changes in the table of recent events."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sec_core.blobs.local import LocalBlobs
from sec_core.errors import PublicationError
from sec_core.gold.publish import losses, lost_events, mending, plan_events, without_seia
from sec_core.gold.standing import EVENTS_FILE
from sec_core.gold.supabase import EVENT_COLUMNS, EVENTS

NEWEST = datetime(2024, 8, 31, 23, tzinfo=UTC)


def rows(count: int, month: str = "2024-08-01") -> list[dict[str, str]]:
    return [{"mes": month}] * count


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (rows(10), rows(8), []),
        (rows(10), rows(7), ["x would fall from 10 rows to 7."]),
        (rows(10), [], ["x would fall from 10 rows to 0.", "x would lose its newest month 2024-08."]),
        (rows(5), rows(5, "2024-07-01"), ["x would lose its newest month 2024-08."]),
        (rows(5), rows(5, "2024-09-01"), []),
        ([{"id": 1}], [{"id": 2}], []),
        ([], rows(3), []),
        ([{"formas": rows(2)}], [{"formas": rows(2, "2024-07-01")}], ["x would lose its newest month 2024-08."]),
    ],
)
def test_losses(before: list[Any], after: list[Any], lost: list[str]) -> None:
    assert losses({"x": before}, {"x": after}) == ({"x": " ".join(lost)} if lost else {})


def test_payloads_that_are_not_replaced_are_not_judged() -> None:
    assert losses({"other": rows(5)}, {"x": []}) == {}


def test_projects_that_were_never_imported_stay_as_they_are_published() -> None:
    new: dict[str, list[Any]] = {"eda_projects_dist": [], "investment_roi": [], "x": []}
    assert without_seia({}, new) == new
    assert without_seia({"investment_roi": rows(3), "x": rows(1)}, new) == {"eda_projects_dist": [], "x": []}
    listed = {**new, "eda_projects_dist": rows(1)}
    assert without_seia({"investment_roi": rows(3)}, listed) == listed


def test_the_message_names_what_mends() -> None:
    old: list[Any] = [{"formas": []}]
    new: list[Any] = [{"version_metodo": "2"}]
    seia = mending(["investment_roi"], {"meta": new}, {"meta": new})
    assert "sec seia" in seia
    assert "sec status" not in seia
    both = mending(["time_series"], {"meta": old}, {"meta": new})
    assert "sec status" in both
    assert "from version 1 to 2" in both


def event(key: str, last: datetime, customers: int = 10, *, is_open: bool = False) -> dict[str, Any]:
    texts = dict.fromkeys(EVENT_COLUMNS, "x")
    numbers = dict.fromkeys(("clientes_afectados", "cliente_horas", "n_observaciones", "imputaciones"), customers)
    times = dict.fromkeys(("inicio", "hora_maximo", "primera_hora", "ultima_hora"), last)
    own = {"hash_id": key, "fin": None if is_open else last + timedelta(hours=1), "topado": False}
    return texts | numbers | times | own


def archive(folder: Path, *events: dict[str, Any]) -> LocalBlobs:
    path = folder / EVENTS_FILE
    schema = {"fin": pl.Datetime("us", "UTC")}
    pl.DataFrame([event("unused", datetime(2017, 1, 1, tzinfo=UTC)), *events], schema_overrides=schema).write_parquet(
        path
    )
    return LocalBlobs(folder)


def published(*events: dict[str, Any]) -> list[dict[str, Any]]:
    """Events as the REST API answers them."""
    return [
        {key: value.isoformat() if isinstance(value, datetime) else value for key, value in one.items()}
        for one in events
    ]


def test_the_window_holds_what_was_alive_in_its_720_hours(tmp_path: Path) -> None:
    first = NEWEST - timedelta(hours=719)
    inside = [event("a", NEWEST, is_open=True), event("b", first)]
    inside.append(event("old", first - timedelta(days=9), is_open=True))
    outside = event("c", first - timedelta(hours=1))
    found = plan_events(archive(tmp_path, *inside, outside), NEWEST, [])
    assert {row["hash_id"] for row in found.write} == {"a", "b", "old"}
    assert (found.rows, found.delete) == (3, [])


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    same, grown = event("a", NEWEST), event("b", NEWEST, 20)
    found = plan_events(archive(tmp_path, same, grown), NEWEST, published(same, event("b", NEWEST, 10)))
    assert [(row["hash_id"], row["clientes_afectados"]) for row in found.write] == [("b", 20)]
    assert found.delete == []


def test_what_slid_out_goes_only_if_the_archive_has_it(tmp_path: Path) -> None:
    long_ago = NEWEST - timedelta(days=40)
    archived, missing = event("a", long_ago), event("m", long_ago)
    longer = event("l", long_ago + timedelta(hours=5))
    held = archive(tmp_path, archived, event("l", long_ago))
    found = plan_events(held, NEWEST, published(archived, missing, longer))
    assert found.delete == ["a"]
    assert found.unarchived == 2


def test_an_event_that_a_revision_replaced_is_deleted(tmp_path: Path) -> None:
    found = plan_events(archive(tmp_path, event("new", NEWEST)), NEWEST, published(event("gone", NEWEST)))
    assert (found.delete, found.unarchived) == (["gone"], 0)


def test_events_after_the_newest_loaded_hour_would_be_lost() -> None:
    held = published(event("a", NEWEST))
    assert lost_events([], None) == lost_events(held, "2024-08-31T23:00:00Z") == {}
    for newest, said in (("2024-08-31T22:00:00Z", "2024-08-31T22:00:00Z"), (None, "none")):
        text = f"{EVENTS} reaches 2024-08-31T23:00:00Z, but the newest loaded hour is {said}."
        assert lost_events(held, newest) == {EVENTS: text}


def test_without_an_archive_nothing_is_planned(tmp_path: Path) -> None:
    with pytest.raises(PublicationError, match="can't be read"):
        plan_events(LocalBlobs(tmp_path), NEWEST, [])
