"""Names of what the Prefect server holds of ours, known without importing Prefect."""

from typing import Final

# Global concurrency limit on days that are requested at once, over all runs; the stack makes it.
#
# It shows in the UI who asks the source. The hard limit on requests is in PostgreSQL (`sec_core.source.throttle`).
SOURCE_LIMIT: Final = "sec-source"

# State of what left the source alone because the circuit is open: no failure, and no news.
AT_REST: Final = "SourceAtRest"

# State of a monitor's run that saw a storm; notices tell of it.
STORM_UNDER_WAY: Final = "StormUnderWay"

# Key of the artifact that shows all months.
OVERVIEW: Final = "overview"

# The Prefect variable that says where the stack serves the site.
SITE_VARIABLE: Final = "sec_site"
