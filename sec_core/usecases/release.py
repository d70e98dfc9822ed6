"""Releases: making one, verifying one, listing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from sec_core.blobs.place import open_blobs
from sec_core.config import Settings
from sec_core.errors import StorageError
from sec_core.usecases.adapters import Adapters
from sec_core.usecases.progress import in_thread

if TYPE_CHECKING:
    from sec_core.gold.release.write import ReleaseReport


async def release(adapters: Adapters, version: str, draft: bool = False, other_source: bool = False) -> ReleaseReport:
    """Make a release; see `write.make_release`."""
    from sec_core.gold.release.write import make_release

    database, settings, clock = adapters.database, adapters.settings, adapters.clock
    options = {"draft": draft, "other_source": other_source}
    return await in_thread("release", "", make_release, database, settings, clock, version, **options)


def check(settings: Settings, version: str) -> None:
    """Verify a release.

    Raises:
        InputError: There is none of this version.
        StorageError: It is not what it was; the message says what is wrong.
    """
    from sec_core.gold.release.write import check_release

    if wrong := check_release(settings, version):
        raise StorageError(
            f"Release {version} is not what it was: {' '.join(wrong)}", next_step="Restore it from a copy."
        )


def listed(settings: Settings) -> list[tuple[str, str, str, str, int, float]]:
    """Version, day, newest hour, kind, files and MB of each release, the oldest first."""
    from sec_core.gold.release.contents import PACKAGE
    from sec_core.gold.release.write import versions

    found, releases = [], open_blobs(settings.releases)
    for version in versions(settings):
        package = orjson.loads(releases.read(f"{version}/{PACKAGE}"))
        sizes = [each["tamano_bytes"] for each in package["resources"]]
        kind = "draft" if package["borrador"] else "release"
        about = (str(version), package["fecha"], str(package["ultima_hora"]), kind)
        found.append((*about, len(sizes) + 2, round(sum(sizes) / 1e6, 1)))
    return found
