"""The global concurrency limit of Prefect that day-sized tasks hold a slot of while they ask the source.

It shows in the UI who asks the source. The hard limit on requests is in PostgreSQL (`sec_core.source`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sec_core.config import Settings

SOURCE_LIMIT: Final = "sec-source"


def source_slots(settings: Settings) -> int:
    """How many days are captured at once: enough that the last hours of one day leave no request slot idle."""
    return 1 + math.ceil(settings.max_concurrency / 12)
