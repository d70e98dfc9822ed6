"""The Supabase project as an adapter: reads and writes through its REST API, with bounded retries and clear errors.

Nothing here puts the key, or an answer's headers, into a message, a log line or an exception chain.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import httpx
from loguru import logger

from sec_core.config import Settings
from sec_core.errors import PublicationError, PublicationUnavailable, is_transient_status

if TYPE_CHECKING:
    from supabase import Client

Payloads = Mapping[str, Sequence[Any]]

# The table of recent events, and its columns.
EVENTS: Final = "interrupciones_recientes"
EVENT_COLUMNS: Final = (
    "hash_id", "forma", "codigo_region", "nombre_region", "codigo_comuna", "nombre_comuna", "nombre_empresa", "inicio",
    "fin", "clientes_afectados", "cliente_horas", "hora_maximo", "primera_hora", "ultima_hora", "n_observaciones",
    "imputaciones", "topado",
)  # fmt: skip

# Rows asked for at once: Supabase answers at most this many by default.
PAGE = 1000

# Events sent at once.
BATCH = 2000

SCHEMA_FILE = "deployments/supabase/schema.sql"
_WRONG_KEY = "Set SUPABASE_KEY to the project's service key (service_role), and SUPABASE_URL to the same project."
_MISSING = frozenset({"42P01", "PGRST205", "PGRST204", "PGRST202", "42703", "42883"})
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_CONNECT_S, _ANSWER_S = 3.0, 25.0
# From then on a host that does not answer at all is not tried again: with the last try it makes less than a minute.
_PATIENCE_S = 25.0


class SupabaseStore:
    """Tables `dashboard_stats`, `estadisticas` and `interrupciones_recientes` of one Supabase project.

    Every call is repeated after a transient failure, at most `retries` times; all of them can be repeated safely.
    """

    def __init__(self, settings: Settings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Make the client; it connects only when it is used.

        Raises:
            PublicationError: The settings for Supabase are missing or are no address.
        """
        from supabase import create_client  # noqa: PLC0415 - costs a second, and most commands need no Supabase
        from supabase.lib.client_options import SyncClientOptions  # noqa: PLC0415

        if settings.supabase_url is None or settings.supabase_key is None:
            raise PublicationError("There is no Supabase project to publish to.", next_step=_WRONG_KEY)
        self._sleep, self._retries, self._status = sleep, settings.retries, 0
        longest = settings.timeout_s
        # HTTP/2, which httpx uses if it is asked to, would bring a library that logs headers, the key among them.
        self._http = httpx.Client(
            timeout=httpx.Timeout(longest, connect=min(longest, _CONNECT_S), read=min(longest, _ANSWER_S)),
            event_hooks={"response": [self._note]},
        )
        options = SyncClientOptions(
            httpx_client=self._http, auto_refresh_token=False, persist_session=False, postgrest_client_retry=False
        )
        self._client: Client = create_client(
            str(settings.supabase_url), settings.supabase_key.get_secret_value(), options
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def payloads(self) -> dict[str, list[Any]]:
        """All published payloads, of both tables."""
        found: dict[str, list[Any]] = {}
        for name in ("estadisticas", "dashboard_stats"):
            rows = self._run(f"read {name}", self._table(name).select("id,data").execute)
            found |= {row["id"]: row["data"] for row in rows}
        return found

    def published_at(self) -> datetime | None:
        """When the dashboard's payloads were published last; None if never."""
        query = self._table("dashboard_stats").select("updated_at").order("updated_at", desc=True).limit(1)
        rows = self._run("read dashboard_stats", query.execute)
        return datetime.fromisoformat(rows[0]["updated_at"]) if rows else None

    def publish_payloads(self, dashboard: Payloads, others: Payloads, at: str) -> None:
        """Write both tables in one transaction: all payloads or none."""
        arguments = {"panel": dashboard, "otras": others, "publicado": at}
        self._run("write dashboard_stats and estadisticas", self._client.rpc("publicar", arguments).execute)

    def events(self) -> list[dict[str, Any]]:
        """All rows of `interrupciones_recientes`, a page at a time, by hash_id."""
        found: list[dict[str, Any]] = []
        while True:
            query = self._table(EVENTS).select(",".join(EVENT_COLUMNS)).order("hash_id").limit(PAGE)
            if found:
                query = query.gt("hash_id", found[-1]["hash_id"])
            page = self._run(f"read {EVENTS}", query.execute)
            found.extend(page)
            if not page:
                return found

    def upsert_events(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write events by hash_id, in batches."""
        for first in range(0, len(rows), BATCH):
            query = self._table(EVENTS).upsert(rows[first : first + BATCH], returning="minimal")
            self._run(f"write {EVENTS}", query.execute)

    def delete_events(self, hash_ids: Sequence[str]) -> None:
        """Delete events by hash_id, in batches that fit into an address."""
        for first in range(0, len(hash_ids), 100):
            query = self._table(EVENTS).delete(returning="minimal").in_("hash_id", hash_ids[first : first + 100])
            self._run(f"delete from {EVENTS}", query.execute)

    def _table(self, name: str) -> Any:  # noqa: ANN401 - the client's builders are hardly typed
        return self._client.table(name)

    def _note(self, response: httpx.Response) -> None:
        """Keep the status of the newest answer: the client's errors don't carry it."""
        self._status = response.status_code

    def _run(self, what: str, call: Callable[[], Any]) -> list[Any]:
        """Do one call, again after a transient failure; errors are raised without their causes, which hold the key."""
        from postgrest.exceptions import APIError  # noqa: PLC0415

        began, attempt = time.monotonic(), 0
        while True:
            self._status = 0
            try:
                rows: list[Any] = call().data
            except httpx.HTTPError as error:
                failure: PublicationError = PublicationUnavailable(
                    f"Supabase did not answer ({what}): {type(error).__name__}."
                )
            except APIError as error:
                failure = _explain(what, self._status, str(error.code or ""), error.message or "")
            else:
                return rows
            dead = self._status == 0 and time.monotonic() - began > _PATIENCE_S
            if attempt == self._retries or dead or not isinstance(failure, PublicationUnavailable):
                raise failure
            wait = min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S)
            logger.bind(stage="publish", code=failure.code).warning("{} Next try in {:.0f} s.", failure.message, wait)
            self._sleep(wait)
            attempt += 1


def _explain(what: str, status: int, code: str, message: str) -> PublicationError:
    if is_transient_status(status):
        return PublicationUnavailable(f"Supabase answered {status} ({what}).")
    if status == httpx.codes.UNAUTHORIZED and code != "42501":
        return PublicationError("Supabase does not accept the key.", next_step=_WRONG_KEY)
    if code in _MISSING or status == httpx.codes.NOT_FOUND:
        return PublicationError(
            f"A table, column or function is missing in Supabase ({what}).",
            next_step=f"Apply {SCHEMA_FILE} to the project.",
        )
    if code == "42501" or status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return PublicationError(
            f"Supabase's policies refuse this key ({what}).",
            next_step=f"{_WRONG_KEY} If it is, apply {SCHEMA_FILE}.",
        )
    return PublicationError(
        f"Supabase refused ({what}): {code or status} {message}".strip() + ".",
        next_step=f"Compare the project with {SCHEMA_FILE}.",
    )
