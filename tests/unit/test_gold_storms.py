"""Storms: planted ones come back as planted, and the fast rules agree with the definition read slowly."""

import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from support.storm_reference import World, reference_storms

from scripts import storm_rules
from sec_core.gold.frames import UTC_TIME
from sec_core.gold.storm_curves import STORMS_SCHEMA, compared, restored, storm_id
from sec_core.gold.storms import StormRules, find_storms
from sec_core.hours import Month, closed_hours
from sec_core.reference.tables import comunas, neighbours, topology

RULES = StormRules()
HOUR = timedelta(hours=1)
START = datetime(2024, 6, 1, 4, tzinfo=UTC)
# Six comunas in a row, each the neighbour of the next.
LINE = ["05101", "05102", "05103", "05105", "05107", "05109"]
# Two of them are islands that the list of sea neighbours joins.
CHILOE = ["10201", "10203", "10204", "10205", "10206", "10210"]
CUSTOMERS = dict.fromkeys(LINE, 40_000)


def line_neighbours() -> set[tuple[str, str]]:
    return set(pairwise(LINE))


def found(
    values: dict[datetime, dict[str, int]],
    *,
    expected: Iterable[datetime] | None = None,
    rules: StormRules = RULES,
    pairs: set[tuple[str, str]] | None = None,
    customers: dict[str, int] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = [(hour, code, out) for hour, row in values.items() for code, out in row.items()]
    random.Random(len(rows)).shuffle(rows)
    panel = pl.DataFrame(
        rows,
        schema={"hora": pl.Datetime("us", "UTC"), "codigo_comuna": pl.String, "clientes_afectados": pl.Int64},
        orient="row",
    )
    hours = sorted(values)
    every = hours if expected is None else list(expected)
    months = sorted({Month.of(hour).first_day for hour in hours})
    who = pl.DataFrame(
        [(month, code, count) for month in months for code, count in (customers or CUSTOMERS).items()],
        schema={"mes": pl.Date, "codigo_comuna": pl.String, "clientes": pl.Int64},
        orient="row",
    )
    stamp = pl.Datetime("us", "UTC")
    return find_storms(
        panel,
        pl.Series(hours, dtype=stamp),
        pl.Series(every, dtype=stamp),
        who,
        line_neighbours() if pairs is None else pairs,
        rules,
    )


def quiet(hours: int, start: datetime = START) -> dict[datetime, dict[str, int]]:
    return {start + HOUR * number: {} for number in range(hours)}


def plant(values: dict[datetime, dict[str, int]], at: datetime, shape: list[int], codes: list[str] = LINE[:4]) -> None:
    """Add a storm whose total is `shape` times its number of comunas; hours that are not there stay so."""
    for number, out in enumerate(shape):
        row = values.get(at + HOUR * number)
        if row is not None:
            for code in codes:
                row[code] = row.get(code, 0) + out


SHAPE = [1000, 4000, 6000, 3000, 2900, 500, 200, 0]
AT = START + 200 * HOUR


def planted(shape: list[int] = SHAPE, codes: list[str] = LINE[:4], hours: int = 400) -> dict[datetime, dict[str, int]]:
    """Quiet hours with one storm at `AT`."""
    values = quiet(hours)
    plant(values, AT, shape, codes)
    return values


def test_a_planted_storm_comes_back() -> None:
    storms, curves = found(planted())
    row = storms.row(0, named=True)
    assert storms.height == 1
    assert row["id"] == storm_id(AT, "05101")
    assert (row["inicio"], row["hora_punta"], row["punta"]) == (AT, AT + 2 * HOUR, 24_000)
    # At or under 5% of 24 000 from the hour with 200 a comuna on: 800.
    assert row["fin"] == AT + 6 * HOUR
    assert (row["horas_hasta_punta"], row["horas_50"], row["horas_90"], row["horas_95"]) == (2, 1, 3, 4)
    assert (row["comunas"], row["regiones"], row["cobertura"], row["abierta"]) == (4, "05", 1.0, False)
    assert row["cliente_horas"] == 4 * (1000 + 4000 + 6000 + 3000 + 2900 + 500)
    assert (row["salidas"], row["reposiciones"], row["reposicion_maxima"]) == (24_000, 23_200, 12_000)
    assert curves.group_by("hora").agg(pl.col("clientes_afectados").sum()).sort("hora").row(2) == (
        AT + 2 * HOUR,
        24_000,
    )


def test_the_usual_level_is_taken_off() -> None:
    values = planted()
    for row in values.values():
        row["05101"] = row.get("05101", 0) + 120
    assert found(values)[0]["punta"].to_list() == [24_000]


def test_two_apart_at_once_are_two_and_two_that_meet_are_one() -> None:
    islands = {("05101", "05102"), ("05102", "05103"), ("05105", "05107"), ("05107", "05109")}
    values = planted(codes=LINE)
    assert found(values, pairs=islands)[0].height == 2
    assert found(values)[0].height == 1


def test_one_after_another_in_the_same_place() -> None:
    values = planted(hours=500)
    # One comuna stays hit between them, so that their hits are connected.
    plant(values, AT, [500] * 13, LINE[:1])
    plant(values, AT + 12 * HOUR, SHAPE)
    storms, _ = found(values)
    # The second begins with the first hit after the end of the first.
    assert storms["inicio"].to_list() == [AT, AT + 9 * HOUR]
    assert storms["punta"].to_list() == [24_500, 24_000]


def test_single_comunas_are_no_storm_however_large() -> None:
    assert found(planted([30_000] * 10, [*LINE[:2], LINE[4]]))[0].is_empty()


def test_ordinary_years_have_less_than_one_false_storm() -> None:
    """Thirty single comunas a year cut off, with 10 000 customers and more, among ordinary outages."""
    hours, years = storm_rules.year_hours(), range(1, 9)
    calm = [storm_rules.found(hours, storm_rules.ordinary(seed, hours, cuts=30), RULES) for seed in years]
    assert 0 < pl.concat(calm).height < len(years), "the rule lets some through, see docs/storms.md"


def test_false_storms_of_busy_years_say_that_they_may_be_local() -> None:
    hours, years = storm_rules.year_hours(), range(1, 4)
    busy = pl.concat(
        [storm_rules.found(hours, storm_rules.ordinary(seed, hours, busy=70, cuts=100), RULES) for seed in years]
    )
    assert storm_rules.unmarked(busy) < len(years) < busy.height


def test_thresholds_are_reached_and_not_only_passed() -> None:
    values = planted([50] * 3, LINE[:3])
    exact = StormRules(min_customers=50, share=50 / 40_000, peak=150, min_comunas=3)
    assert found(values, rules=exact)[0].height == 1
    assert found(values, rules=StormRules(51, 0, 150, 3))[0].is_empty()
    assert found(values, rules=StormRules(50, 51 / 40_000, 150, 3))[0].is_empty()
    assert found(values, rules=StormRules(50, 0, 151, 3))[0].is_empty()
    assert found(values, rules=StormRules(50, 0, 150, 4))[0].is_empty()


def test_what_a_gap_hides_is_null() -> None:
    values = planted()
    every = sorted(values)
    del values[AT + HOUR]
    row = found(values, expected=every)[0].row(0, named=True)
    assert row["punta"] == 24_000
    hidden = ("horas_hasta_punta", "cliente_horas", "salidas", "reposiciones", "reposicion_maxima")
    assert [row[name] for name in hidden] == [None] * 5
    assert (row["horas_50"], row["horas_90"], row["horas_95"]) == (1, 3, 4)
    assert row["cobertura"] == pytest.approx(5 / 6)


def test_a_restoration_inside_a_gap_is_null() -> None:
    values = planted()
    every = sorted(values)
    for hidden in (3, 4):
        del values[AT + hidden * HOUR]
    row = found(values, expected=every)[0].row(0, named=True)
    assert (row["horas_50"], row["horas_90"], row["horas_95"]) == (None, None, 4)


def test_a_gap_longer_than_the_rule_parts_hits() -> None:
    values = planted([6000] * 20)
    every = sorted(values)
    for hidden in range(6, 11):
        del values[AT + hidden * HOUR]
    assert found(values, expected=every)[0].height == 1
    del values[AT + 11 * HOUR]
    assert found(values, expected=every)[0].height == 2


def test_an_open_storm_says_so() -> None:
    row = found(planted(hours=205))[0].row(0, named=True)
    assert (row["abierta"], row["fin"], row["horas_50"], row["horas_95"]) == (True, None, 1, None)


def test_thirty_days_at_most() -> None:
    storms, _ = found(planted([6000] * 1000, hours=1200))
    assert storms["fin"].to_list() == [AT + 720 * HOUR], "what goes on after that is the usual level by then"


@pytest.mark.parametrize("day", [date(2024, 4, 6), date(2024, 9, 7), date(2024, 6, 30), date(2024, 7, 14)])
def test_over_midnight_month_ends_and_clock_changes(day: date) -> None:
    at = datetime(day.year, day.month, day.day, 22, tzinfo=UTC) + 4 * HOUR
    months = [Month.of(at - 300 * HOUR), Month.of(at), Month.of(at + 300 * HOUR)]
    now = datetime(2025, 1, 1, tzinfo=UTC)
    hours = sorted({hour for month in months for hour in closed_hours(month, now)})
    values: dict[datetime, dict[str, int]] = {hour: {} for hour in hours}
    place = hours.index(min(hours, key=lambda hour: abs(hour - at)))
    for number, out in enumerate(SHAPE):
        values[hours[place + number]] = dict.fromkeys(LINE[:4], out)
    row = found(values, expected=hours)[0].row(0, named=True)
    assert (row["punta"], row["cobertura"]) == (24_000, 1.0)
    assert row["cliente_horas"] == 4 * sum(SHAPE[:6])


# The ends of three months; after two of them the clocks change, back and forward.
WINDOWS = [
    closed_hours(month, datetime(2025, 1, 1, tzinfo=UTC))[-150:]
    + closed_hours(month.shift(1), datetime(2025, 1, 1, tzinfo=UTC))[:150]
    for month in (Month(2024, 3), Month(2024, 5), Month(2024, 8))
]
PLACES = [(LINE, line_neighbours()), (CHILOE, {pair for pair in neighbours() if set(pair) <= set(CHILOE)})]


@pytest.mark.parametrize("seed", range(200))
def test_random_worlds_agree_with_the_definition(seed: int) -> None:
    """What no pair joins is an island; sizes are such that some storms meet, and some follow each other."""
    draw = random.Random(seed)
    every, (places, borders) = draw.choice(WINDOWS), draw.choice(PLACES)
    codes = places[: draw.randint(3, 6)]
    pairs = {pair for pair in sorted(borders) if set(pair) <= set(codes) and draw.random() < 0.8}
    customers = {code: draw.choice([2_000, 40_000, 90_000]) for code in codes}
    rules = StormRules(50, 0.01, draw.choice([2_000, 10_000]), draw.choice([2, 3]))
    share = draw.choice([0.9, 0.97, 1])
    values = {hour: dict[str, int]() for hour in every[:: draw.choice([1, 1, 1, 6])] if draw.random() < share}
    for _ in range(draw.randint(2, 12)):
        at, length = draw.randrange(300), draw.randint(1, 60)
        size = 400 * draw.paretovariate(0.7)
        for code in draw.sample(codes, draw.randint(1, len(codes))):
            for number, hour in enumerate(every[at : at + length]):
                if hour in values:
                    row = values[hour]
                    row[code] = row.get(code, 0) + int(min(size * 0.9**number, 80_000))
    storms, curves = found(values, expected=every, rules=rules, pairs=pairs, customers=customers)
    wanted = reference_storms(World(values, customers, pairs | {(b, a) for a, b in pairs}, every), rules)
    assert storms.to_dicts() == [storm.figures for storm in wanted]
    assert {(row[0], row[1], row[2]): row[3] for row in curves.iter_rows()} == {
        (storm.figures["id"], *at): out for storm in wanted for at, out in storm.curve.items()
    }


def test_neighbours_of_the_country() -> None:
    pairs = neighbours()
    codes = {comuna.codigo for comuna in comunas()}
    assert {code for pair in pairs for code in pair} <= codes
    assert all(first < second for first, second in pairs)
    alone = codes - {code for pair in pairs for code in pair}
    assert alone == {"05104", "05201"}, "only the two far islands have no neighbour"
    assert ("10208", "11203") in pairs
    assert len(topology()["objects"]["comunas"]["geometries"]) == 345


HOURS = [START + timedelta(hours=n) for n in range(-1, 12)]


def storm(name: str, **changes: object) -> dict[str, object]:
    base: dict[str, object] = dict.fromkeys(STORMS_SCHEMA) | {"id": name, "inicio": START, "fin": HOURS[10]}
    return base | {"punta": 40_000, "horas_90": 6, "cobertura": 1.0} | changes


def parts(curves: dict[str, list[int]], name: str = "a") -> pl.DataFrame:
    rows = [
        (name, part, START + timedelta(hours=n), out)
        for part, curve in curves.items()
        for n, out in enumerate(curve)
        if out
    ]
    columns = {"id": pl.String(), "parte": pl.String(), "hora": UTC_TIME, "clientes_afectados": pl.Int64()}
    return pl.DataFrame(rows, schema=columns, orient="row")


def calendar(*suspect: int, missing: tuple[int, ...] = ()) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "hora": HOURS,
            "cargada": [n - 1 not in missing for n in range(len(HOURS))],
            "sospechosa": [n - 1 in suspect for n in range(len(HOURS))],
        },
        schema_overrides={"hora": UTC_TIME},
    )


