"""One POST over HTTP, with a bound on its bytes and its time."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Final

import httpx
import zstandard

from sec_core.errors import SourceUnavailable, UnexpectedBody
from sec_core.source.shapes import MAX_BODY_BYTES, NOT_KEPT, AnsweredBy

SOURCE_HEADER: Final = "x-sec-source"
"""In what the simulator and a replay of captures answer: `simulator` or `replay`."""

_KEEP_ALIVE_S: Final = 30.0
_SOURCE_CHARS: Final = 40
_PAGE_BYTES: Final = 65_536
_STEP_BYTES: Final = 1024 * 1024
_ZSTD_STEP_BYTES: Final = 64
"""So few bytes can't stand for more than a few megabytes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    body: bytes  # decompressed; of another status than 200 only a small page
    retry_after: str | None
    answered_by: AnsweredBy = NOT_KEPT


class Transport:
    """Posts JSON to the API over kept connections. No cookies, no redirects, no proxy: no answer depends on another."""

    def __init__(self, *, base_url: str, user_agent: str, max_connections: int) -> None:
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
    chunks = response.aiter_raw()
    encodings = response.headers.get("content-encoding", "").lower().split(",")
    for encoding in reversed([name.strip() for name in encodings]):
        if encoding not in {"", "identity"}:
            chunks = _decompressed(endpoint, chunks, encoding)
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise UnexpectedBody(
                f"{endpoint} answered with more than {MAX_BODY_BYTES} bytes; it was not read further.",
                next_step="Look at what the source answers for this hour; the hour is asked for again in later runs.",
            )
    return bytes(body)


async def _decompressed(endpoint: str, chunks: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """Undo one encoding in bounded steps: a small answer may stand for gigabytes."""
    stream: _Inflating | _Unpacking | None = None
    try:
        async for chunk in chunks:
            if stream is None and chunk:
                stream = _decompressor(endpoint, encoding, chunk)
            if stream is not None:
                for part in stream.parts(chunk):
                    yield part
    except (zlib.error, zstandard.ZstdError) as error:
        raise UnexpectedBody(f"{endpoint} answered with damaged compression: {error}.") from error
    if stream is None or not stream.whole:
        raise SourceUnavailable(f"{endpoint} ended in the middle of its answer.")


def _decompressor(endpoint: str, encoding: str, start: bytes) -> _Inflating | _Unpacking:
    if encoding in {"gzip", "x-gzip"}:
        return _Inflating(16 + zlib.MAX_WBITS)
    if encoding == "deflate":
        # With zlib's two bytes of header or, from some servers, without.
        has_header = start[0] & 0x0F == 8 and int.from_bytes(start[:2]) % 31 == 0
        return _Inflating(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
    if encoding == "zstd":
        return _Unpacking()
    raise UnexpectedBody(
        f"{endpoint} answered in the encoding {encoding[:40]!r}, which was not asked for.",
        next_step="Something on the way to the source packs its answers anew: reach the source without it.",
    )


class _Inflating:
    """gzip and deflate."""

    def __init__(self, window_bits: int) -> None:
        self._inflater = zlib.decompressobj(window_bits)

    @property
    def whole(self) -> bool:
        return self._inflater.eof

    def parts(self, data: bytes) -> Iterator[bytes]:
        more = True
        while more and not self._inflater.eof:
            part = self._inflater.decompress(data, _STEP_BYTES)
            yield part
            data = self._inflater.unconsumed_tail
            more = bool(data) or len(part) == _STEP_BYTES


class _Unpacking:
    """zstd, frame after frame."""

    def __init__(self) -> None:
        self._new: Callable[[], zstandard.ZstdDecompressionObj] = zstandard.ZstdDecompressor(
            max_window_size=MAX_BODY_BYTES
        ).decompressobj
        self._frame = self._new()

    @property
    def whole(self) -> bool:
        return self._frame.eof

    def parts(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_STEP_BYTES):
            piece = data[start : start + _ZSTD_STEP_BYTES]
            while piece:
                if self._frame.eof:
                    self._frame = self._new()
                yield self._frame.decompress(piece)
                piece = self._frame.unused_data
