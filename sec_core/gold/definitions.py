"""What each published figure means: one list, from which docs/definitions.md and the report's last section are made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """One published figure; `key` is its anchor, `note` says what to beware of."""

    key: str
    name: str
    formula: str
    unit: str
    source: str
    note: str = ""


SNAPSHOTS = "SEC, hourly snapshots (GetPorFecha)"
UNIVERSE = "SEC, customers by region (GetClientesRegional) and for the country (GetClientesNacional)"

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        "event",
        "Event (an outage)",
        "Detailed snapshots: all observations of one comuna, company and start date. Aggregated snapshots: a comuna's "
        "run of hours at or above the threshold, closed by captured hours below it.",
        "count",
        SNAPSHOTS,
        "The rules differ because the source changed its form: from mid 2026 it names neither company nor start date, "
        "for any date. An event belongs to the month in which it begins.",
    ),
    Definition(
        "affected",
        "Affected customers",
        "The high-water mark of customers without supply over an event's life, capped at the customers of its region; "
        "sums add the events up.",
        "customers",
        SNAPSHOTS,
        "A customer cut off twice counts twice. The value before the cap is kept beside it in the Parquet file.",
    ),
    Definition(
        "customer-hours",
        "Customer-hours",
        "The sum of the hourly customers without supply over the captured hours of an event.",
        "customer-hours",
        SNAPSHOTS,
        "An hour without data adds nothing, so a month that is poorly covered shows too little.",
    ),
    Definition(
        "universe",
        "Customers (denominator)",
        "The customers of a region in a month; where the month has no figure, the nearest month's. Where the national "
        "total is known, the regions are scaled to it, and this estimate is used for indices.",
        "customers",
        UNIVERSE,
        "The source has repeated figures of May 2019 for years; `meta` states the age of each.",
    ),
    Definition(
        "comuna-customers",
        "Customers by comuna (clientes_comunales)",
        "The region's customers x the comuna's share of customers billed (the CNE's file nearest to the month within "
        "its year), else of counted dwellings. One method for a region and year; the comunas sum to the region.",
        "customers, an estimate",
        f"{UNIVERSE}; CNE, billing of regulated customers; INE, Censo 2024",
        "Billing counts regulated customers alone. Dwellings give 0.8 to 2.1 times 13 real counts.",
    ),
    Definition(
        "instability",
        "Instability index (market_map)",
        "100 x affected customers of a comuna and company / customers of the region by its newest figure, at most 100; "
        "over the whole history loaded.",
        "percent, 0 to 100",
        f"{SNAPSHOTS}; {UNIVERSE}",
        "Null where the place did not resolve (UNKNOWN) or the region's customers are not known.",
    ),
    Definition(
        "monthly-instability",
        "Monthly instability of a region (report)",
        "100 x affected customers / customers of the region, the mean over the months with captured hours.",
        "percent of customers and month",
        f"{SNAPSHOTS}; {UNIVERSE}",
        "It can exceed 100: a customer can be cut off several times a month.",
    ),
    Definition(
        "ranking",
        "Company ranking",
        "The 15 known companies with the largest sum of affected customers; events, sum, and mean for each event.",
        "customers",
        SNAPSHOTS,
        "Only months whose snapshots name companies count; `meta` lists them. Companies of very different size are not "
        "set in relation to their customers, which the source does not publish.",
    ),
    Definition(
        "saifi",
        "SAIFI",
        "Sum of affected customers of the events that begin in the month / customers.",
        "interruptions for each customer and month",
        "IEEE Std 1366-2012, computed from hourly snapshots",
        "Interruptions shorter than the time between two snapshots can be missed; planned cuts can't be told apart.",
    ),
    Definition(
        "saidi",
        "SAIDI",
        "Sum of customer-hours of the events that begin in the month / customers.",
        "hours for each customer and month",
        "IEEE Std 1366-2012, computed from hourly snapshots",
        "An event counts wholly in the month in which it begins. A month of which under 95% of hours are captured is "
        "marked: its SAIDI is too low.",
    ),
    Definition(
        "caidi",
        "CAIDI",
        "SAIDI / SAIFI: mean hours for each interruption.",
        "hours",
        "IEEE Std 1366-2012, computed from hourly snapshots",
        "None where nobody was affected.",
    ),
    Definition(
        "med",
        "Major event day",
        "A day whose SAIDI exceeds exp(alpha + 2.5 beta): mean and standard deviation of the natural logarithms of "
        "daily SAIDI over the five years before, days without interruptions left out. Where those hold fewer than 365 "
        "such days, the year's own days join; below 10 days there is no threshold.",
        "days; threshold in hours for each customer",
        "IEEE Std 1366-2012, 2.5 beta method",
        "Only days with captured hours enter. Each region has its own threshold, and so has the country.",
    ),
    Definition(
        "peak",
        "Peak share of customers out",
        "The largest sum of customers without supply in one captured hour of the month / customers.",
        "share",
        f"{SNAPSHOTS}; {UNIVERSE}",
        "It exceeds 1 where the denominator is older than the customers.",
    ),
    Definition(
        "coverage",
        "Coverage",
        "Captured hours / hours that have ended. Empty: the source says that it has no data. Failed: it could not be "
        "asked. Quarantined: its answer fits no known form. Pending: not asked yet.",
        "share of hours",
        "The ledger of captures",
        "No data is never zero outages: such hours are missing from every figure.",
    ),
    Definition(
        "quality",
        "Imputation (data quality)",
        "Source rows that a rule had to mend / all source rows; for the cap, events / all events.",
        "share, 0 to 1",
        "The loads of snapshots",
        "0 is the ideal. Nothing is dropped: a mended row stays, marked.",
    ),
    Definition(
        "storm",
        "Storm",
        "Connected comunas that are hit (50 customers and 1% of the comuna's out), with 10 000 customers out in three or "
        "more of them in some hour; measured above the comunas' usual level until 95% is restored, 30 days at most.",
        "customers, hours",
        f"{SNAPSHOTS}; borders of comunas (DPA 2023)",
        "What gaps hide is null. Six-hourly years show fewer and shorter storms: docs/storms.md. Names come from a "
        "reviewed list; counts by meter understate a collapse of transmission.",
    ),
    Definition(
        "projects",
        "Electricity projects (SEIA)",
        "Projects of the energy sector of types b1 and b2 (lines and substations) and c (power plants), counted in "
        "each region that they span.",
        "count",
        "SEIA, the site's export of projects",
    ),
    Definition(
        "roi",
        "Efficiency ratio (investment_roi)",
        "Affected customers of a region over the whole history / investment of its projects; rejected, withdrawn and "
        "lapsed projects left out, a project that spans regions split evenly.",
        "customers for each million US dollars",
        f"SEIA; {SNAPSHOTS}",
        "A ratio, not a cause. The maturity note says how much of the investment is old enough to show: effects are "
        "expected 2 to 3 years after approval.",
    ),
    Definition(
        "validation",
        "Change after a work (investment_validation)",
        "Affected customers for each 1 000 customers and month, 24 months before against 36 after, by calendar month; "
        "95% interval of the paired differences (Student's t over calendar months). Immediate: the first year's "
        "interval lies below zero. Lag: only that of a later year does.",
        "percent of the rate before",
        f"{SNAPSHOTS}; reviewed list of works",
        "Months count if 80% of their days have four captured hours or more and the source had one form; otherwise the "
        "answer is insufficient data. Storms and other works are not controlled for.",
    ),
)
