"""Making a release: in a folder of its own beside the others, checked, and given its name when all of it is there."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl
from loguru import logger
from pydantic import BaseModel

from sec_core.blobs.local import LocalBlobs, in_our_words, sync_to_disk
from sec_core.blobs.place import Place, open_blobs
from sec_core.clock import Clock
from sec_core.config import Settings
from sec_core.db.database import Database
from sec_core.db.locks import Lock, turn
from sec_core.errors import InputError, PublicationError, StorageError
from sec_core.gold.build import read_frames
from sec_core.gold.frames import GoldFrames
from sec_core.gold.payloads.basis import METHOD, meta
from sec_core.gold.release import changes, checks, contents
from sec_core.gold.release.contents import (
    INTERFACE,
    PACKAGE,
    SUMS,
    Version,
    files_of,
)
from sec_core.hours import CHILE
from sec_core.text import counted, for_markdown

_UNFINISHED: Final = ".partial-"


class ReleaseReport(BaseModel):
    """What a release holds.

    Attributes:
        version: Its version.
        place: Where it is.
        draft: Whether the bound on coverage was passed over.
        files: How many files.
        bytes: Their size.
        rows: Rows of each table.
        before: The release that it was compared with.
        changes: What changed since that, as Markdown; the file `CHANGES`.
    """

    version: str
    place: str
    draft: bool
    files: int
    bytes: int
    rows: dict[str, int]
    before: str | None
    changes: str

    def line(self) -> str:
        """What was made, in a sentence."""
        kind = "Draft" if self.draft else "Release"
        return f"{kind} {self.version} is in {self.place}: {counted(self.files, 'file')}, {self.bytes / 1e6:,.1f} MB."

    def markdown(self) -> str:
        """What was made, for a person."""
        table = "\n".join(f"| {name} | {count:,} |" for name, count in self.rows.items())
        return f"{for_markdown(self.line())}\n\n| table | rows |\n|---|---:|\n{table}\n\n{self.changes}"


def versions(settings: Settings) -> list[Version]:
    """All releases, the oldest first. One without sums was never finished."""
    keys = open_blobs(settings.releases).list("")
    names = {key.partition("/")[0] for key in keys if key.endswith(f"/{SUMS}")}
    return sorted(Version.parse(name) for name in names if not name.startswith("."))


def make_release(
    database: Database,
    settings: Settings,
    clock: Clock,
    version: str,
    *,
    draft: bool = False,
    other_source: bool = False,
) -> ReleaseReport:
    """Make a release of what Silver holds now. Killed at any instant it leaves all of it, or nothing of that name.

    Args:
        database: Silver.
        settings: Where it goes, and the bound on coverage.
        clock: Tells which hours have ended, and the day of the release.
        version: See `Version`.
        draft: Pass over the bound on coverage, and mark it so.
        other_source: Make it although the data is not the SEC's.

    Raises:
        InputError: There is a release of this version, or this is none.
        PublicationError: The data may not be released; the message has all reasons.
        StorageError: A file can't be written or is not what was written.
    """
    wanted = Version.parse(version)
    with turn(database, Lock.RELEASE), _workshop(settings) as folder:
        known = versions(settings)
        if wanted in known:
            raise InputError(
                f"There is a release {wanted} already, and none is ever changed.",
                next_step=f"Name another one: {wanted.year}.{wanted.month}.{wanted.number + 1}.",
            )
        gold = open_blobs(settings.gold)
        collected, _, _ = read_frames(database, gold, settings, clock)
        _refuse(checks.refusals(collected, settings.release_min_coverage, draft=draft, other_source=other_source))
        rows = contents.write_tables(collected, gold, LocalBlobs(folder))
        about = _about(collected, wanted, settings, draft=draft)
        before = max((each for each in known if each < wanted), default=None)
        found = _compare(settings, before, folder, rows, about) if before else None
        by_year = contents.coverage_by_year(collected.calendar)
        # DuckDB needs the memory.
        del collected
        contents.write_database(folder)
        about["anterior"] = str(before) if before else None
        contents.write_texts(folder, about, rows, by_year, found)
        contents.write_package(folder, about)
        contents.write_sums(folder)
        if wrong := checks.examine(folder):
            raise StorageError(f"The release was not made well: {' '.join(wrong)}", next_step="Run it again.")
        report = ReleaseReport(
            version=str(wanted),
            place=str(settings.releases / str(wanted)),
            draft=draft,
            files=len(files_of(folder)),
            bytes=sum((folder / name).stat().st_size for name in files_of(folder)),
            rows=rows,
            before=about["anterior"],
            changes=(folder / contents.CHANGES).read_text(encoding="utf-8"),
        )
        _seal(folder, settings.releases, str(wanted))
    logger.bind(stage="release").info(report.line())
    return report


def check_release(settings: Settings, version: str) -> list[str]:
    """All that is wrong with a release, in words; raises InputError where there is none of this version."""
    wanted = Version.parse(version)
    if wanted not in versions(settings):
        raise InputError(f"There is no release {wanted}.", next_step="`sec release --list` shows them.")
    with _fetched(settings, wanted) as folder:
        return checks.examine(folder)


def _refuse(reasons: list[str]) -> None:
    if reasons:
        raise PublicationError(f"No release was made. {' '.join(reasons)}")


def _about(collected: GoldFrames, version: Version, settings: Settings, *, draft: bool) -> dict[str, Any]:
    """What a release says of itself in its data package."""
    row = meta(collected)[0].model_dump(mode="json")
    storms = settings.model_dump(include={"storm_min_customers", "storm_share", "storm_peak", "storm_min_comunas"})
    quarter, seen, expected = checks.quarter_coverage(collected)
    return {
        "version": str(version),
        "created": row["generado"],
        "fecha": str(collected.now.astimezone(CHILE).date()),
        "borrador": draft,
        "interfaz": INTERFACE,
        "programa": row["version"],
        "reglas": {"metodo": METHOD, **row["umbrales"], **storms},
        **{name: row[name] for name in ("origen", "origenes", "primera_hora", "ultima_hora")},
        "trimestre": {"meses": quarter, "horas": expected, "horas_cargadas": seen},
    }


def _compare(
    settings: Settings, before: Version, folder: Path, rows: dict[str, int], about: dict[str, Any]
) -> changes.Changes:
    """What changed since the release before."""
    with _fetched(settings, before) as held:
        package = orjson.loads((held / PACKAGE).read_bytes())
        old, new = (
            {name: pl.read_parquet(place / f"{name}.parquet") for name in changes.READ} for place in (held, folder)
        )
    counts: Counter[str] = Counter()
    for part in package["resources"]:
        if "tabla" in part:
            counts[part["tabla"]] += part["filas"]
    rules = [each["reglas"] | {"interfaz": each["interfaz"]} for each in (package, about)]
    found = changes.compare(old, new, (counts, rows), rules)
    _refuse(
        [
            f"{each['cifra']} of {each['clave']} ({each['tabla']}) moved from {each['antes']} to {each['ahora']} since"
            f" release {before}, though its hours, names, rules and denominators are the same."
            for each in found.unexplained.head(10).iter_rows(named=True)
        ]
    )
    return found


@contextmanager
def _workshop(settings: Settings) -> Iterator[Path]:
    """An empty folder in which a release is made, beside the others; gone afterwards. Older ones were killed."""
    place = settings.releases if isinstance(settings.releases, Path) else settings.state / "releases"
    with in_our_words(place, "written"):
        place.mkdir(parents=True, exist_ok=True)
        for left in place.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        made = tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=place, ignore_cleanup_errors=True)
    with made as folder:
        yield Path(folder)


@contextmanager
def _fetched(settings: Settings, version: Version) -> Iterator[Path]:
    """The folder of a release: a copy of it where it is in an object store."""
    place = settings.releases
    if isinstance(place, Path):
        yield place / str(version)
        return
    blobs = open_blobs(place)
    with tempfile.TemporaryDirectory(prefix="sec-release-") as made:
        for key in blobs.list(f"{version}/"):
            LocalBlobs(Path(made)).replace(key, blobs.read(key), durable=False)
        yield Path(made) / str(version)


def _seal(folder: Path, place: Place, name: str) -> None:
    """Give a finished release its name, whole or not at all, so that it survives a power cut.

    In an object store the sums come last: without them there is no release.
    """
    if not isinstance(place, Path):
        blobs = open_blobs(place)
        for key in sorted(files_of(folder), key=lambda key: key == SUMS):
            blobs.replace(f"{name}/{key}", (folder / key).read_bytes())
        return
    with in_our_words(place / name, "written"):
        folder.chmod(0o755)
        for path in [*folder.rglob("*"), folder]:
            sync_to_disk(path)
        folder.rename(place / name)
        sync_to_disk(place)
