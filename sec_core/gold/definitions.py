"""What each published figure means: one list, from which docs/definitions.md and the site's method are made."""

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
        "Of a place and month: the sum of the hourly customers out over observed and interpolated hours x ended hours "
        "/ (observed + interpolated). Of an event: the sum over the captured hours from its first to its last.",
        "customer-hours",
        SNAPSHOTS,
        "An hour is interpolated on the straight line between two loaded hours at most 12 hours apart. There is no "
        "estimate where observed and interpolated hours are under half, or more than 120 in a row are neither.",
    ),
    Definition(
        "out",
        "Customers without power",
        "The sum of the customers out that a snapshot lists, by comuna, region or country; a comuna that a loaded hour "
        "does not list has 0.",
        "customers",
        SNAPSHOTS,
        "An hour without data is missing, never 0. Places that did not resolve count in the country alone.",
    ),
    Definition(
        "universe",
        "Customers (denominator)",
        "The customers of a region in a month; where the month has no figure, the nearest month's, scaled to the "
        "national total where that is known. Of a comuna: the region's, shared out by CNE's billing file where one was "
        "read, else by the dwellings counted in the census.",
        "customers",
        f"{UNIVERSE}; CNE, billing; INE, Censo 2024",
        "The source has repeated figures of May 2019 for years; `meta` states the age of each. Customers by comuna are "
        "estimates: against 13 real counts, dwellings give 0.8 to 2.1 of them.",
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
        "Customers newly out, as snapshots show them (each series' first value and every rise between neighbouring "
        "loaded hours) / customers.",
        "interruptions for each customer and month",
        "IEEE Std 1366-2012, computed from hourly snapshots",
        "Rises between snapshots are lost: where under 95% of hours are loaded it is a lower bound, and is not "
        "compared over forms of the source.",
    ),
    Definition(
        "saidi",
        "SAIDI",
        "Customer-hours of the month's own hours, estimated for all ended hours / customers.",
        "hours for each customer and month, or year",
        "IEEE Std 1366-2012, computed from hourly snapshots",
        "measured: every ended hour is loaded. estimated: some are not, and an interval says how sure it is. too "
        "little data: no figure.",
    ),
    Definition(
        "interval",
        "95% interval",
        "Bounds between which the true figure lies in about 95 of 100 cases, from how far estimates of left-out hours "
        "miss what was seen. That of a year or of the country is its own, not a sum of bounds.",
        "as the figure",
        "Calibrated on simulated worlds with known truth and on real hours (docs/estimates.md)",
        "It covers what was not seen, not errors of the source, nor those of the number of customers.",
    ),
    Definition(
        "comuna-saidi",
        "Index of a comuna",
        "Estimated customer-hours of the comuna / its customers, themselves an estimate.",
        "hours for each customer and month, or year",
        f"{SNAPSHOTS}; INE, Censo 2024, or CNE, billing",
        "The interval says nothing of the error of the customers, which can be a factor of two where holiday homes are "
        "many.",
    ),
    Definition(
        "rank",
        "Rank",
        "Place by SAIDI of the year, 1 the most hours, among the comunas of its region, or of its size: quarters of "
        "all comunas by customers; of a region among the 16. In brackets: from how many lie surely above to how many "
        "surely below, by the intervals.",
        "place",
        SNAPSHOTS,
        "Places whose brackets overlap can't be told apart.",
    ),
    Definition(
        "caidi",
        "CAIDI",
        "SAIDI / SAIFI: mean hours for each interruption.",
        "hours",
        "IEEE Std 1366-2012, computed from hourly snapshots",
        "None where nobody was affected, or where SAIFI is a lower bound.",
    ),
    Definition(
        "med",
        "Major event day",
        "A day whose estimated SAIDI exceeds exp(alpha + 2.5 beta): mean and standard deviation of the natural "
        "logarithms of daily SAIDI over earlier years that were seen alike.",
        "days; threshold in hours for each customer",
        "IEEE Std 1366-2012, 2.5 beta method",
        "None, with the reason, where no earlier year was seen alike. Each region has its own threshold, and so has "
        "the country.",
    ),
    Definition(
        "storm",
        "Storm or large outage",
        "Comuna-hours with 50 customers and 1% of the customers out or more, joined over neighbouring comunas and "
        "hours, that reach 10 000 customers in three comunas or more in some hour. Its curve: what its comunas have "
        "out above their median of the 168 hours before, until it stays at or under 5% of the peak.",
        "customers",
        SNAPSHOTS,
        "What a gap hides has no figure. Meters understate a collapse of the transmission grid.",
    ),
    Definition(
        "cut",
        "Length of a cut",
        "Hours from the first in which an event was seen to the last.",
        "hours",
        SNAPSHOTS,
        "At least so many where a gap lies before or after, or where it is still open. What is listed for a week or "
        "more may be a row that the source forgot.",
    ),
    Definition(
        "official",
        "Official index",
        "SAIDI as the SEC publishes it, beside the estimate of the same months; ratio: estimate / official.",
        "hours for each customer and year",
        "SEC, official SAIDI by region",
        "By definition the official index leaves out cuts of 3 minutes or less and states force majeure apart.",
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
