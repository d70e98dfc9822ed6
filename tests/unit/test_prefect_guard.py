"""The guard before Prefect's API: what passes, and what a page in a browser can send and does not."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from deployments.stack.serve import Guard

UI = "http://127.0.0.1:4200"


async def _echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


@pytest.fixture
def client() -> TestClient:
    methods = ["GET", "POST", "PATCH", "PUT", "DELETE"]
    routes = [Route("/", lambda _: PlainTextResponse("done"), methods=methods), WebSocketRoute("/in", _echo)]
    return TestClient(Guard(Starlette(routes=routes), [UI, "http://localhost:4200"], ["prefect"]), base_url=UI)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:4200", 200), ("localhost:4200", 200), ("localhost:5000", 200), ("[::1]:4200", 200),
        ("prefect:4200", 200), ("10.0.0.5:4200", 200), ("LOCALHOST", 200),
        ("evil.example:4200", 400), ("localhost.evil.example", 400), ("127.0.0.1.evil.example:4200", 400), ("", 400),
    ],
)  # fmt: skip
def test_only_known_names_are_answered(client: TestClient, host: str, status: int) -> None:
    assert client.get("/", headers={"host": host}).status_code == status


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200), (UI, 200), ("http://localhost:4200", 200),
        ("https://evil.example", 403), ("null", 403), ("http://127.0.0.1:8888", 403), ("", 403),
        ("http://127.0.0.1:4200.evil.example", 403),
    ],
)  # fmt: skip
def test_only_the_uis_own_pages_change_anything(
    client: TestClient, method: str, origin: str | None, status: int
) -> None:
    headers = {} if origin is None else {"origin": origin}
    assert client.request(method, "/", headers=headers, json={}).status_code == status


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200), ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415), (" Text/Plain;charset=UTF-8", 415), ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
    ],
)  # fmt: skip
def test_forms_and_plain_text_change_nothing(client: TestClient, kind: str, status: int) -> None:
    assert client.post("/", headers={"content-type": kind}, content=b"{}").status_code == status


def test_websockets_open_for_the_ui_and_for_programs_alone(client: TestClient) -> None:
    here = {"host": "127.0.0.1:4200"}
    for headers in (here, here | {"origin": UI}):
        with client.websocket_connect("/in", headers=headers) as socket:
            assert socket.receive_text() == "hello"
    for headers in (here | {"origin": "https://evil.example"}, {"host": "evil.example"}):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/in", headers=headers):
            pass


def test_what_is_refused_says_so(client: TestClient) -> None:
    answer = client.post("/", headers={"origin": "null"})
    assert answer.text == "Requests of other sites change nothing here."
