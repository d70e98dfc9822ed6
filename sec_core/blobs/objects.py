"""Blobs as objects in a store that speaks S3.

The store must honour `If-None-Match: *` on PUT, which is
how `put_new` keeps its promise: Amazon's, MinIO's, Cloudflare's, Ceph's and others do.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache
from io import BytesIO
from typing import Any, Final, Self

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store
from pydantic import SecretStr, model_validator
from pydantic_settings import SettingsConfigDict
from typing_extensions import override

from sec_core.blobs import parts
from sec_core.blobs.place import BlobMissing, Blobs, StoreUrl, at_once, checked
from sec_core.environment import Environment, HeaderSecret, HeaderText
from sec_core.errors import StorageError, StorageUnavailable, is_transient_status

_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.05
_TIMEOUT: Final = timedelta(seconds=60)
_STATUS: Final = re.compile(r"status code: ([0-9]{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z]+)</Code>")
# S3 answers it to writes that meet; the same write succeeds a moment later.
_CONFLICT: Final = 409

_REFUSED: Final = (
    "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION, and that they may list, read, "
    "write and delete there."
)
_NO_ANSWER: Final = (
    "Check the network, AWS_ENDPOINT_URL and the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), then run the "
    "same command again; what was captured is kept."
)


class StoreAccess(Environment):
    """How a store is reached, from the usual variables of S3: `AWS_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="AWS_", frozen=True)

    access_key_id: HeaderText | None = None
    """Name of the key; without it the machine's own role is asked for, where there is one."""
    secret_access_key: HeaderSecret | None = None
    session_token: HeaderSecret | None = None
    """Goes with a temporary key."""
    region: HeaderText | None = None
    endpoint_url: HeaderText | None = None
    """Address of the store; None means Amazon's."""
    virtual_hosted_style_request: bool | None = None
    """Whether the bucket is part of the host's name; `endpoint_url` must then name it."""

    @model_validator(mode="after")
    def _key_is_whole(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("AWS_ACCESS_KEY_ID names a key and AWS_SECRET_ACCESS_KEY is it: set both or neither")
        return self

    def options(self) -> dict[str, Any]:
        """What the client takes; what is not set is left to it."""
        given = self.model_dump(exclude_none=True)
        return given | {name: text.get_secret_value() for name, text in given.items() if isinstance(text, SecretStr)}


class ObjectBlobs(Blobs):
    """Blobs as objects below a folder of a bucket.

    Args:
        place: The folder; the bucket must be there.
    """

    def __init__(self, place: StoreUrl) -> None:
        self.place: StoreUrl = place
        access = StoreAccess.read()
        with self._translated():
            self._store = _connect(str(place), access)

    @override
    def put_new(self, key: str, data: bytes) -> bool:
        for attempt in range(_ATTEMPTS):
            with self._translated(key):
                try:
                    obstore.put(self._store, checked(key), data, mode="create", use_multipart=False)
                except AlreadyExistsError:
                    # Of two that come at once, a store may turn both away: then the name is still free.
                    if self.exists(key):
                        return False
                else:
                    return True
            time.sleep(_PAUSE_S * 2**attempt)
        raise StorageUnavailable(f"{self.place}/{key} could not be written: others write it all the time.")

    @override
    def replace(
        self, key: str, data: bytes | memoryview, *, durable: bool = True, headers: Mapping[str, str] | None = None
    ) -> None:
        with self._translated(key):
            obstore.put(self._store, checked(key), bytes(data), attributes=dict(headers or {}), use_multipart=False)

    @override
    def headers(self, key: str) -> Mapping[str, str]:
        with self._translated(key):
            return dict(obstore.get(self._store, checked(key)).attributes)

    @override
    def read(self, key: str) -> bytes:
        with self._translated(key):
            return obstore.get(self._store, checked(key)).bytes().to_bytes()

    @override
    def tail(self, key: str, size: int) -> bytes:
        with self._translated(key):
            found = obstore.get(self._store, checked(key), options={"range": {"suffix": size}})
            return found.bytes().to_bytes()

    @override
    def source(self, key: str) -> BytesIO:
        return BytesIO(self.read(key))

    @override
    def size(self, key: str) -> int:
        with self._translated(key):
            return obstore.head(self._store, checked(key))["size"]

    @override
    def list(self, prefix: str) -> Iterator[str]:
        with self._translated(prefix):
            batches = obstore.list(self._store, checked(prefix))
            found = [entry["path"] for batch in batches for entry in batch]
        yield from sorted(found)

    @override
    def delete(self, key: str) -> None:
        with suppress(BlobMissing), self._translated(key):
            obstore.delete(self._store, checked(key))

    @override
    def delete_below(self, prefix: str) -> None:
        self._delete_all(self.list(prefix))

    @override
    def append(self, key: str, data: bytes) -> None:
        # The number is behind those of all parts there. Without an answer the part may be there nonetheless.
        folder = parts.folder_of(key)
        self.replace(folder + parts.next_part(self._names(folder)), data)

    @override
    def read_log(self, key: str) -> bytes:
        return parts.joined(self._read_parts(key)[0])

    @override
    def compact(self, key: str, most: int = 64) -> None:
        if len(self._names(parts.folder_of(key))) <= most and not self.exists(key):
            return
        # What is packed is deleted only after the pack was read back. Others may add parts, read and pack meanwhile.
        held, blobs = self._read_parts(key)
        if len(blobs) < 2 and key not in blobs:
            return
        short, body = parts.pack(held)
        name = parts.folder_of(key) + short
        # Taken already if another packs the same: its bytes are the same then.
        self.put_new(name, body)
        if parts.unpack(name, self.read(name)) != held:
            raise StorageError(f"{self.place}/{name} is not what was packed; its parts stay.")
        self._delete_all([blob for blob in blobs if blob != name])

    def _names(self, folder: str) -> Sequence[str]:
        return [name.removeprefix(folder) for name in self.list(folder)]

    def _read_parts(self, key: str) -> tuple[dict[str, bytes], Sequence[str]]:
        """Parts by name, and the names of the blobs that hold them."""
        folder = parts.folder_of(key)
        for _ in range(_ATTEMPTS):
            wanted = [folder + name for name in self._names(folder) if parts.parse(name)]
            if self.exists(key):
                wanted.append(key)
            try:
                blobs = dict(zip(wanted, at_once(self.place, self.read, wanted), strict=True))
            except BlobMissing:
                continue  # it was packed meanwhile: the pack is there now
            whole = {parts.first_part(data): data for blob, data in blobs.items() if blob == key}
            return parts.of_blobs(blobs) | whole, wanted
        raise StorageUnavailable(f"{self.place}/{key} is packed again and again while it is read.")

    def _delete_all(self, keys: Iterable[str]) -> None:
        for _ in at_once(self.place, self.delete, keys):
            pass

    @contextmanager
    def _translated(self, key: str = "") -> Iterator[None]:
        """Raise what the library says in the project's words, without its details: they repeat what was sent."""
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise self._failure(f"{self.place}/{key}".rstrip("/"), error) from None

    def _failure(self, what: str, error: Exception) -> StorageError:
        told = str(error)
        found, code = _STATUS.search(told), _CODE.search(told)
        status, name = found and int(found[1]), f" ({code[1]})" if code else ""
        denied = isinstance(error, PermissionDeniedError | UnauthenticatedError)
        if "NoSuchBucket" in (told if isinstance(error, FileNotFoundError) else name):
            return StorageError(
                f"There is no bucket {self.place.bucket}.",
                next_step="Make it, or correct SEC_DATA_DIR or AWS_ENDPOINT_URL.",
            )
        if isinstance(error, FileNotFoundError):
            return BlobMissing(f"{what} is missing.")
        if "redirect" in told and not denied:
            return StorageError(f"The object store sends {what} elsewhere.", next_step="Check AWS_REGION.")
        if denied or (status and status // 100 == 4 and not (is_transient_status(status) or status == _CONFLICT)):
            with_status = "" if denied else f" with {status}"
            return StorageError(f"The object store refuses {what}{with_status}{name}.", next_step=_REFUSED)
        if status is None:
            return StorageUnavailable(f"The object store did not answer about {what}.", next_step=_NO_ANSWER)
        return StorageUnavailable(f"The object store answered {status}{name} about {what}.")


@lru_cache(maxsize=8)
def _connect(url: str, access: StoreAccess) -> S3Store:
    """One client, with its connections, for each place and way of reaching it."""
    unencrypted = (access.endpoint_url or "").startswith("http://")
    return S3Store.from_url(
        url,
        config=access.options(),  # type: ignore[arg-type] # its names are those of S3Config
        client_options={"allow_http": unencrypted, "timeout": _TIMEOUT, "connect_timeout": timedelta(seconds=5)},
        retry_config={"max_retries": 3, "retry_timeout": _TIMEOUT},
        # Deleting many in one request is not known to all that speak S3.
        disable_bulk_delete=True,
    )
