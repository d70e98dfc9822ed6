"""The simulated SEC over real HTTP: its answers, its faults, its log."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import orjson
import pytest
from support.truth import truth_of

from sec_core.errors import InputError
from sec_core.hours import CHILE, HOUR, Month, from_wall
from sec_core.simulator.faults import Ban, FaultOptions
from sec_core.simulator.options import Revisions, WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.source.shapes import Shape

# 2026-09-30 10:36 in Chile.
NOW = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
HOUR_ASKED = datetime(2026, 9, 1, 12, tzinfo=UTC)
TINY = WorldOptions.tiny()
CUT = (httpx.NetworkError, httpx.RemoteProtocolError)


def body_of(hour: datetime) -> dict[str, int]:
    wall = hour.astimezone(CHILE)
    return {"anho": wall.year, "mes": wall.month, "dia": wall.day, "hora": wall.hour}


def ask(sim: Simulator, hour: datetime) -> httpx.Response:
    return httpx.post(f"{sim.url}GetPorFecha", json=body_of(hour), timeout=10)


def faulty(sim: Simulator, *rules: str) -> None:
    sim.set_faults(FaultOptions.model_validate({"rules": rules}))


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(world=TINY, now=NOW) as running:
        yield running


@pytest.fixture(autouse=True)
def _healed(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "sim" in request.fixturenames:
        request.getfixturevalue("sim").set_faults(FaultOptions())


# --- answers ------------------------------------------------------------------------------------------------


def test_every_answer_says_that_it_is_simulated(sim: Simulator) -> None:
    said = [httpx.get(f"{sim.url}Get"), httpx.post(f"{sim.url}Nothing"), httpx.post(f"{sim.url}Get", json={})]
    sim.set_faults(FaultOptions.model_validate({"rules": ["status,endpoint=all"]}))
    said.append(httpx.post(f"{sim.url}Get", json={}))
    assert [answer.status_code for answer in said] == [405, 404, 200, 503]
    assert {answer.headers["X-SEC-Source"] for answer in said} == {"simulator"}


def test_server_hour_and_national_customers(sim: Simulator) -> None:
    assert httpx.post(f"{sim.url}GetHoraServer", json={}).json() == [{"FECHA": "30/09/2026 10:36"}]
    assert httpx.post(f"{sim.url}GetClientesNacional", json={}).json() == [{"CLIENTES": "8156814"}]


def test_a_region_by_name_and_all_of_them_for_a_form(sim: Simulator) -> None:
    by_name = httpx.post(f"{sim.url}GetClientesRegional", json={"region": "Valparaiso"}).json()
    assert by_name == [
        {"REGION_ID": "5", "NOMBRE_REGION": "Region de Valparaiso", "PERIODO_STAR": "052019", "CLIENTES": "780563"}
    ]
    by_form = httpx.post(f"{sim.url}GetClientesRegional", data={"region": "Valparaiso"}).json()
    assert len(by_form) == 16
    assert all(isinstance(value, str) for row in by_form for value in row.values())


def test_an_hour_is_answered_as_utf8_json_and_without_hora_as_hour_0(sim: Simulator) -> None:
    day = {"anho": 2026, "mes": 9, "dia": 20}
    midnight = httpx.post(f"{sim.url}GetPorFecha", json={**day, "hora": 0})
    assert midnight.headers["content-type"] == "application/json; charset=utf-8"
    assert midnight.content == orjson.dumps(midnight.json())
    assert len(midnight.json()) > 5
    assert httpx.post(f"{sim.url}GetPorFecha", json=day).content == midnight.content
    assert httpx.post(f"{sim.url}GetPorFecha", json={**day, "hora": 1}).content != midnight.content
    assert httpx.post(f"{sim.url}GetPorFecha", data={**day, "hora": 0}).content == b"[]"


def test_hours_that_the_source_can_not_have_are_empty(sim: Simulator) -> None:
    assert ask(sim, NOW.replace(minute=0) + HOUR).content == b"[]"
    for body in ({"anho": 2026, "mes": 9, "dia": 6, "hora": 0}, {"anho": 2026, "mes": 2, "dia": 30, "hora": 1}):
        assert httpx.post(f"{sim.url}GetPorFecha", json=body).content == b"[]"
    assert ask(sim, NOW.replace(minute=0)).json() != []


def test_the_repeated_hour_of_april_is_its_first_occurrence(sim: Simulator) -> None:
    answer = httpx.post(f"{sim.url}GetPorFecha", json={"anho": 2026, "mes": 4, "dia": 4, "hora": 23})
    assert answer.status_code == 200
    assert sim.requests[-1].hour == datetime(2026, 4, 5, 2, tzinfo=UTC)


def test_the_national_series_is_the_sum_of_every_hour(sim: Simulator) -> None:
    series = httpx.post(f"{sim.url}Get", json={}).json()
    assert series[0].keys() == {"anho", "mes", "dia", "hora", "clientes_afectados"}
    assert [series[0][k] for k in ("anho", "mes", "dia", "hora")] == [2026, 9, 23, 0]
    assert [series[-1][k] for k in ("anho", "mes", "dia", "hora")] == [2026, 9, 30, 10]
    assert len(series) == 7 * 24 + 11
    for entry in [*series[::20], series[-1]]:
        body = {key: entry[key] for key in ("anho", "mes", "dia", "hora")}
        rows = httpx.post(f"{sim.url}GetPorFecha", json=body).json()
        assert sum(row["CLIENTES_AFECTADOS"] for row in rows) == entry["clientes_afectados"]


def test_other_methods_and_addresses_are_refused(sim: Simulator) -> None:
    assert httpx.get(f"{sim.url}GetPorFecha").status_code == 405
    assert httpx.post(f"{sim.url}GetNada", json={}).status_code == 404
    assert httpx.post(f"{sim.url}GetPorFecha", content=b"{", headers={"content-type": "application/json"}).is_error


def test_the_shape_switches_with_the_hour_asked() -> None:
    switch = datetime(2026, 7, 1, 4, tzinfo=UTC)
    with Simulator(world=TINY, now=NOW, switch_hour=switch) as sim:
        assert [len(ask(sim, hour).json()[0]) for hour in (switch - HOUR, switch)] == [13, 3]
        assert {e.shape for e in truth_of(sim).events([switch - HOUR, switch])} == set(Shape)


def test_hours_are_revised_by_asks_and_the_truth_follows() -> None:
    hour = datetime(2026, 9, 30, 3, tzinfo=UTC)
    with Simulator(world=TINY, now=NOW, revisions=Revisions(share=1, after_asks=2)) as sim:
        bodies = [ask(sim, hour).content for _ in range(3)]
        assert bodies[0] == bodies[1] != bodies[2]
        total = sum(row["CLIENTES_AFECTADOS"] for row in orjson.loads(bodies[2]))
        assert truth_of(sim).national(hour) == total


def test_an_hour_is_revised_as_often_as_asked_for() -> None:
    with Simulator(world=TINY, now=NOW, revisions=Revisions(share=1, after_asks=1, most=2)) as sim:
        bodies = [ask(sim, HOUR_ASKED).content for _ in range(4)]
        assert len({*bodies[:3]}) == 3
        assert bodies[2] == bodies[3]
        assert [request.revision for request in sim.requests] == [0, 1, 2, 2]


def test_the_open_hour_moves_each_quarter_until_it_closes() -> None:
    clock = [NOW]
    with Simulator(world=TINY, clock=lambda: clock[0]) as sim:
        under_way = NOW.replace(minute=0)
        bodies = []
        for minute in (2, 14, 17, 50, 61):
            clock[0] = under_way + timedelta(minutes=minute)
            bodies.append(ask(sim, under_way).content)
        assert bodies[0] == bodies[1]
        assert len(set(bodies)) == 4


# --- faults -------------------------------------------------------------------------------------------------


def test_statuses_come_with_retry_after_and_heal(sim: Simulator) -> None:
    hour = HOUR_ASKED - HOUR
    faulty(sim, "status,status=429,retry_after_s=2,attempts=1", "status,status=500,attempts=2")
    answers = [ask(sim, hour) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 500, 200]
    assert answers[0].headers["retry-after"] == "2"
    assert [request.attempt for request in sim.requests[-3:]] == [1, 2, 3]


def test_a_dropped_connection_gives_no_answer(sim: Simulator) -> None:
    faulty(sim, "drop")
    with pytest.raises(CUT):
        ask(sim, HOUR_ASKED)
    assert (sim.requests[-1].status, sim.requests[-1].fault) == (0, "drop")


def test_a_connection_dropped_in_the_body_leaves_it_cut(sim: Simulator) -> None:
    faulty(sim, "drop_mid_body")
    with httpx.stream("POST", f"{sim.url}GetPorFecha", json=body_of(HOUR_ASKED)) as answer:
        assert answer.status_code == 200
        with pytest.raises(CUT):
            answer.read()


def test_a_slow_answer_runs_into_the_clients_timeout(sim: Simulator) -> None:
    faulty(sim, "slow,delay_s=1")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{sim.url}GetPorFecha", json=body_of(HOUR_ASKED), timeout=0.1)


def test_a_collapsed_cycle_comes_back_with_the_next_ask(sim: Simulator) -> None:
    hour = HOUR_ASKED - 2 * HOUR
    faulty(sim, "collapsed,attempts=1")
    collapsed, whole = ask(sim, hour).json(), ask(sim, hour).json()
    assert 0 < len(collapsed) < len(whole) / 10


def test_an_oversize_body_is_as_large_as_asked_for(sim: Simulator) -> None:
    faulty(sim, "oversize,size=3000000")
    answer = ask(sim, HOUR_ASKED)
    assert len(answer.content) == 3_000_000
    faulty(sim)
    assert answer.json() == ask(sim, HOUR_ASKED).json()


def test_an_endless_body_ends_when_the_client_goes(sim: Simulator) -> None:
    faulty(sim, "endless,delay_s=0")
    with httpx.stream("POST", f"{sim.url}GetPorFecha", json=body_of(HOUR_ASKED)) as answer:
        read = 0
        for piece in answer.iter_raw():
            read += len(piece)
            if read > 5_000_000:
                break
    request = sim.requests[-1]
    faulty(sim)
    assert ask(sim, HOUR_ASKED).status_code == 200
    assert request.sent > 5_000_000


@pytest.mark.parametrize("rule", ["html", "nested", "bad_utf8", "truncated"])
def test_damaged_bodies_go_over_the_wire_as_they_are(sim: Simulator, rule: str) -> None:
    faulty(sim, rule)
    answer = ask(sim, HOUR_ASKED)
    assert (answer.status_code, "html" in answer.headers["content-type"]) == (200, rule == "html")
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(answer.content)


def test_too_high_a_rate_is_banned_for_a_while(sim: Simulator) -> None:
    sim.set_faults(FaultOptions(ban=Ban(max_rate=1, window_s=3, duration_s=60, retry_after_s=60)))
    assert [ask(sim, HOUR_ASKED).status_code for _ in range(5)] == [200, 200, 200, 403, 403]
    sim.set_faults(FaultOptions(ban=Ban(max_rate=1, window_s=1, status=None)))
    ask(sim, HOUR_ASKED)
    with pytest.raises(CUT):
        ask(sim, HOUR_ASKED)
    assert sim.requests[-1].fault == "ban"


# --- the log, the truth and the server ------------------------------------------------------------------------


def test_the_log_tells_what_was_asked_when_and_how_many_at_once(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "requests.jsonl"
    with Simulator(world=TINY, now=NOW, log_path=log, faults=FaultOptions(latency_s=0.2)) as sim:
        hours = [HOUR_ASKED + i * HOUR for i in range(3)]
        threads = [threading.Thread(target=ask, args=(sim, hour)) for hour in hours]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        requests = sim.requests
        assert sorted(request.in_flight for request in requests) == [1, 2, 3]
        assert all(r.ended is not None and r.ended - r.arrived >= 0.2 for r in requests)
        assert sorted(sim.hours_asked()) == hours
        assert len({request.client_port for request in requests}) == 3
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    assert sorted(line["number"] for line in lines) == [1, 2, 3]
    assert {line["body"] for line in lines} == {orjson.dumps(body_of(hour)).decode() for hour in hours}


def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port}"):
            Simulator(world=TINY, port=port).serve(print)


# --- replay -------------------------------------------------------------------------------------------------


def test_replay_answers_the_newest_capture_and_nothing_for_other_hours(captures_dir: Path) -> None:
    with Simulator(captures=captures_dir) as sim, httpx.Client(base_url=sim.url) as client:

        def month(text: str) -> tuple[int, int, int]:
            bodies = [
                client.post("GetPorFecha", json=body_of(hour)).json()
                for day in Month.parse(text).days()[:15] + Month.parse(text).days()[25:]
                for number in range(24)
                if (hour := from_wall(day, number)) is not None
            ]
            rows = [row for body in bodies for row in body]
            return sum(map(bool, bodies)), len(rows), sum(row["CLIENTES_AFECTADOS"] for row in rows)

        assert month("2026-08") == (56, 12_111, 1_348_157)
        assert month("2024-08") == (1, 299, 1_176_268)
        assert month("2025-02") == (1, 831, 5_482)
        regions = client.post("GetClientesRegional", json={})
        assert (len(regions.json()), regions.headers["X-SEC-Source"]) == (16, "replay")
        assert client.post("Get", json={}).json()[-1]["clientes_afectados"] == 152_605


def test_a_folder_without_captures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no captures"):
        Simulator(captures=tmp_path)


def test_a_process_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    code = (
        "import sys, pathlib\n"
        "from sec_core.simulator.options import WorldOptions\n"
        "from sec_core.simulator.server import Simulator\n"
        "simulator = Simulator(world=WorldOptions.tiny(), log_path=pathlib.Path(sys.argv[1]))\n"
        "simulator.serve(lambda url: (sys.stdout.write(url + '\\n'), sys.stdout.flush()))\n"
    )
    command = [sys.executable, "-c", code, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.post(f"{url}GetHoraServer", json={}).status_code == 200
        assert [orjson.loads(line)["endpoint"] for line in log.read_bytes().splitlines()] == ["GetHoraServer"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
