"""Whether Python, Polars and PostgreSQL agree about Chile's wall clock: each has a time zone database of its own."""

from collections import Counter
from datetime import datetime
from typing import Final

import sqlalchemy

from sec_core.db.database import Database
from sec_core.errors import ConfigError
from sec_core.hours import CHILE, HOUR

_ZONE: Final = "America/Santiago"
_POSTGRES: Final = sqlalchemy.text("""
    select array_agg(extract(epoch from (h at time zone :zone) - (h at time zone 'UTC'))::int order by h)
    from generate_series(cast(:first as timestamptz), cast(:last as timestamptz), interval '1 hour') h
""")
_RENEW: Final = {
    "Python": "Renew it: pip install --upgrade tzdata.",
    "Polars": "Renew it: pip install --upgrade polars.",
    "PostgreSQL": "Renew PostgreSQL, or the package tzdata of its machine, and start it again.",
}


def check_zones(database: Database, start: datetime, end: datetime) -> None:
    """Compare the three for the hours from `start` up to `end`; takes 2 ms for a month.

    Raises:
        ConfigError: They differ; the message names the one that is old and how to renew it.
    """
    hours = [start + HOUR * step for step in range(int((end - start) / HOUR))]
    if not hours:
        return
    told = {"Python": _python(hours), "Polars": _polars(hours), "PostgreSQL": _postgres(database, hours)}
    if len(set(told.values())) == 1:
        return
    shared, count = Counter(told.values()).most_common(1)[0]
    differing = next(index for index, offsets in enumerate(zip(*told.values(), strict=True)) if len(set(offsets)) > 1)
    walls = ", ".join(f"{name} {hours[differing]:%Y-%m-%d %H}h UTC{told[name][differing] / 3600:+g}" for name in told)
    old = [name for name, offsets in told.items() if offsets != shared] if count > 1 else list(told)
    raise ConfigError(
        f"The time zone data of {' and '.join(old)} is old, so hours would be misplaced ({walls}).",
        next_step=" ".join(_RENEW[name] for name in old) + " Then run `sec ledger rebuild` and `sec reprocess`.",
    )


def _python(hours: list[datetime]) -> tuple[int, ...]:
    return tuple(int((hour.astimezone(CHILE).utcoffset() or 0 * HOUR).total_seconds()) for hour in hours)


def _polars(hours: list[datetime]) -> tuple[int, ...]:
    import polars as pl  # noqa: PLC0415 - not every command moves frames

    wall = pl.datetime_range(hours[0], hours[-1], "1h", time_zone="UTC", eager=True).dt.convert_time_zone(_ZONE)
    return tuple((wall.dt.base_utc_offset() + wall.dt.dst_offset()).dt.total_seconds().to_list())


def _postgres(database: Database, hours: list[datetime]) -> tuple[int, ...]:
    values = {"zone": _ZONE, "first": hours[0], "last": hours[-1]}
    with database.engine.connect() as connection:
        return tuple(connection.execute(_POSTGRES, values).scalar_one())
