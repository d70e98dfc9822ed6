"""`prefect.yaml`: every deployment points at a flow, runs when it should, and refuses bad parameters."""

import inspect
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
from prefect.server.schemas.schedules import CronSchedule
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import validate

from deployments.stack.api import QUEUES, WORK_POOL
from deployments.stack.processes import VIEWS
from flows import months as month_flows
from sec_core.hours import CHILE
from sec_core.usecases import months
from tasks.limits import OVERVIEW

FILE = Path(__file__).resolve().parents[2] / "prefect.yaml"
DEPLOYMENTS: dict[str, dict[str, Any]] = {
    deployment["name"]: deployment for deployment in yaml.safe_load(FILE.read_text(encoding="utf-8"))["deployments"]
}
CONTRACT = {
    "monthly-sync", "rerun-month", "backfill", "monitor", "regional-customers", "maintenance", "health", "gold", "seia",
    "site", "customers", "explain", "release",
}  # fmt: skip


def test_the_contracts_deployments_are_there() -> None:
    assert set(DEPLOYMENTS) >= CONTRACT


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_deployment_points_at_its_flow_and_explains_itself(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    flow: Flow[..., Any] = load_flow_from_entrypoint(deployment["entrypoint"])
    assert flow.name == name
    assert len(deployment["description"]) > 60
    assert "sec" in deployment["tags"]
    assert len(VIEWS.keys() & set(deployment["tags"])) == 1
    assert deployment["description"].endswith(f"(/artifacts/key/{OVERVIEW}).*")
    schema = parameter_schema(flow).model_dump()
    assert all(field.get("description") for field in schema["properties"].values())
    pool = deployment["work_pool"]
    assert pool == {"name": WORK_POOL, "work_queue_name": pool["work_queue_name"]}, "nothing changes what a run runs"
    assert pool["work_queue_name"] in QUEUES
    assert ("scheduled" in deployment["tags"]) == bool(deployment.get("schedules"))
    # Two at once would ask the source twice; rerun-month is shared by workers, and explain asks nothing.
    limit = deployment["concurrency_limit"]
    assert limit["limit"] == {"rerun-month": 4, "explain": 2}.get(name, 1)
    assert limit["collision_strategy"] in {"CANCEL_NEW", "ENQUEUE"}


def unbounded(schema: dict[str, Any]) -> list[str]:
    """Parts of a form that take lists, numbers or texts of any size."""
    limits = {"array": {"maxItems"}, "integer": {"minimum", "maximum"}, "number": {"minimum", "maximum"}}
    found = []
    for part in ({"title": name} | field for name, field in schema.get("properties", {}).items()):
        for each in [part, *part.get("anyOf", []), *part.get("oneOf", [])]:
            if not limits.get(each.get("type", ""), set()) <= set(each):
                found.append(f"{part['title']}: {each}")
            if each.get("type") == "string" and not {"maxLength", "pattern", "enum", "const"} & set(each):
                found.append(f"{part['title']}: {each}")
    return found


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_form_takes_nothing_of_any_size(name: str) -> None:
    flow: Flow[..., Any] = load_flow_from_entrypoint(DEPLOYMENTS[name]["entrypoint"])
    assert not unbounded(parameter_schema(flow).model_dump())


@pytest.mark.parametrize(
    ("name", "start", "runs"),
    [
        ("monthly-sync", "2026-03-15T00:00", "2026-04-02T03:00 2026-05-02T03:00 2026-06-02T03:00"),
        # 2026-04-04 24h is 23h again; 2026-09-06 00h is 01h.
        ("maintenance", "2026-04-04T12:00", "2026-04-05T04:30 2026-04-06T04:30"),
        ("maintenance", "2026-09-05T12:00", "2026-09-06T04:30 2026-09-07T04:30"),
        ("regional-customers", "2026-08-20T00:00", "2026-09-01T02:00 2026-10-01T02:00"),
        ("monitor", "2026-11-21T10:05", "2026-11-21T10:10 2026-11-21T10:20 2026-11-21T10:30"),
        ("health", "2026-11-21T10:05", "2026-11-21T10:07 2026-11-21T11:07"),
    ],
)
async def test_schedules_keep_to_the_wall_clock_of_chile_across_its_changes(name: str, start: str, runs: str) -> None:
    (schedule,) = DEPLOYMENTS[name]["schedules"]
    clock = CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
    expected, begin = runs.split(), datetime.fromisoformat(start).replace(tzinfo=CHILE)
    found = await clock.get_dates(len(expected), begin)
    assert [f"{run.astimezone(CHILE):%Y-%m-%dT%H:%M}" for run in found] == expected


@pytest.mark.parametrize(
    ("name", "parameters", "fits"),
    [
        ("monthly-sync", {}, True),
        ("monthly-sync", {"month": "2024-08"}, True),
        ("monthly-sync", {"month": None}, True),
        ("monthly-sync", {"month": "2024-8"}, True),
        ("monthly-sync", {"month": "2024-13"}, False),
        ("monthly-sync", {"month": "August"}, False),
        ("rerun-month", {}, False),
        ("rerun-month", {"months": "2024-08"}, True),
        ("rerun-month", {"months": ["2024-08", "2024-09"]}, True),
        ("rerun-month", {"months": "all failed"}, True),
        ("rerun-month", {"months": ["2024-08", "yesterday"]}, False),
        ("rerun-month", {"months": []}, False),
        ("rerun-month", {"months": "2024-08", "redo": ["gold"]}, True),
        ("rerun-month", {"months": "2024-08", "redo": ["everything"]}, False),
        ("backfill", {"first": "2017-01", "last": "2025-12"}, True),
        ("backfill", {"first": "2017-01"}, False),
        ("monitor", {"closed_hours": 169}, False),
        ("monitor", {"closed_hours": -1}, False),
        ("monitor", {"closed_hours": 3}, True),
    ],
)
def test_bad_parameters_are_refused_before_a_run_starts(name: str, parameters: dict[str, Any], fits: bool) -> None:
    flow: Flow[..., Any] = load_flow_from_entrypoint(DEPLOYMENTS[name]["entrypoint"])
    schema = parameter_schema(flow).model_dump_for_openapi()
    # What the server does with `enforce_parameter_schema`.
    errors = validate(parameters, schema, raise_on_error=False, preprocess=True, ignore_required=False)
    assert (errors == []) is fits


@pytest.mark.parametrize(
    ("use_case", "flow"),
    [
        (months.sync_month, month_flows.monthly_sync),
        (months.capture_month, month_flows.capture),
        (months.load_month, month_flows.load),
        (months.backfill, month_flows.backfill),
        (months.rerun, month_flows.rerun_month),
        (months.reprocess, month_flows.reprocess),
    ],
)
def test_a_flow_takes_what_its_command_passes(use_case: Callable[..., Any], flow: Flow[..., Any]) -> None:
    wanted = set(inspect.signature(use_case).parameters) - {"adapters", "steps"}
    assert wanted <= set(inspect.signature(flow.fn).parameters)
