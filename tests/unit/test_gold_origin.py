"""Where loaded hours come from, in a word."""

import polars as pl
import pytest

from sec_core.gold.frames import ORIGIN, hours_by_origin, in_words, one_word, others

UNKNOWN = (None, None, "sec")
SEC = ("apps.sec.cl", None, "sec")
IMPORT = (None, "outages.json", "legacy")
SIMULATED = ("127.0.0.1", "simulator", "sec")


@pytest.mark.parametrize(
    ("captures", "word", "foreign"),
    [
        ([SEC, IMPORT], "SEC", {}),
        ([UNKNOWN], "desconocido", {}),
        ([SEC, UNKNOWN], "desconocido", {}),
        ([], "desconocido", {}),
        ([SIMULATED, SIMULATED], "SIMULACIÓN", {"SIMULACIÓN": 2}),
        ([("10.0.0.7", "replay", "sec")], "REPETICIÓN", {"REPETICIÓN": 1}),
        # What calls itself a simulator is none of the SEC's, whatever its host.
        ([("apps.sec.cl", "simulator", "sec")], "SIMULACIÓN", {"SIMULACIÓN": 1}),
        ([("mirror.example.org", None, "sec")], "mirror.example.org", {"mirror.example.org": 1}),
        ([SEC, SIMULATED], "mixto", {"SIMULACIÓN": 1}),
        ([UNKNOWN, SIMULATED], "mixto", {"SIMULACIÓN": 1}),
    ],
)
def test_a_word_for_where_hours_come_from(
    captures: list[tuple[str | None, ...]], word: str, foreign: dict[str, int]
) -> None:
    columns = dict.fromkeys(("anfitrion", "fuente", "origen_cuerpo"), pl.String())
    found = hours_by_origin(pl.DataFrame(captures, schema=columns, orient="row").with_columns(origen=ORIGIN))
    assert (
        hours_by_origin(found, pl.DataFrame({"origen": ["desconocido"]}))["origen"].to_list()
        == found["origen"].to_list()
    )
    assert one_word(found) == word
    assert {each["origen"]: each["horas"] for each in others(found.to_dicts())} == foreign


def test_customers_of_another_host_make_figures_not_the_secs() -> None:
    found = hours_by_origin(pl.DataFrame({"origen": ["SEC"] * 3}), pl.DataFrame({"origen": ["SIMULACIÓN", "SEC"]}))
    assert one_word(found) == "mixto"
    assert in_words(others(found.to_dicts())) == "customers of regions SIMULACIÓN"
