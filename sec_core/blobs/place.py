"""Where blobs may lie: a folder of this machine, or a folder in an object store."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

_URL: Final = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(/[A-Za-z0-9._=-]+)*)/*")


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A folder in an object store, written `s3://bucket/prefix`.

    Attributes:
        bucket: Name of the bucket.
        prefix: What all names begin with, without slashes at its ends; empty for the whole bucket.
    """

    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address.

        Raises:
            ValueError: It is not of the form `s3://bucket/prefix`.
        """
        found = _URL.fullmatch(text)
        if found is None or {".", ".."} & set(found["prefix"].split("/")):
            raise ValueError("an address is written s3://bucket/prefix, its prefix of letters, digits and . _ - =")
        return cls(found["bucket"], found["prefix"].strip("/"))

    def __truediv__(self, name: str) -> Self:
        return type(self)(self.bucket, f"{self.prefix}/{name}".strip("/"))

    def as_uri(self) -> str:
        """The address, as a path has it too."""
        return str(self)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


Place: TypeAlias = Path | StoreUrl


def parse_place(value: object) -> object:
    """A folder or an address from a setting's text; what is no text stays as it is.

    Raises:
        ValueError: It looks like an address, but of another kind.
    """
    if isinstance(value, str) and "://" in value:
        return StoreUrl.parse(value)
    return value
