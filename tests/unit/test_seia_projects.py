"""What an export of the SEIA holds: columns, types, regions, amounts, dates, and what is left out."""

import os
import zipfile
from datetime import date
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from sec_core.errors import InputError
from sec_core.gold.seia import HEADINGS as OURS
from sec_core.gold.seia import Project, amount, day, read_export, region_codes, sort_rows, type_code
from sec_core.gold.sheets import Sheet

HEADINGS = [
    "Nombre del Proyecto",
    "Región",
    "Tipo de Proyecto",
    "Titular",
    "Inversión (MMU$)",
    "Fecha Presentación",
    "Fecha Calificación",
    "Estado del Proyecto",
    "Sector Productivo",
]


HEAD = ";".join(HEADINGS) + "\n"
SPARSE = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'


def write_workbook(path: Path, rows: list[list[str | float]], more: str = "") -> Path:
    """A minimal workbook of text and numbers; `more` is further rows as XML."""

    def cell(value: str | float) -> str:
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>'
        return f"<c><v>{value}</v></c>"

    space = "http://schemas.openxmlformats.org"
    lines = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{space}/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/'
        'vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{space}/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{space}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{space}/spreadsheetml/2006/main" xmlns:r="{space}/officeDocument/2006/'
        'relationships"><sheets><sheet name="Hoja1" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{space}/package/2006/relationships"><Relationship '
        f'Id="r1" Type="{space}/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>'
        "</Relationships>",
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{space}/spreadsheetml/2006/main"><sheetData>{lines}{more}'
        "</sheetData></worksheet>",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in parts.items():
            packed.writestr(name, text)
    return path


LINE = ["Línea Norte", "Arica y Parinacota, Tarapacá", "DS95/DS40-b1", "Transelec", "30,4000", "09/03/2021"]


def test_a_workbook_of_the_site(tmp_path: Path) -> None:
    path = write_workbook(
        tmp_path / "export.xlsx",
        [
            ["Listado de proyectos"],
            list(HEADINGS),
            [*LINE, "10/05/2022", "Aprobado", "Energía"],
            ["Mina", "Segunda", "i1", "Minera", "900,0", "01/01/2021", "", "En Calificación", "Minería"],
        ],
    )
    projects, rejected = sort_rows(read_export(path))
    assert [(p.nombre_region, p.inversion_mmu, p.inversion_total_mmu, p.n_regiones) for p in projects] == [
        ("ARICA Y PARINACOTA", 15.2, 30.4, 2),
        ("TARAPACA", 15.2, 30.4, 2),
    ]
    first = projects[0]
    assert first.id_proyecto == projects[1].id_proyecto
    assert (first.categoria, first.tipo_proyecto, first.estado) == ("transmission", "DS95/DS40-b1", "Aprobado")
    assert (first.fecha_presentacion, first.fecha_calificacion) == (date(2021, 3, 9), date(2022, 5, 10))
    assert [(r.row, r.name, r.reason) for r in rejected] == [(4, "Mina", "Its sector is Minería, not Energy.")]


def test_numbers_of_a_workbook_are_numbers(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "export.xlsx", [[*HEADINGS[:5]], ["Planta", 10, "c", "Enel", 1.234]])
    (project,), _ = sort_rows(read_export(path))
    assert (project.nombre_region, project.inversion_mmu) == ("LOS LAGOS", 1.234)


