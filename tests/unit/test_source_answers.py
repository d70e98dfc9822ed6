"""What enters from the source: the four small endpoints, statuses, headers and pages, as odd as they come."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from sec_core.config import load_settings
from sec_core.errors import ConfigError, SourceError, SourceUnavailable, UnexpectedBody, is_transient_status
from sec_core.source.answers import read_country, read_regions, read_series, read_server_time
from sec_core.source.client import _read, retry_after_s
from sec_core.source.shapes import AGGREGATED_KEYS, DETAILED_KEYS, MAX_CUSTOMERS, Shape, classify
from sec_core.source.transport import Reply

NOW = datetime(2026, 9, 30, 13, 36, tzinfo=UTC)
READERS: dict[str, Callable[[bytes], Any]] = {
    "Get": read_series,
    "GetClientesRegional": read_regions,
    "GetClientesNacional": read_country,
    "GetHoraServer": read_server_time,
}
SERIES: dict[str, Any] = {"anho": 2026, "mes": 9, "dia": 29, "hora": 0, "clientes_afectados": 5}
REGION: dict[str, Any] = {
    "REGION_ID": "5", "NOMBRE_REGION": "Region de Valparaiso", "PERIODO_STAR": "052019", "CLIENTES": "780563",
}  # fmt: skip
ROWS: dict[str, dict[Any, Any]] = {
    "Get": SERIES,
    "GetClientesRegional": REGION,
    "GetClientesNacional": {"CLIENTES": "8156814"},
    "GetHoraServer": {"FECHA": "22/01/2026 12:00"},
}
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NEVER_A_COUNT = [-1, "-5", 2**63 + 5, 10**30, 5.5, "1e6", "5.0", True, None, "", "muchos", [5], {"a": 1}, "9" * 30]


def body(*rows: object) -> bytes:
    return json.dumps(rows).encode()


def outcome(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - it may be anything
    """What a call gives back, or its error from the source."""
    try:
        return call()
    except SourceError as error:
        return error


def test_what_the_source_gives_is_read() -> None:
    assert read_series(body(SERIES)) == ({datetime(2026, 9, 29, 3, tzinfo=UTC): 5}, [])
    (region,) = read_regions(body(REGION))
    assert (region.region_id, region.period, region.customers) == ("5", "052019", 780_563)
    assert read_country(body({"CLIENTES": 8_156_814})) == read_country(body({"CLIENTES": " 8156814 "})) == 8_156_814
    assert read_server_time(body({"FECHA": "22/01/2026 12:00"})) == datetime(2026, 1, 22, 15, tzinfo=UTC)


@pytest.mark.parametrize("count", NEVER_A_COUNT)
def test_a_count_that_is_none_never_gets_in(count: object) -> None:
    with pytest.raises(ValueError, match="CLIENTES"):
        read_regions(body(REGION, REGION | {"CLIENTES": count}))
    with pytest.raises(ValueError, match="CLIENTES"):
        read_country(body({"CLIENTES": count}))
    totals, odd = read_series(body(SERIES, SERIES | {"hora": 1, "clientes_afectados": count}))
    assert list(totals.values()) == [5], "the other hours stand"
    assert len(odd) == 1
    assert "row 2 clientes_afectados" in odd[0]


@pytest.mark.parametrize("customers", [0, "0"])
def test_no_region_has_no_customers(customers: object) -> None:
    # A denominator of zero would cap every event to nothing.
    with pytest.raises(ValueError, match="CLIENTES"):
        read_regions(body(REGION | {"CLIENTES": customers}))


@pytest.mark.parametrize(
    "changes",
    [
        {"anho": 1}, {"anho": 99_999}, {"anho": -2026}, {"mes": 13}, {"dia": 0}, {"mes": 2, "dia": 30}, {"hora": 24},
        {"hora": -1}, {"anho": 10**40}, {"dia": "29/9"},
    ],
)  # fmt: skip
def test_hours_that_are_none_are_passed_over(changes: dict[str, object]) -> None:
    totals, odd = read_series(body(SERIES, SERIES | changes))
    assert (len(totals), len(odd)) == (1, 1)
    with pytest.raises(ValueError, match=r"row 1|day is out of range"):
        read_series(body(SERIES | changes))


odd_values = (
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text() | st.integers().map(str)
    | st.sampled_from([*NEVER_A_COUNT, "\x00", "\ud800", "2026", 9, 29, 0, "01/01/0001 00:00", "31/12/9999 23:59"])
)  # fmt: skip


@settings(max_examples=examples(2000), deadline=None)
@given(st.sampled_from(sorted(ROWS)), st.data())
def test_any_answer_is_read_within_bounds_or_refused_in_one_line(endpoint: str, data: st.DataObject) -> None:
    keys = st.sampled_from([*ROWS[endpoint], "OTRA"])
    changed = st.dictionaries(keys, odd_values | st.lists(odd_values, max_size=2)).map(lambda new: ROWS[endpoint] | new)
    answer = data.draw(st.lists(changed | odd_values, max_size=4) | odd_values)
    sent = data.draw(st.just(json.dumps(answer).encode()) | st.binary(max_size=60))
    reader = READERS[endpoint]
    found = outcome(lambda: _read(endpoint, reader, Reply(200, sent, None), NOW).value)
    if isinstance(found, SourceError):
        assert isinstance(found, SourceUnavailable | UnexpectedBody)
        assert len(str(found)) < 600
        assert not CONTROL.search(found.message)
    elif endpoint == "Get":
        assert all(0 <= total <= MAX_CUSTOMERS and 2000 <= hour.year <= 2101 for hour, total in found[0].items())
        assert not any(map(CONTROL.search, found[1]))
    elif endpoint == "GetClientesRegional":
        assert all(1 <= region.customers <= MAX_CUSTOMERS and len(region.period) <= 20 for region in found)
        assert not any(CONTROL.search(region.period) for region in found)
    elif endpoint == "GetClientesNacional":
        assert 1 <= found <= MAX_CUSTOMERS
    else:
        assert 2000 <= found.year <= 2101


NAME_KEYS = {key for key in DETAILED_KEYS if key.startswith("NOMBRE") or key == "ACTUALIZADO_HACE"}
HTTP_DATE = r"(Mon|Xxx), [0-9]{1,3} (Jan|Foo) [0-9]{1,7} [0-9]{2}:[0-9]{2}:[0-9]{2} ([+-][0-9]{4,8}|GMT|)"
DATED = dict.fromkeys(DETAILED_KEYS, 1) | dict.fromkeys(NAME_KEYS, "x") | {"FECHA_INT_STR": "29/1/2025"}


@settings(max_examples=examples(1000), deadline=None)
@given(
    st.sampled_from([dict.fromkeys(AGGREGATED_KEYS, "x") | {"CLIENTES_AFECTADOS": 7}, DATED]),
    st.lists(st.text(st.characters(codec=None), max_size=30) | st.text(max_size=2).map(lambda t: t * 5000) | st.none()),
)
def test_no_name_puts_a_body_into_quarantine(row: dict[str, object], names: list[str | None]) -> None:
    rows = [row | dict.fromkeys(row.keys() & NAME_KEYS, name) for name in names] or [row]
    found = classify(json.dumps(rows).encode())
    assert found.shape is (Shape.DETAILED if "NOMBRE_EMPRESA" in row else Shape.AGGREGATED)
    assert found.rows == len(rows)


@settings(max_examples=examples(1000), deadline=None)
@given(st.text(max_size=40) | st.integers(-(10**40), 10**40).map(str) | st.from_regex(HTTP_DATE, fullmatch=True))
def test_any_retry_after_is_bounded(header: str) -> None:
    found = retry_after_s(header, NOW)
    assert found is None or 0 <= found <= 86_400
    assert NOW + timedelta(seconds=found or 0) > NOW - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b"<html><head><TITLE lang='es'>Sitio en\n mantenci&oacute;n</TITLE></head>", '"Sitio en mantención"'),
        (b"\xef\xbb\xbf \r\n<!DOCTYPE html><title>\x1b[31mLogin</title>", '"[31mLogin"'),
        (b"<h1>503</h1>", "no title"),
        (b"<title" * 10_000, "no title"),
        (b"<title>" + b"x" * 1000 + b"</title>", "xxx"),
        (b"<title>never ended", "no title"),
        (b" ", "empty body"),
        (b"", "empty body"),
    ],
)
def test_a_page_instead_of_data_is_an_outage_that_names_its_title(page: bytes, said: str) -> None:
    with pytest.raises(SourceUnavailable) as raised:
        _read("GetPorFecha", classify, Reply(200, page, None), NOW)
    assert said in raised.value.message
    assert len(raised.value.message) < 250
    assert not CONTROL.search(raised.value.message)
    assert isinstance(raised.value, SourceError)
    assert raised.value.transient


def test_which_statuses_may_go_away_by_themselves() -> None:
    assert [status for status in range(400, 500) if is_transient_status(status)] == [408, 425, 429]
    assert all(is_transient_status(status) for status in (500, 503, 520, 530, 540, 599, 999))


@pytest.mark.parametrize("contact", ["María Peña <maria@example.cl>", "a@b.cl\r\nX-Evil: 1", "a\x00b", "tab\there"])
def test_a_contact_that_fits_no_header_is_refused_where_it_enters(contact: str) -> None:
    with pytest.raises(ConfigError, match="SEC_CONTACT"):
        load_settings(_env_file=None, contact=contact)
    assert load_settings(_env_file=None, contact=" team@example.org ").contact == "team@example.org"
    assert load_settings(_env_file=None, contact="  ").contact is None
