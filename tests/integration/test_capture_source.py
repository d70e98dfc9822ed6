"""The client against the simulated SEC and against a server that misbehaves."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import orjson
import pytest
import zstandard
from support.capturing import Capturing, HastyClock, capturing, faults
from support.fixtures import MakeSettings

from sec_core.errors import SourceError, SourceRefused, SourceUnavailable, UnexpectedBody
from sec_core.hours import CHILE, from_wall
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator
from sec_core.source.client import retry_after_s
from sec_core.source.shapes import MAX_BODY_BYTES, BodyKind

NOW = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
HOUR = datetime(2026, 9, 29, 3, tzinfo=UTC)  # midnight in Chile
FAST = {"max_rate": 2000, "max_concurrency": 4, "circuit_failures": 100}
ROW = b'[{"NOMBRE_REGION":"Maule","NOMBRE_COMUNA":"Talca","CLIENTES_AFECTADOS":7}]'


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(world=WorldOptions.tiny(), now=NOW) as running:
        yield running


async def test_all_endpoints(sim: Simulator, make_settings: MakeSettings) -> None:
    faults(sim)
    settings = make_settings(base_url=sim.url, contact="team@example.org", **FAST)
    async with capturing(settings) as capture:
        client = capture.client
        answer = await client.hour(HOUR)
        assert answer.value.kind is BodyKind.DETAILED
        series = await client.national_series()
        assert series.value[HOUR] == answer.value.customers
        assert max(series.value) == from_wall(NOW.astimezone(CHILE).date(), 10)
        regions = (await client.regional_customers("Valparaiso")).value
        assert [(region.region_id, region.period) for region in regions] == [("5", "052019")]
        assert (await client.national_customers()).value == 8_156_814
        assert await client.server_time() == NOW
        assert client.requests == 5
    asked = sim.requests[-5:]
    assert orjson.loads(asked[0].body) == {"anho": 2026, "mes": 9, "dia": 29, "hora": 0}
    assert all("sec-outages" in item.user_agent and "team@example.org" in item.user_agent for item in asked)
    assert len({item.client_port for item in asked}) == 1, "the connection is kept"


@pytest.mark.parametrize(
    ("rule", "error", "requests"),
    [
        ("status,status=503", SourceUnavailable, 3),
        ("status,status=403", SourceRefused, 3),
        ("status,status=429,retry_after_s=3600", SourceRefused, 1),
        ("status,status=404", SourceError, 1),
        ("drop", SourceUnavailable, 3),
        ("drop_mid_body", SourceUnavailable, 3),
        ("oversize,size=40000000", UnexpectedBody, 1),
        ("html", SourceUnavailable, 3),
    ],
)
async def test_failures(
    sim: Simulator, make_settings: MakeSettings, rule: str, error: type[SourceError], requests: int
) -> None:
    before = faults(sim, rule)
    async with capturing(make_settings(base_url=sim.url, retries=2, **FAST)) as capture:
        with pytest.raises(error) as raised:
            await capture.client.hour(HOUR)
        circuit = await capture.throttle.circuit()
    assert type(raised.value) is error
    assert len(sim.requests) - before == requests
    assert (circuit.failures, circuit.code) == (requests, raised.value.code)


@pytest.mark.parametrize("rule", ["nested", "bad_utf8", "truncated", "renamed_key", "new_key", "wrong_type"])
async def test_odd_bodies_are_asked_for_again_and_given_back_if_they_stay(
    sim: Simulator, make_settings: MakeSettings, rule: str
) -> None:
    before = faults(sim, rule)
    async with capturing(make_settings(base_url=sim.url, retries=1, **FAST)) as capture:
        stays = await capture.client.hour(HOUR)
        assert not stays.value.usable
        assert (await capture.throttle.circuit()).failures == 2
        faults(sim, f"{rule},requests={before + 3}..{before + 3}")
        assert (await capture.client.hour(HOUR)).value.usable
        assert (await capture.throttle.circuit()).failures == 0
    assert len(sim.requests) - before == 4


async def test_retry_after_is_obeyed_by_everybody(sim: Simulator, make_settings: MakeSettings) -> None:
    before = faults(sim, "status,status=429,retry_after_s=2,requests=1..1000000,hours=2026-09-29T00..2026-09-29T00")
    settings = make_settings(base_url=sim.url, retries=1, **FAST)
    patient, other = HastyClock(), HastyClock()
    async with capturing(settings, patient) as one, capturing(settings, other) as two:
        with pytest.raises(SourceRefused):
            await one.client.hour(HOUR)
        await two.client.hour(HOUR + timedelta(hours=1))
    assert max(patient.waits) >= 2
    assert 1 < max(other.waits) <= 2, "the pause is shared through the database"
    assert len(sim.requests) - before == 3


async def test_backoff_grows_with_full_jitter(sim: Simulator, make_settings: MakeSettings) -> None:
    faults(sim, "status,status=500")
    clock = HastyClock()
    async with capturing(make_settings(base_url=sim.url, retries=8, **FAST), clock) as capture:
        capture.client._jitter = lambda most: most
        with pytest.raises(SourceUnavailable):
            await capture.client.hour(HOUR)
    backoffs = [wait for wait in clock.waits if wait >= 1]
    assert backoffs == [1, 2, 4, 8, 16, 32, 60, 60]


@asynccontextmanager
async def raw_server(*answers: bytes, drip: bytes = b"") -> AsyncIterator[str]:
    """A server that sends these bytes, one answer a connection, and then `drip` for as long as it is let."""
    waiting = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(waiting.pop(0) if len(waiting) > 1 else waiting[0])
        try:
            while drip:
                await writer.drain()
                writer.write(drip)
                await asyncio.sleep(0.005)
            await writer.drain()
        except OSError:
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@asynccontextmanager
async def asking(
    make_settings: MakeSettings, *answers: bytes, drip: bytes = b"", timeout_s: float = 60
) -> AsyncIterator[Capturing]:
    """What captures, once and without repeating, from such a server."""
    changes = {"retries": 0, "timeout_s": timeout_s, **FAST}
    async with raw_server(*answers, drip=drip) as url, capturing(make_settings(base_url=url, **changes)) as capture:
        yield capture


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_compressed_answers(make_settings: MakeSettings) -> None:
    answers = [
        http(gzip.compress(ROW), "Content-Encoding: gzip"),
        http(zlib.compress(ROW), "Content-Encoding: deflate"),
        http(zlib.compress(ROW)[2:-4], "Content-Encoding: deflate"),
        http(zstandard.compress(ROW), "Content-Encoding: zstd"),
        http(zstandard.compress(gzip.compress(ROW)), "Content-Encoding: GZIP , zstd"),
        http(ROW, "Content-Encoding: identity"),
        http(ROW),
    ]
    async with asking(make_settings, *answers) as capture:
        for _ in answers:
            assert (await capture.client.hour(HOUR)).body == ROW


async def test_a_small_answer_that_unpacks_to_gigabytes_is_refused(make_settings: MakeSettings) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b" " * 2**20) for _ in range(MAX_BODY_BYTES // 2**20 * 4)) + packer.flush()
    assert len(bomb) < 200_000
    other = zstandard.compress(b" " * MAX_BODY_BYTES * 4)
    for answer in (http(bomb, "Content-Encoding: gzip"), http(other, "Content-Encoding: zstd")):
        async with asking(make_settings, answer) as capture:
            with pytest.raises(UnexpectedBody, match="more than 33554432 bytes"):
                await capture.client.hour(HOUR)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: ",
    ],
)
async def test_answers_that_never_end_are_given_up_in_time(make_settings: MakeSettings, answer: bytes) -> None:
    drip = b"1\r\n \r\n" if b"chunked" in answer else b" "
    async with asking(make_settings, answer, drip=drip, timeout_s=0.5) as capture:
        with pytest.raises(SourceUnavailable):
            await asyncio.wait_for(capture.client.hour(HOUR), 60)


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        http(ROW, length=len(ROW) + 5),
        http(b"xx", "Content-Encoding: gzip"),
        http(gzip.compress(ROW)[:-9], "Content-Encoding: gzip"),
        http(ROW, "Content-Encoding: br"),
        http(b"", "Location: https://example.org/", status="302 Found"),
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        b"",
    ],
)
async def test_broken_http_is_a_source_error(make_settings: MakeSettings, answer: bytes) -> None:
    async with asking(make_settings, answer) as capture:
        with pytest.raises((SourceUnavailable, UnexpectedBody)):
            await capture.client.hour(HOUR)
        assert (await capture.throttle.circuit()).failures == 1


async def test_an_unreachable_server_is_named(make_settings: MakeSettings) -> None:
    settings = make_settings(base_url="http://127.0.0.1:9/", retries=0, **FAST)
    async with capturing(settings) as capture:
        with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:9"):
            await capture.client.hour(HOUR)


def test_retry_after_as_number_and_date() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert retry_after_s(None, now) is None
    assert retry_after_s("120", now) == 120
    assert retry_after_s("Thu, 01 Jan 2026 12:00:30 GMT", now) == 30
    assert retry_after_s("Thu, 01 Jan 2026 11:00:00 GMT", now) == 0
    assert retry_after_s("soon", now) is None
    assert retry_after_s("9" * 40, now) == 86_400