def test_columns_may_be_missing_or_in_another_order(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("Región;TIPOLOGIA;nombre\nRM;b2;Subestación\n;;\n", encoding="latin-1")
    (project,), _ = sort_rows(read_export(path))
    assert (project.codigo_region, project.categoria, project.inversion_mmu, project.titular) == (
        "13",
        "transmission",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a;b\n1;2\n", "is no export"),
        ("Nombre;Región\nx;RM\n", "has no column Tipo de Proyecto"),
        ("", "is no export"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "other.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_export(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("nul.csv", HEAD.encode() + b"\0"),
        ("long.csv", HEAD.encode() + b'"' + b"x" * 3_000_000),
        ("brackets.xlsx", b"[" * 400_000),
        ("utf-16.csv", HEAD.encode("utf-16")),
        ("damaged.xlsx", b"PK no workbook"),
        ("pipe", None),
        ("folder", None),
        ("absent.csv", None),
        ("/dev/zero", None),
        ("/dev/stdin", None),
        ("/proc/self/mem", None),
    ],
)
def test_hostile_files_end_in_one_line(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    elif name == "folder":
        path.mkdir()
    elif name == "pipe":
        os.mkfifo(path)
    with pytest.raises(InputError) as refused:
        read_export(path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("more", [SPARSE, f"<row>{'<c><v>1</v></c>' * 25_000_000}</row>"], ids=["sparse", "bomb"])
def test_few_bytes_that_describe_a_great_table_are_refused(tmp_path: Path, more: str) -> None:
    path = write_workbook(tmp_path / "bomb.xlsx", [[*HEADINGS]], more)
    assert path.stat().st_size < 2_000_000
    with pytest.raises(InputError, match="no workbook that can be read") as refused:
        read_export(path)
    assert "\n" not in str(refused.value)


PLANT = dict.fromkeys(OURS, "") | {"nombre": "Planta", "region": "RM", "tipo": "c"}


def sort_one(**cells: str) -> tuple[list[Project], list[str]]:
    projects, rejected = sort_rows(Sheet([PLANT | cells], 2))
    return projects, [row.reason for row in rejected]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"nombre": ""}, "It has no name."),
        ({"tipo": "h1"}, "Its type h1 is neither transmission (b1), substation (b2) nor generation (c)."),
        ({"tipo": "DS95-b3"}, "Its type DS95-b3 is neither transmission (b1), substation (b2) nor generation (c)."),
        ({"region": "Interregional"}, "It names no region: it spans several that the file does not tell."),
        ({"region": ""}, "It names no region."),
        ({"region": "Atlántida"}, "Its region 'Atlántida' is not known."),
        ({"region": "Maule, Atlántida"}, "Its region 'Atlántida' is not known."),
        ({"sector": "Saneamiento Ambiental"}, "Its sector is Saneamiento Ambiental, not Energy."),
    ],
)
def test_what_is_left_out_has_a_reason(cells: dict[str, str], reason: str) -> None:
    assert sort_one(**cells) == ([], [reason])


def test_a_project_listed_twice_counts_once() -> None:
    projects, rejected = sort_rows(Sheet([PLANT, PLANT | {"nombre": "PLANTA "}, PLANT | {"titular": "Otra"}], 2))
    assert len(projects) == 2
    assert [(r.row, r.reason) for r in rejected] == [(3, "It is listed before.")]


@pytest.mark.parametrize(
    ("text", "code"),
    [("b1", "b1"), ("B.2)", "b2"), ("DS95/DS40-b1", "b1"), ("DS30 - c", "c"), (" c ", "c"), ("", "")],
)
def test_type_codes(text: str, code: str) -> None:
    assert type_code(text) == code


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Décima", ["10"]),
        ("Décimosexta", ["16"]),
        ("Decimoquinta", ["15"]),
        ("Duodécima", ["12"]),
        ("Undécima", ["11"]),
        ("RM", ["13"]),
        ("XIV", ["14"]),
        ("5", ["05"]),
        ("Región de Arica y Parinacota", ["15"]),
        ("Región del Libertador General Bernardo O'Higgins", ["06"]),
        ("Arica y Parinacota y Tarapacá", ["15", "01"]),
        ("Región de Los Ríos y Región de Los Lagos", ["14", "10"]),
        ("Valparaíso, Metropolitana, Valparaíso", ["05", "13"]),
        ("Interregional (Coquimbo / Atacama)", ["04", "03"]),
        ("Regiones de Ñuble y Biobío", ["16", "08"]),
        ("Segunda - Tercera", ["02", "03"]),
    ],
)
def test_regions_in_words_and_numbers(text: str, codes: list[str]) -> None:
    assert region_codes(text) == (codes, "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30,4000", 30.4),
        ("US$ 7", None),
        ("-3", None),
        ("", None),
        ("inf", None),
        ("9" * 400, None),
        ("18446744073709551616", None),
    ],
)
def test_amounts(text: str, value: float | None) -> None:
    assert amount(text, decimal=",") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("09/03/2021", date(2021, 3, 9)),
        ("9-3-2021", date(2021, 3, 9)),
        ("2021-03-09 00:00:00", date(2021, 3, 9)),
        ("31/02/2021", None),
        ("01/01/0500", None),
        ("31/12/9999", None),
        ("marzo", None),
    ],
)
def test_days(text: str, value: date | None) -> None:
    assert day(text) == value
