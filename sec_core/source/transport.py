"""One POST over HTTP, with a bound on its bytes and its time."""

import asyncio
import functools
import zlib
from dataclasses import dataclass
from typing import Final

import httpx
import zstandard

from sec_core.errors import SourceUnavailable, UnexpectedBody
from sec_core.source.shapes import MAX_BODY_BYTES, NOT_KEPT, AnsweredBy

# In what the simulator and a replay of captures answer: `simulator` or `replay`.
SOURCE_HEADER: Final = "x-sec-source"

_KEEP_ALIVE_S: Final = 30.0
_SOURCE_CHARS: Final = 40
_PAGE_BYTES: Final = 65_536
# So few bytes can't stand for more than a few megabytes.
_ZSTD_STEP_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    body: bytes  # decompressed; of another status than 200 only a small page
    retry_after: str | None
    answered_by: AnsweredBy = NOT_KEPT


class Transport:
    """Posts JSON to the API over kept connections. No cookies, no redirects, no proxy: no answer depends on another."""

    def __init__(self, base_url: str, user_agent: str, max_connections: int) -> None:
        self._base_url = base_url if base_url.endswith("/") else f"{base_url}/"
        json = "application/json"
        self._headers = httpx.Headers(
            {"User-Agent": user_agent, "Content-Type": json, "Accept": json, "Accept-Encoding": "gzip, deflate"}
        )
        # Reading an address takes longer than all else that a request is made of.
        self._url = functools.cache(lambda endpoint: httpx.URL(f"{self._base_url}{endpoint}"))
        limits = httpx.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=_KEEP_ALIVE_S
        )
        self._transport = httpx.AsyncHTTPTransport(limits=limits)

    async def post(self, endpoint: str, content: bytes, *, timeout_s: float) -> Reply:
        """Post a JSON body and read the answer whole within `timeout_s`, from connecting to the last byte.

        Raises:
            SourceUnavailable: No whole answer in time.
            UnexpectedBody: The answer is larger than `MAX_BODY_BYTES`, or not what its encoding says.
        """
        request = httpx.Request("POST", self._url(endpoint), headers=self._headers, content=content)
        try:
            # One deadline over the whole exchange, where httpx has timeouts that a slow drip of bytes never meets.
            async with asyncio.timeout(timeout_s):
                response = await self._transport.handle_async_request(request)
                try:
                    body = await _read_bounded(endpoint, response) if _worth_reading(response) else b""
                finally:
                    await response.aclose()
            said = response.headers.get(SOURCE_HEADER, "").strip().lower()
            source = said[:_SOURCE_CHARS] if said.isascii() and said.isprintable() else ""
            answered_by = AnsweredBy(request.url.host, source or None)
            return Reply(response.status_code, body, response.headers.get("retry-after"), answered_by)
        except TimeoutError as error:
            raise SourceUnavailable(f"{endpoint} did not answer whole within {timeout_s:g} s.") from error
        except (httpx.HTTPError, OSError) as error:
            reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
            raise SourceUnavailable(f"{endpoint} at {self._base_url} failed: {reason}.") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


def _worth_reading(response: httpx.Response) -> bool:
    """Whether it is an answer, or a small page, whose title may say why there is none."""
    length = response.headers.get("content-length", "")
    page = "text/html" in response.headers.get("content-type", "") and "content-encoding" not in response.headers
    return response.status_code == 200 or (page and length.isdecimal() and int(length) <= _PAGE_BYTES)


async def _read_bounded(endpoint: str, response: httpx.Response) -> bytes:
    received = bytearray()
    async for chunk in response.aiter_raw():
        received += chunk
        _check_size(endpoint, received)
    body = bytes(received)
    for name in reversed(response.headers.get("content-encoding", "").lower().split(",")):
        if (encoding := name.strip()) not in {"", "identity"}:
            body = _unpacked(endpoint, body, encoding)
            _check_size(endpoint, body)
    return body


def _check_size(endpoint: str, body: bytes | bytearray) -> None:
    if len(body) > MAX_BODY_BYTES:
        raise UnexpectedBody(
            f"{endpoint} answered with more than {MAX_BODY_BYTES} bytes; it was not read further.",
            next_step="Look at what the source answers for this hour; the hour is asked for again in later runs.",
        )


def _unpacked(endpoint: str, data: bytes, encoding: str) -> bytes:
    """Undo one encoding, as far as it can be read at all: a small answer may stand for gigabytes."""
    if encoding not in {"gzip", "x-gzip", "deflate", "zstd"}:
        raise UnexpectedBody(
            f"{endpoint} answered in the encoding {encoding[:40]!r}, which was not asked for.",
            next_step="Something on the way to the source packs its answers anew: reach the source without it.",
        )
    try:
        body, whole = _unzstd(data) if encoding == "zstd" else _inflated(data, encoding)
    except (zlib.error, zstandard.ZstdError) as error:
        raise UnexpectedBody(f"{endpoint} answered with damaged compression: {error}.") from error
    if not whole and len(body) <= MAX_BODY_BYTES:
        raise SourceUnavailable(f"{endpoint} ended in the middle of its answer.")
    return body


def _inflated(data: bytes, encoding: str) -> tuple[bytes, bool]:
    # Deflate comes with zlib's two bytes of header or, from some servers, without.
    head = int.from_bytes(data[:2])
    raw = encoding == "deflate" and (head >> 8 & 0x0F != 8 or head % 31 != 0)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS + 32)  # 32: gzip or zlib, by the header
    return inflater.decompress(data, MAX_BODY_BYTES + 1), inflater.eof


def _unzstd(data: bytes) -> tuple[bytes, bool]:
    """Frame after frame."""
    new = zstandard.ZstdDecompressor(max_window_size=MAX_BODY_BYTES).decompressobj
    frame, body, left = new(), bytearray(), memoryview(data)
    while left and len(body) <= MAX_BODY_BYTES:
        frame = new() if frame.eof else frame
        body += frame.decompress(left[:_ZSTD_STEP_BYTES])
        left = left[min(len(left), _ZSTD_STEP_BYTES) - len(frame.unused_data) :]
    return bytes(body), frame.eof
