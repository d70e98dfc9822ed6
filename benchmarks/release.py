"""A release of the whole history: time, memory, and its size beside that of its Parquet."""

from pathlib import Path

from benchmarks.measuring import Bench, apart, opened, size_of
from benchmarks.results import Figure
from sec_core.clock import SystemClock
from sec_core.config import Settings
from sec_core.gold.release.write import check_release, make_release

VERSION = "2026.1"


def make(settings: Settings) -> None:
    """Make it, with all its checks."""
    with opened(settings) as database:
        make_release(database, settings, SystemClock(), VERSION, draft=True, other_source=True)


def check(settings: Settings) -> list[str]:
    """Verify it."""
    return check_release(settings, VERSION)


def measure(here: Bench, settings: Settings) -> list[Figure]:
    """Make a release of a history whose Gold is built."""
    made = apart(here, make, settings)
    checked = apart(here, check, settings)
    folder = Path(str(settings.releases)) / VERSION
    share = size_of(folder) / sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    return [
        Figure("release_s", "A release, nine years", made.wall_s, "s", target="≤ 40", met=made.wall_s <= 40),
        Figure("release_peak_mb", "  its peak memory", made.peak_bytes / 1e6, "MB", target="≤ 1 000",
               met=made.peak_bytes <= 1e9),
        Figure("release_share", "  its bytes over those of its Parquet", share, target="≤ 1.3", met=share <= 1.3),
        Figure("release_check_s", "  verifying it", checked.wall_s, "s", met=None if not checked.result else False),
    ]  # fmt: skip
