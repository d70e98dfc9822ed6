"""An object store in particular: logs in parts, what a kill leaves, and what is said when the store is in trouble."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.log_writers import LOG
from support.object_store import ObjectStore

from sec_core.blobs.local import LocalBlobs
from sec_core.blobs.objects import ObjectBlobs
from sec_core.blobs.place import StoreUrl, try_out
from sec_core.errors import StorageError, StorageUnavailable

SECRET = "a-secret-that-nobody-may-read"


def add(blobs: ObjectBlobs, first: int, last: int) -> None:
    for number in range(first, last):
        blobs.append(LOG, b"\n%d" % number)


def numbers(blobs: ObjectBlobs | LocalBlobs) -> list[int]:
    return [int(line) for line in blobs.read_log(LOG).split()]


def copy_to_folder(store: ObjectStore, place: StoreUrl, folder: Path) -> LocalBlobs:
    """Fetch everything, as a person would with a tool of the store."""
    for name in ObjectBlobs(place).list(""):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((store.folder / place.bucket / place.prefix / name).read_bytes())
    return LocalBlobs(folder)


def test_a_kill_between_packing_and_deleting_doubles_nothing(bucket: StoreUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = ObjectBlobs(bucket)
    add(blobs, 0, 6)

    def killed(_self: ObjectBlobs, _key: str) -> None:
        raise StorageUnavailable("killed")

    with monkeypatch.context() as patched:
        patched.setattr(ObjectBlobs, "delete", killed)
        with pytest.raises(StorageUnavailable, match="killed"):
            blobs.compact(LOG, most=1)
    assert len(list(blobs.list("journal/"))) == 7
    assert numbers(blobs) == list(range(6))
    add(blobs, 6, 8)
    assert numbers(blobs) == list(range(8))
    blobs.compact(LOG, most=1)
    assert len(list(blobs.list("journal/"))) == 1
    assert numbers(blobs) == list(range(8))


def test_a_log_moves_from_a_folder_to_a_store_and_back(
    bucket: StoreUrl, object_store: ObjectStore, tmp_path: Path
) -> None:
    here = LocalBlobs(tmp_path / "first")
    for number in range(3):
        here.append(LOG, b"\n%d" % number)
    there = ObjectBlobs(bucket)
    there.put_new(LOG, here.read(LOG))
    add(there, 3, 5)
    assert numbers(there) == list(range(5))
    there.compact(LOG)
    assert len(list(there.list("journal/"))) == 1
    assert not there.exists(LOG)
    add(there, 5, 7)
    back = copy_to_folder(object_store, bucket, tmp_path / "second")
    back.append(LOG, b"\n7")
    assert numbers(back) == list(range(8))


def test_a_name_that_two_writers_are_turned_away_from_is_tried_again(
    bucket: StoreUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(
        [(409, b"<Error><Code>ConditionalRequestConflict</Code></Error>"), (404, b""), (200, b"")]
    ) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        assert ObjectBlobs(bucket).put_new("x", b"1") is True
        assert [request.split()[0] for request in server.requests] == ["PUT", "HEAD", "PUT"]


def test_a_store_that_replaces_what_it_must_not_is_found_out(bucket: StoreUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering([(200, b""), (200, b""), (204, b"")]) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        with pytest.raises(StorageError, match="take the place of another") as caught:
            try_out(ObjectBlobs(bucket))
        assert [request.split()[0] for request in server.requests] == ["PUT", "PUT", "DELETE"]
    assert "If-None-Match" in caught.value.next_step


@pytest.mark.parametrize(
    ("answers", "kind", "message", "step"),
    [
        ([(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")], StorageError,
         "refuses s3://{bucket}/x (SignatureDoesNotMatch)", "AWS_SECRET_ACCESS_KEY"),
        ([(404, b"<Error><Code>NoSuchBucket</Code></Error>")], StorageError,
         "There is no bucket {bucket}", "SEC_DATA_DIR"),
        ([(400, b"<Error><Code>InvalidRequest</Code></Error>")], StorageError, "400 (InvalidRequest)", "AWS_REGION"),
        ([(503, b"<Error><Code>SlowDown</Code></Error>")] * 4, StorageUnavailable, "answered 503 (SlowDown)", "again"),
    ],
    ids=["refused", "no bucket", "bad request", "busy"],
)  # fmt: skip
def test_trouble_is_told_in_one_line_without_secrets(
    answers: list[tuple[int, bytes]],
    kind: type[StorageError],
    message: str,
    step: str,
    bucket: StoreUrl,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with answering(answers) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        with pytest.raises(StorageError) as caught:
            ObjectBlobs(bucket).put_new("x", b"1")
    assert type(caught.value) is kind
    assert caught.value.transient is (kind is StorageUnavailable)
    assert message.format(bucket=bucket.bucket) in caught.value.message
    assert step in caught.value.next_step
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_store_that_is_away_may_be_there_later(bucket: StoreUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    blobs = ObjectBlobs(bucket)
    for ask in (lambda: blobs.read("x"), lambda: list(blobs.list("x/")), lambda: blobs.delete("x")):
        with pytest.raises(StorageUnavailable, match="did not answer") as caught:
            ask()
        assert "AWS_ENDPOINT_URL" in caught.value.next_step


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_named() -> None:
    with pytest.raises(StorageError, match="There is no bucket not-there") as caught:
        ObjectBlobs(StoreUrl("not-there")).append(LOG, b"x")
    assert not caught.value.transient


class Answering(ThreadingHTTPServer):
    """Answers requests in turn with what it was given, whatever they ask."""

    def __init__(self, answers: list[tuple[int, bytes]]) -> None:
        self.answers = list(answers)
        self.requests: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(self.requestline)
        status, body = self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_HEAD = do_GET = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Tests read the requests instead."""


@contextmanager
def answering(answers: list[tuple[int, bytes]]) -> Iterator[Answering]:
    with Answering(answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(30)
