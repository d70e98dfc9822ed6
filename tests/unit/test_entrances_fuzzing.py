"""Files from people, and names of files, gone wrong: read within bounds, or refused in one line; nothing else escapes.

`SEC_PROPERTY_FACTOR` multiplies the cases of this and of every other fuzz test.
"""

import dataclasses
import json
import tempfile
from datetime import date
from io import BytesIO
from pathlib import Path

import ijson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import examples

from sec_core.bronze.legacy import ImportReport, _finding, _points, _Tolerant, _TooLarge
from sec_core.bronze.store import AnswerName, BodyName, parse_seal_key, seal_key
from sec_core.errors import InputError
from sec_core.gold import customers, seia
from sec_core.gold.sheets import read_sheet

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
odd = (
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=12)
    | st.sampled_from(["2024-08-01 05:00", "2024-09-08 00:00", "9999-12-31 23:00", "0500-01-01 00", 2024, 8, "31", "²"])
)  # fmt: skip
anything = st.recursive(odd, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
POINT_KEYS = ("fecha_consultada", "year", "month", "day", "hour", "data", "success", "hora_server_scraping")
points = st.dictionaries(st.sampled_from(POINT_KEYS) | st.text(max_size=5), anything, max_size=8)


@settings(max_examples=examples(300), deadline=None, suppress_health_check=SLOW)
@given(st.lists(points, max_size=4), st.integers(0, 400), st.binary(max_size=6))
def test_a_legacy_file(found: list[dict[str, object]], cut: int, junk: bytes) -> None:
    whole = json.dumps({"data": found}).encode()
    read, report = [], ImportReport()
    for body in (whole, whole[:cut] + junk + whole[cut + len(junk) :]):
        try:
            read = [*_points(_Tolerant(BytesIO(body)))]
        except (ijson.JSONError, UnicodeDecodeError, _TooLarge):
            continue
        finally:
            if body is whole:
                assert len(read) == len(found)
        for point in read:
            finding = _finding(point, set(), report, "file.json")
            if finding is not None:
                assert 2017 <= finding.hour.year <= 2101
                assert BodyName(finding.hour, finding.at, finding.origin).key
    assert not any("\n" in example or len(example) > 200 for example in report.examples)


digits = st.integers(0, 99_999).map(lambda number: f"{number:04d}") | st.text("0123456789²٣-T.Z", max_size=9)
bodies = st.builds(
    "por_fecha/{}/{:.2}/{}-{:.2}-{:.2}T{:.2}.{}T{}Z.{}.json.zst".format,
    *[digits] * 8,
    st.sampled_from(["sec", "legado", "x"]),
)
sound = st.builds(
    "por_fecha/{0:04d}/{1:02d}/{0:04d}-{1:02d}-{2:02d}T{3:02d}.{0:04d}{1:02d}{2:02d}T{3:02d}{2:02d}00{2:06d}Z.sec.json.zst".format,
    st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32), st.integers(0, 25),
)  # fmt: skip
seals = st.builds("sellado/{}-{:.2}.{}.parquet".format, digits, digits, digits)


@settings(max_examples=examples(1500), deadline=None)
@given(sound | bodies | seals | st.text(max_size=60))
def test_names_of_files(key: str) -> None:
    name = BodyName.parse(key)
    assert name is None or BodyName.parse(name.key) == name
    sealed = parse_seal_key(key)
    assert sealed is None or parse_seal_key(seal_key(*sealed)) == sealed
    answer = AnswerName.parse(key)
    assert answer is None or answer.key == key


cells = st.text(max_size=8) | st.sampled_from(
    ["2024", "8", "13", "Ñuñoa", "Metropolitana", "XIII", "1.250,5", "9" * 400, "-0", "=1+1", "DS95/DS40-b1", '"', "\0"]
)


def in_one_line(error: InputError) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 2000


@settings(max_examples=examples(300), deadline=None, suppress_health_check=SLOW)
@given(
    st.sampled_from([customers.BILLING_HEADINGS, seia.HEADINGS]),
    st.lists(st.lists(cells, max_size=9), max_size=5),
    st.binary(max_size=5),
)
def test_a_csv_of_a_person(headings: dict[str, tuple[str, ...]], rows: list[list[str]], junk: bytes) -> None:
    text = "\n".join(";".join(row) for row in [[spellings[0] for spellings in headings.values()], *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.csv"
        path.write_bytes(text.encode() + junk)
        try:
            if headings is customers.BILLING_HEADINGS:
                counts = customers.read_billing(path, date(2026, 11, 1)).customers["clientes"]
                assert counts.min() >= 0  # type: ignore[operator]
            else:
                for project in seia.sort_rows(seia.read_export(path))[0]:
                    assert all("\0" not in str(value) for value in dataclasses.astuple(project))
        except InputError as error:
            in_one_line(error)


@settings(max_examples=examples(4), deadline=None, suppress_health_check=SLOW)
@given(
    st.sampled_from([".xlsx", ".xls", ".ods", ".xlsb"]),
    st.sampled_from([b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b""]),
    st.binary(),
)
def test_a_workbook_of_a_person(ending: str, magic: bytes, junk: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{ending}"
        path.write_bytes(magic + junk)
        try:
            read_sheet(path, seia.HEADINGS, ("nombre",), "export")
        except InputError as error:
            in_one_line(error)
