"""The site on loopback, for people at this machine: links to files are dead in a page that came over HTTP.

It has a port of its own, and with it an origin of its own: its pages can't call the Prefect API.
"""

from __future__ import annotations

import mimetypes
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from loguru import logger

from sec_core.blobs.model import BlobMissing
from sec_core.blobs.open import open_blobs
from sec_core.errors import StorageError

if TYPE_CHECKING:
    from sec_core.config import Settings

_NOT_YET = b"There is no such page. The site is drawn with Gold: run the deployment gold, or `sec gold`.\n"


def serve_site(settings: Settings, host: str, port: int) -> ThreadingHTTPServer:
    """Serve `gold/site`, wherever Gold is, from a thread that ends with this process."""
    blobs = open_blobs(settings.gold)

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = unquote(urlsplit(self.path).path).lstrip("/")
            name += "index.html" * (not name or name.endswith("/"))
            status, kind = HTTPStatus.OK, mimetypes.guess_type(name)[0] or "application/octet-stream"
            try:
                body = blobs.read(f"site/{name}")
            except BlobMissing:
                status, kind, body = HTTPStatus.NOT_FOUND, "text/plain", _NOT_YET
            except StorageError as error:
                status, kind, body = HTTPStatus.BAD_GATEWAY, "text/plain", f"{error}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
            logger.bind(stage="site").debug("{}", format % arguments)

    server = ThreadingHTTPServer((host, port), Pages)
    threading.Thread(target=server.serve_forever, name="sec-site", daemon=True).start()
    return server
