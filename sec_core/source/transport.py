"""One POST over HTTP on kept connections, with a bound on bytes and on time."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp

from sec_core.errors import SourceUnavailable, UnexpectedBody
from sec_core.source.shapes import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_KEEP_ALIVE_S: Final = 30.0
_READ_AHEAD: Final = 256 * 1024
"""An ordinary answer fits, so that reading it never stops the connection."""

_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        status: HTTP status.
        body: The body, decompressed; empty unless the status is 200.
        retry_after: Value of the Retry-After header.
    """

    status: int
    body: bytes
    retry_after: str | None


class Transport:
    """Posts JSON to the API over kept connections. Use it in one event loop.

    aiohttp costs a third of the CPU of httpx (docs/performance.md).

    Args:
        base_url: Base address of the API.
        user_agent: Names the project and a contact.
        max_connections: Connections kept open.
    """

    def __init__(self, *, base_url: str, user_agent: str, max_connections: int) -> None:
        self._base = base_url if base_url.endswith("/") else f"{base_url}/"
        self._max_connections = max_connections
        self._headers = {
            "User-Agent": user_agent,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
        }
        self._session: aiohttp.ClientSession | None = None

    async def post(self, endpoint: str, content: bytes, *, timeout_s: float) -> Reply:
        """Post a JSON body and read the answer whole.

        Args:
            endpoint: Name of the endpoint.
            content: The JSON body.
            timeout_s: Seconds until the exchange must be over, from connecting to the last byte.

        Raises:
            SourceUnavailable: No whole answer in time.
            UnexpectedBody: The answer is larger than `MAX_BODY_BYTES`, or not what its encoding says.
        """
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._opened().post(self._base + endpoint, data=content, allow_redirects=False) as response,
            ):
                body = await _read_bounded(endpoint, response) if response.status == 200 else b""
                return Reply(response.status, body, response.headers.get("Retry-After"))
        except TimeoutError as error:
            raise SourceUnavailable(f"{endpoint} did not answer whole within {timeout_s:g} s.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise SourceUnavailable(f"{endpoint} at {self._base} failed: {_reason(error)}.") from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        # Made at the first request: it belongs to the running event loop.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=_KEEP_ALIVE_S),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=_READ_AHEAD,
                # One deadline over the whole exchange replaces aiohttp's timeouts, which start anew with every step.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            )
        return self._session


async def _read_bounded(endpoint: str, response: aiohttp.ClientResponse) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "deflate", ""}:
        raise UnexpectedBody(f"{endpoint} answered in the encoding {encoding!r}, which was not asked for.")
    chunks: AsyncIterator[bytes] = response.content.iter_any()
    if encoding in {"gzip", "deflate"}:
        chunks = _inflate(endpoint, chunks, zlib.decompressobj(_GZIP_OR_ZLIB))
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise UnexpectedBody(
                f"{endpoint} answered with more than {MAX_BODY_BYTES} bytes; it was not read further.",
                next_step="Look at what the source answers for this hour; the hour is asked for again in later runs.",
            )
        parts.append(chunk)
    return b"".join(parts)


async def _inflate(endpoint: str, chunks: AsyncIterator[bytes], inflater: zlib._Decompress) -> AsyncIterator[bytes]:
    """Decompress in bounded steps: a small answer may stand for gigabytes."""
    step = 1024 * 1024
    try:
        async for chunk in chunks:
            data = chunk
            while data:
                yield inflater.decompress(data, step)
                data = inflater.unconsumed_tail
        yield inflater.flush()
    except zlib.error as error:
        raise UnexpectedBody(f"{endpoint} answered with damaged compression: {error}.") from error
    if not inflater.eof:
        raise SourceUnavailable(f"{endpoint} ended in the middle of its answer.")


def _reason(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.partition("\n")[0].rstrip(".")
