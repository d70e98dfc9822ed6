"""One POST over HTTP: httpx on aiohttp's connections, with a bound on bytes and on time."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream

from sec_core.errors import SourceUnavailable, UnexpectedBody
from sec_core.source.shapes import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_KEEP_ALIVE_S: Final = 30.0
_CHUNK_BYTES: Final = 256 * 1024
"""An answer of the usual size is read in one or two pieces."""

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
    """Posts JSON to the API over kept connections.

    aiohttp's connections cost a third of the CPU of httpx's own.

    Args:
        base_url: Base address of the API.
        user_agent: Names the project and a contact.
        max_connections: Connections kept open.
    """

    def __init__(self, *, base_url: str, user_agent: str, max_connections: int) -> None:
        self._base_url = base_url if base_url.endswith("/") else f"{base_url}/"
        self._urls: dict[str, httpx.URL] = {}
        self._headers = httpx.Headers(
            {
                "User-Agent": user_agent,
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
            }
        )
        # Without an `AsyncClient` around it, whose redirects, cookies and merging of defaults nothing here needs: they
        # cost as much as the exchange itself.
        self._transport = AiohttpTransport(client=partial(_session, max_connections))

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
            # As a stream: the headers that httpx would prepare are aiohttp's affair.
            stream = httpx.ByteStream(content)
            request = httpx.Request("POST", self._url(endpoint), headers=self._headers, stream=stream)
            request.read()
            # One deadline over the whole exchange, where httpx has timeouts that a slow drip of bytes never meets.
            async with asyncio.timeout(timeout_s):
                response = await self._transport.handle_async_request(request)
                if isinstance(response.stream, AiohttpResponseStream):
                    response.stream.CHUNK_SIZE = _CHUNK_BYTES
                try:
                    body = await _read_bounded(endpoint, response) if response.status_code == 200 else b""
                finally:
                    await response.aclose()
            return Reply(response.status_code, body, response.headers.get("retry-after"))
        except TimeoutError as error:
            raise SourceUnavailable(f"{endpoint} did not answer whole within {timeout_s:g} s.") from error
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            raise SourceUnavailable(f"{endpoint} at {self._base_url} failed: {_reason(error)}.") from error

    def _url(self, endpoint: str) -> httpx.URL:
        # Taking a URL apart costs a tenth of a request.
        if endpoint not in self._urls:
            self._urls[endpoint] = httpx.URL(self._base_url).join(endpoint)
        return self._urls[endpoint]

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


def _session(max_connections: int) -> aiohttp.ClientSession:
    tls = httpx.create_ssl_context()
    connector = aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=_KEEP_ALIVE_S, ssl=tls)
    # The API has no cookies; without them no answer can depend on another.
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=_CHUNK_BYTES)


async def _read_bounded(endpoint: str, response: httpx.Response) -> bytes:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "deflate", ""}:
        raise UnexpectedBody(f"{endpoint} answered in the encoding {encoding!r}, which was not asked for.")
    # The stream itself: `aiter_raw` counts and checks what is counted and checked here.
    chunks = aiter(response.stream)  # type: ignore[arg-type]
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
    # aiohttp's own words are more exact than the httpx class that they are mapped to.
    text = str(error.__cause__ or error).strip() or type(error).__name__
    return text.partition("\n")[0].rstrip(".")