CURVES = {"05": [100, 900, 400, 90], "13": [1000, 700, 500, 101, 100], "16": [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5]}


def test_each_part_is_measured_from_its_own_peak() -> None:
    storms = pl.DataFrame([storm("a")], schema=STORMS_SCHEMA, orient="row")
    found = restored(parts(CURVES), storms, calendar())
    assert found.rows() == [("a", "05", 900, 2), ("a", "13", 1000, 4), ("a", "16", 5, None)]
    behind_gaps = restored(parts(CURVES), storms, calendar(3, missing=(2,)))
    # The first hour seen with a tenth left is the one after the gap, or the hour before it has no data.
    assert behind_gaps.rows() == [("a", "05", 900, None), ("a", "13", 1000, None), ("a", "16", 5, None)]


def test_what_was_seen_differently_stands_apart() -> None:
    rows = [
        storm("a"),
        storm("b", punta=50_000, horas_90=8),
        storm("c", cobertura=0.17, horas_90=None),
        storm("d", punta=12_000, horas_90=2),
    ]
    storms = pl.DataFrame(rows, schema=STORMS_SCHEMA, orient="row")
    regions = restored(parts(CURVES), storms, calendar())
    companies = restored(parts({"Enel": CURVES["13"], "CGE": CURVES["05"]}, "c"), storms, calendar())
    found = compared(storms, regions, companies)
    assert found["anho"].rows() == [
        ("2024", 0, True, 1, 1, 12_000, 2, 1.0),
        ("2024", 30_000, False, 1, 0, 40_000, None, 0.17),
        ("2024", 30_000, True, 2, 2, 45_000, 7, 1.0),
    ]
    assert found["region"]["grupo"].to_list() == ["05", "13", "16"]
    assert found["empresa"].select("grupo", "completa", "horas_90").rows() == [("CGE", False, 2), ("Enel", False, 4)]
