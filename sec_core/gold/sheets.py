"""Tables that people hand in: Excel workbooks and `;` CSV files, read as text under bounds.

Columns are found by their headings, whatever their order, case, accents, spaces or footnote marks. A workbook is read
in a process of its own with bounded memory and time: a few bytes of it can describe more cells than any machine holds.
"""

import csv
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sec_core.blobs.local import in_our_words
from sec_core.errors import InputError
from sec_core.reference.tables import fold
from sec_core.text import counted

LARGEST_FILE: Final = 100 * 2**20
MOST_CELLS: Final = 20_000_000
WORKBOOK_MEMORY: Final = 2 * 2**30
WORKBOOK_SECONDS: Final = 120
WORKBOOKS: Final = frozenset({".xlsx", ".xls", ".xlsb", ".xlsm", ".ods"})
_HEADING_ROWS: Final = 20
_FOOTNOTE = re.compile(r"\s*(?:\(\s*(?:\*+|[0-9]{1,2})\s*\)|\*+|[\u00b9\u00b2\u00b3\u2070-\u2079]+)\s*$")
_GROUPED = {
    # 1.250.000 and 1.250,5; 1,250,000 and 1,250.5; spaces and apostrophes part thousands in either.
    ",": re.compile(r"-?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+)(?:,[0-9]+)?"),
    ".": re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"),
}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a table that is left out: its number in the file, counted from 1, why, and what it calls itself."""

    row: int
    reason: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table as text.

    Attributes:
        rows: Cells by our name of each known column, empty where the file lacks it.
        first_row: Number of the first row of data in the file, counted from 1.
        missing: Headings of known columns that the file lacks.
        decimal: What a number such as `1.250` is read with, where nothing else tells: `.` in a workbook, whose numbers
            are numbers, `,` in a CSV, where Chileans part thousands so.
    """

    rows: list[dict[str, str]]
    first_row: int
    missing: tuple[str, ...] = ()
    decimal: str = ","

    def numbered(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows that are not blank, each with its number in the file."""
        return ((at, row) for at, row in enumerate(self.rows, self.first_row) if any(row.values()))


def hand_in(path: Path, inbox: Path) -> str:
    """Put a copy of a file into the inbox, where runs take files from, and return its name there.

    Raises:
        InputError: It can't be read, is no regular file or too large.
        StorageError: The inbox can't be written to.
    """
    check_file(path)
    with in_our_words(path.name, f"copied to {inbox}"):
        inbox.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.resolve().parent != inbox.resolve():
            part = inbox / f".{path.name}.{os.getpid()}.part"
            shutil.copyfile(path, part)
            part.replace(inbox / path.name)
    return path.name


def in_inbox(name: str, inbox: Path) -> Path:
    """A file of the inbox by its bare name; links that lead out of it count as missing.

    Raises:
        InputError: There is no such file.
    """
    sound = name.encode("utf-8", "replace")
    bare = Path(name).name == name == sound.decode() and not {"\\", "\0"} & set(name) and len(sound) < 256
    path = (inbox / name).resolve() if bare else inbox
    if path.parent != inbox.resolve() or not path.is_file():
        raise InputError(f"The inbox has no file {name[:100]!r}.", next_step=f"Put it into {inbox} and give its name.")
    return path


def read_sheet(path: Path, headings: Mapping[str, Sequence[str]], required: Sequence[str], what: str) -> Sheet:
    """Read a table whose heading row is the first one that names all that is required, or most of it.

    Args:
        path: `.xlsx`, `.xls`, `.xlsb`, `.xlsm` or `.ods`; anything else is read as `;` CSV in UTF-8 or Latin-1.
        headings: Our name of a column to its headings, the first one that is found counts.
        required: Our names of the columns without which a row means nothing.
        what: What the file is meant to be, for messages: "export of the SEIA".

    Raises:
        InputError: The file can't be read within bounds, or lacks a column that is required.
    """
    check_file(path)
    workbook = path.suffix.lower() in WORKBOOKS
    cells = _workbook(path) if workbook else _csv(path)
    head = [_columns(row, headings) for row in cells[:_HEADING_ROWS]]
    at = max(range(len(head)), key=lambda row: len(head[row].keys() & required), default=0)
    columns = head[at] if head else {}
    lacking = [headings[name][0] for name in required if name not in columns]
    if len(lacking) > len(required) // 2:
        raise InputError(
            f"{path.name} is no {what}.",
            next_step=f"It needs at least the columns {', '.join(headings[name][0] for name in required)}.",
        )
    if lacking:
        raise InputError(f"{path.name} has no column {', '.join(lacking)}.", next_step="Add it, or export it again.")
    blank = dict.fromkeys(headings, "")
    rows = [blank | {name: line[i].strip() for name, i in columns.items() if i < len(line)} for line in cells[at + 1 :]]
    missing = tuple(spellings[0] for name, spellings in headings.items() if name not in columns)
    return Sheet(rows, at + 2, missing, "." if workbook else ",")


def number(text: str, *, decimal: str) -> float | None:
    """A number as Chileans and Excel write it, or None where there is none.

    Args:
        text: `1.250,5`, `1 250,5`, `1,250.5`, `30,4000`, `$ 130`.
        decimal: `,` or `.`, see `decimal_mark`.
    """
    bare = re.sub(r"[\s\u00a0\u202f'$]", "", text)
    other = "." if decimal == "," else ","
    for mark, grouping in ((decimal, other), (other, decimal)):
        if _GROUPED[mark].fullmatch(bare):
            return float(bare.replace(grouping, "").replace(mark, "."))
    return None


def decimal_mark(texts: Sequence[str], default: str) -> str:
    """The decimal mark of a column: the last mark of a number that has both, else a lone one that parts no thousands.

    Args:
        texts: The column.
        default: For a column that only has numbers such as `1.250`, which may be either: `Sheet.decimal`.
    """
    for text in texts:
        bare = re.sub(r"[^0-9.,]", "", text)
        marks = [mark for mark in bare if mark in ".,"]
        if len(set(marks)) > 1:
            return marks[-1]
        if len(marks) == 1 and len(bare.rpartition(marks[0])[2]) != 3:
            return marks[0]
        if len(marks) > 1:
            return "," if marks[0] == "." else "."
    return default


def check_file(path: Path) -> None:
    """Raise InputError unless a path is a regular file of bearable size."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} can't be read: {getattr(error, 'strerror', None) or error}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path.name} is not a regular file.")
    if status.st_size > LARGEST_FILE:
        raise InputError(f"{path.name} has {status.st_size >> 20} MB; at most {LARGEST_FILE >> 20} are read.")


