"""The parts of the site: words, charts, small tables. What is not known stays unknown."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from babel.numbers import format_decimal
from hypothesis import given
from hypothesis import strategies as st
from support.gold_frames import make_calendar
from support.site_world import make_frames

from scripts.atlas import generated_files, panels
from sec_core.gold.frames import UTC_TIME
from sec_core.gold.site import charts, figures
from sec_core.gold.site.book import breaks, with_code
from sec_core.gold.site.press import specifications, with_shapes
from sec_core.gold.site.words import LOCALES, Language, catalogue, slug
from sec_core.hours import Month, hours_of_day
from sec_core.reference.tables import comunas

NOW = datetime(2024, 10, 1, 12, tzinfo=UTC)
SITE = Path(charts.__file__).parent
SPANISH, ENGLISH = Language("es"), Language("en")


@given(st.sampled_from(["es", "en"]), st.floats(-1e9, 1e9), st.integers(0, 3))
def test_numbers_are_written_as_babel_writes_them(code: str, value: float, digits: int) -> None:
    pattern = "#,##0" + ("." + "0" * digits if digits else "")
    if value == 0 or abs(value) >= 0.5 * 10**-digits:
        exact = round(value, digits)
        assert Language(code).number(exact, digits) == format_decimal(exact, pattern, locale=LOCALES[code])


def test_what_is_unknown_small_or_nearly_all_is_said_so() -> None:
    assert SPANISH.number(None) == "sin datos"
    assert ENGLISH.percent(None) == "no data"
    assert SPANISH.number(0, 2) == "0,00"
    assert SPANISH.number(0.001, 2) == "<\N{NO-BREAK SPACE}0,01"
    assert ENGLISH.percent(0.9999) == ">\N{NO-BREAK SPACE}99%"
    assert ENGLISH.percent(1) == "100%"
    assert SPANISH.interval(1.234, 1234.5, 1) == "1,2\N{EN DASH}1.234,5"
    assert SPANISH.interval(None, 2) == ""
    # The hour before midnight in UTC, on a winter's day in Chile.
    assert SPANISH.moment(datetime(2024, 8, 1, 2, tzinfo=UTC)) == "31 jul 2024, 22:00"


def test_each_message_has_a_translation() -> None:
    wanted = set()
    for path in SITE.glob("templates/*.html"):
        wanted |= set(re.findall(r'\b_\("((?:[^"\\]|\\.)*)"\)', path.read_text(encoding="utf-8")))
    for path in SITE.glob("*.py"):
        wanted |= set(re.findall(r"""gettext\(\s*["']([^"']*)["']\s*\)""", path.read_text(encoding="utf-8")))
    assert len(wanted) > 150
    assert wanted - catalogue("es").keys() == set()


def test_all_comunas_have_an_address_of_their_own() -> None:
    slugs = {slug(comuna.nombre_oficial) for comuna in comunas()}
    assert len(slugs) == 346
    assert {"nunoa", "o-higgins", "canete"} <= slugs
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in slugs)


def test_the_map_has_all_comunas_once_and_the_city_twice() -> None:
    places = {panel.id: panel for panel in panels()}
    drawn = [code for panel in panels() for code, path in panel.paths.items() if path]
    for file, body in generated_files().items():
        assert file.read_bytes() == body, "Run `python -m scripts.atlas` and commit what it writes."
    assert set(drawn) == {comuna.codigo for comuna in comunas()} - {"12202"}
    assert all(drawn.count(code) == 1 + (code in places["santiago"].paths) for code in drawn)
    assert (list(places["pascua"].paths), list(places["juan-fernandez"].paths)) == (["05201"], ["05104"])
    for panel in panels():
        for path in panel.paths.values():
            x, y = map(int, re.match(r"M(\d+) (\d+)l", path).groups())  # type: ignore[union-attr]
            assert (x <= panel.width, y <= panel.height) == (True, True)


@given(st.floats(0.001, 1e9))
def test_an_axis_holds_its_values_with_few_round_labels(value: float) -> None:
    top, step = charts.nice_top(value)
    assert top >= value * (1 - 1e-9)
    assert 1 <= round(top / step) <= 5
    assert top < 4 * value


def test_a_gap_is_a_band_and_no_zero() -> None:
    known = np.array([True, True, False, False, True])
    chart = charts.steps("x", np.array([0, 10, 99, 99, 10]), known, SPANISH)
    assert chart.gaps == "M2 0H4V200H2z"
    assert chart.area == "M0 200V200H1V0H2V200zM4 200V0H5V200z"
    assert [text for _, text in chart.levels][-1] == "10"
    rows: list[tuple[str, dict[str, Any] | None]] = [
        ("ene", {"saidi": 1.0, "saidi_inf": 0.5, "saidi_sup": 2.0, "cobertura": 0.5}),
        ("feb", None),
    ]
    rows.append(("mar", {"saidi": None, "saidi_inf": None, "saidi_sup": None}))
    bars = charts.bars("x", rows, SPANISH)
    assert (bars.gaps, bars.doubtful) == ("M10 0H20V200H10z", "M20 0H30V200H20z")
    assert (bars.bars, bars.whiskers) == ("M1 200V100h8V200z", "M5 150V0")
    assert [tip for _, tip in bars.tips] == [
        "ene: 1,00 h (0,50\N{EN DASH}2,00; 50\N{NO-BREAK SPACE}%)",
        "feb: sin datos",
        "mar: muy pocos datos para estimar",
    ]


def test_a_day_says_why_it_is_missing() -> None:
    days = [hours_of_day(date(2024, 9, day)) for day in range(1, 9)]
    calendar = make_calendar(
        NOW,
        captured=[*days[0], *days[1][:3], *days[7]],
        empty=[*days[2], *days[1][3:]],
        failed=list(days[3][:1]),
        quarantined=list(days[4]),
    )
    states = dict(figures.day_states(calendar).select(pl.col("dia").dt.day(), "estado").iter_rows())
    # The day of the September change has 23 hours, and is complete with them.
    assert [states[day] for day in (1, 2, 3, 4, 5, 6, 8)] == [
        "complete", "partial", "empty", "failed", "failed", "pending", "complete",
    ]  # fmt: skip


def test_hours_that_nobody_saw_are_null_in_series_and_peaks() -> None:
    frames = make_frames()
    grid = figures.recent_grid(frames)
    assert len(grid.hours) == 60 * 24
    unknown = [at for at, known in enumerate(grid.known) if not known]
    assert len(unknown) == 72
    listed = grid.listed("13120")["clientes"]
    assert {listed[at] for at in unknown} == {None}
    assert None not in (value for at, value in enumerate(listed) if at not in unknown)
    assert set(grid.listed("99999")["clientes"]) == {0, None}
    peaks = figures.daily_peaks(frames)
    gap = peaks.filter(pl.col("dia").dt.month_start() == date(2023, 6, 1))
    assert (gap["clientes"].null_count(), gap["cobertura"].sum()) == (30, 0)


def test_ranks_say_between_which_places_they_may_lie() -> None:
    codes = ["01101", "01107", "01401", "02101"]
    about = pl.DataFrame(
        {"codigo_comuna": codes, "codigo_region": ["01", "01", "01", "02"], "clientes": [100, 100, 100, 100]}
    )
    months = pl.DataFrame({"codigo_comuna": codes, "mes": [date(2024, 1, 1)] * 4, "clientes": [100, 100, 100, 100]})
    years = pl.DataFrame(
        {
            "anho": [2024] * 4, "serie": codes, "metodo": ["estimado"] * 4, "horas": [10] * 4, "observadas": [5] * 4,
            "interpoladas": [4] * 4, "clientes_punta": [50] * 4, "cliente_horas": [300.0, 250.0, 100.0, None],
            "cliente_horas_inf": [240.0, 200.0, 90.0, None], "cliente_horas_sup": [400.0, 300.0, 110.0, None],
        }
    )  # fmt: skip
    frames = make_frames()
    table = replace(frames, comunas=about, comunal=months, years=years).by_comuna
    columns = ["saidi", "lugar_region", "mejor_region", "peor_region", "de_region", "cuartil"]
    assert table.select(columns).rows() == [
        (3.0, 1, 1, 2, 3, 1),
        (2.5, 2, 1, 2, 3, 2),
        (1.0, 3, 3, 3, 3, 3),
        (None, None, None, None, None, 4),
    ]


def test_the_longest_cuts_say_what_they_may_hide() -> None:
    begin = datetime(2024, 8, 1, tzinfo=UTC)
    # fmt: off
    events = pl.DataFrame(
        [
            ("a", "07101", begin, begin + timedelta(hours=200), None, "inicio"),
            ("b", "07101", begin, begin + timedelta(hours=1), begin + timedelta(hours=2), None),
            ("c", "", begin, begin + timedelta(hours=900), None, None),
        ],
        schema={
            "hash_id": pl.String, "codigo_comuna": pl.String, "primera_hora": UTC_TIME, "ultima_hora": UTC_TIME,
            "fin": UTC_TIME, "censurado": pl.String,
        },
        orient="row",
    ).with_columns(forma=pl.lit("detailed"), nombre_empresa=pl.lit("CGE"), clientes_afectados=9, cliente_horas=9)
    # fmt: on
    cuts = figures.longest_cuts(events)
    assert cuts.select("horas", "abierta", "censurado", "estancada").rows() == [
        (201, True, "inicio", True),
        (2, False, None, False),
    ]


@pytest.mark.parametrize(
    ("values", "cuts"), [([], []), ([0.0, 0.0], []), ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3, 4, 5])]
)
def test_colours_change_at_round_quantiles(values: list[float], cuts: list[float]) -> None:
    assert breaks(values) == cuts


def test_pictures_carry_their_data_and_the_map_its_shapes() -> None:
    found = specifications(make_frames(Month(2023, 12), Month(2025, 1)))
    assert found.keys() == {"pais-dias", "pais-anhos", "mapa", "cobertura", "tormentas"}
    assert all(spec["datasets"]["filas"] for spec in found.values())
    names = [row["tormenta"] for row in found["tormentas"]["datasets"]["filas"]]
    assert len(set(names)) == len(names) == 2
    drawn = {
        shape["id"] for shape in with_shapes(found["mapa"])["datasets"]["comunas"]["objects"]["comunas"]["geometries"]
    }
    assert len(drawn) == 343, "all comunas but Antarctica and the two far out in the ocean"
    assert {row["id"] for row in found["mapa"]["datasets"]["filas"]} >= drawn


def test_names_in_definitions_are_code_and_nothing_else_is_markup() -> None:
    assert with_code("see `meta`, <b> & `a<b`") == "see <code>meta</code>, &lt;b&gt; &amp; <code>a&lt;b</code>"
