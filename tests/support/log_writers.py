"""A process that adds lines to a log, for tests of many writers: `python -m support.log_writers PLACE NAME LINES`."""

import sys
from pathlib import Path

from sec_core.blobs.place import Place, StoreUrl, open_blobs

LOG = "journal/2024-08.jsonl"


def lines_of(name: str, count: int) -> list[bytes]:
    """What a writer adds, one line at a time."""
    return [f"{name} {number:04d}".encode() for number in range(count)]


def main() -> None:
    """Add the lines, one by one."""
    address, name, count = sys.argv[1:]
    place: Place = StoreUrl.parse(address) if "://" in address else Path(address)
    blobs = open_blobs(place)
    for line in lines_of(name, int(count)):
        blobs.append(LOG, b"\n" + line)


if __name__ == "__main__":
    main()
