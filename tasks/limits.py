"""Names of what the Prefect server holds of ours, known without importing Prefect."""

from __future__ import annotations

from typing import Final

SOURCE_LIMIT: Final = "sec-source"
"""Global concurrency limit on days that are requested at once, over all runs; the stack makes it.

It shows in the UI who asks the source. The hard limit on requests is in PostgreSQL (`sec_core.source.throttle`).
"""

AT_REST: Final = "SourceAtRest"
"""State of what left the source alone because the circuit is open: no failure, and no news."""

STORM_UNDER_WAY: Final = "StormUnderWay"
"""State of a monitor's run that saw a storm; notices tell of it."""

OVERVIEW: Final = "overview"
"""Key of the artifact that shows all months."""

SITE_VARIABLE: Final = "sec_site"
"""The Prefect variable that says where the stack serves the site."""
