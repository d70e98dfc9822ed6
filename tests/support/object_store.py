"""A real S3-compatible server for tests: a process on loopback, its objects are files below a folder."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

READY_S = 30
# Its answers go out in two pieces: without this the second waits 40 ms for the client's receipt of the first.
_SERVE = """
import socketserver
socketserver.StreamRequestHandler.disable_nagle_algorithm = True
import localbucket
localbucket.main()
"""


@dataclass(frozen=True)
class ObjectStore:
    """A running server.

    Attributes:
        endpoint: Its address.
        folder: Where it keeps objects, `<bucket>/<name>`.
    """

    endpoint: str
    folder: Path

    def make_bucket(self, name: str) -> None:
        httpx.put(f"{self.endpoint}/{name}").raise_for_status()

    @property
    def environment(self) -> dict[str, str]:
        """What a client finds it by."""
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
        }


@contextmanager
def serve_objects(folder: Path) -> Iterator[ObjectStore]:
    """Start a server and end it afterwards."""
    data = folder / "objects"
    data.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    log = folder / "server.log"
    with log.open("wb") as output:
        command = [sys.executable, "-c", _SERVE, str(data), "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        give_up = time.monotonic() + READY_S
        while not _answers(endpoint):
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"The object store did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield ObjectStore(endpoint, data)
    finally:
        process.terminate()
        process.wait(30)


def _answers(endpoint: str) -> bool:
    try:
        httpx.get(endpoint)
    except httpx.HTTPError:
        return False
    return True