def _heading(text: str) -> str:
    return fold(_FOOTNOTE.sub("", text))


def _columns(row: Sequence[str], headings: Mapping[str, Sequence[str]]) -> dict[str, int]:
    known = {_heading(cell): at for at, cell in reversed(list(enumerate(row))) if cell}
    places = {name: [known[each] for each in map(_heading, texts) if each in known] for name, texts in headings.items()}
    return {name: found[0] for name, found in places.items() if found}


def _csv(path: Path) -> list[list[str]]:
    try:
        with path.open("rb") as file:
            # A file of the system may say that it is empty, and never end.
            body = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{path.name} can't be read: {error.strerror}.") from error
    if len(body) > LARGEST_FILE:
        raise InputError(f"{path.name} has more than {LARGEST_FILE >> 20} MB.")
    if b"\0" in body:
        raise InputError(f"{path.name} is no text file.", next_step="A workbook keeps its own ending, such as .xlsx.")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("latin-1")
    csv.field_size_limit(2**20)
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=";") if row]
    except csv.Error as error:
        raise InputError(f"{path.name} is no CSV file: {error}.") from error


def _workbook(path: Path) -> list[list[str]]:
    command = [sys.executable, "-m", "sec_core.gold.sheets", str(path.absolute())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=WORKBOOK_SECONDS, check=False)  # noqa: S603 - our own module
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{path.name} takes more than {WORKBOOK_SECONDS} seconds to read.") from error
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = words[0][:200] if done.returncode == 1 and words else "it needs more memory than a table should"
        raise InputError(f"{path.name} is no workbook that can be read: {reason}.")
    rows: list[list[str]] = json.loads(done.stdout)
    return rows


def _read_workbook_here(path: str) -> int:
    """The process that reads a workbook: rows as JSON on standard output."""
    import fastexcel  # noqa: PLC0415 - only this process reads workbooks

    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not on Windows

        resource.setrlimit(resource.RLIMIT_DATA, (WORKBOOK_MEMORY, WORKBOOK_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        sheet = fastexcel.read_excel(path).load_sheet(0, header_row=None, dtypes="string")
    except (fastexcel.FastExcelError, OSError) as error:
        sys.stderr.write(str(error))
        return 1
    if sheet.width * sheet.height > MOST_CELLS:
        sys.stderr.write(f"it has {counted(sheet.width, 'column')} and {counted(sheet.height, 'row')}")
        return 1
    rows = [[cell or "" for cell in row] for row in sheet.to_polars().rows()]
    json.dump(rows, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(_read_workbook_here(sys.argv[1]))
