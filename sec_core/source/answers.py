"""The answers of the four small endpoints, read from the bytes and checked before anything is made of them.

Every value passes one of the models here: counts are whole numbers within `MAX_CUSTOMERS`, dates exist. What the
answers look like: docs/source.md. Answers of `GetPorFecha` are read by `sec_core.source.shapes`.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from sec_core.hours import CHILE, from_wall
from sec_core.source.shapes import MAX_CUSTOMERS, read_json, whole_number

_YEARS: Final = range(2000, 2101)
_MAX_ROWS: Final = 10_000
_PERIOD_CHARS: Final = 20


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _period(value: object) -> str:
    return "".join(filter(str.isprintable, _text(value))).strip()[:_PERIOD_CHARS]


Whole = Annotated[int, BeforeValidator(whole_number)]
Text = Annotated[str, BeforeValidator(_text)]
Customers = Annotated[Whole, Field(ge=1, le=MAX_CUSTOMERS)]


class _NationalRow(BaseModel):
    anho: Annotated[Whole, Field(ge=_YEARS[0], le=_YEARS[-1])]
    mes: Annotated[Whole, Field(ge=1, le=12)]
    dia: Annotated[Whole, Field(ge=1, le=31)]
    hora: Annotated[Whole, Field(ge=0, le=23)]
    clientes_afectados: Annotated[Whole, Field(ge=0, le=MAX_CUSTOMERS)]


class _CountryRow(BaseModel):
    CLIENTES: Customers


class _TimeRow(BaseModel):
    FECHA: Annotated[str, Field(max_length=40)]


Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class RegionCustomers:
    """One region in an answer of `GetClientesRegional`, as the source writes it."""

    region_id: Annotated[Text, Field(validation_alias="REGION_ID")]
    name: Annotated[Text, Field(validation_alias="NOMBRE_REGION")]
    # Month of the figure: `052019` is May 2019; at most 20 printable characters.
    period: Annotated[str, BeforeValidator(_period), Field(validation_alias="PERIODO_STAR")]
    customers: Annotated[Customers, Field(validation_alias="CLIENTES")]


_NATIONAL: Final = TypeAdapter(_NationalRow)
_REGION: Final = TypeAdapter(RegionCustomers)


def read_series(body: bytes) -> tuple[dict[datetime, int], list[str]]:
    """Customers affected in the whole country by hour, from an answer of `Get`.

    Returns:
        The totals by the hour's first instant, and why rows were passed over: a bad row takes only its hour away.

    Raises:
        ValueError: The body is no list of objects, or no row of it can be used.
    """
    totals: dict[datetime, int] = {}
    odd: list[str] = []
    for number, item in enumerate(_rows(body)):
        try:
            row = _checked(_NATIONAL, item, number)
            day = date(row.anho, row.mes, row.dia)
        except ValueError as error:
            odd.append(str(error))
            continue
        hour = from_wall(day, row.hora)
        if hour is not None:
            totals[hour] = row.clientes_afectados
    if odd and not totals:
        raise ValueError(odd[0])
    return totals, odd


def read_regions(body: bytes) -> tuple[RegionCustomers, ...]:
    """The regions of an answer of `GetClientesRegional`.

    Raises:
        ValueError: The body is no list of objects, or a value can't be what it should be.
    """
    return tuple(_checked(_REGION, item, number) for number, item in enumerate(_rows(body)))


def read_country(body: bytes) -> int:
    """The customers of the country in an answer of `GetClientesNacional`; raises as `read_regions` does."""
    return _checked(TypeAdapter(_CountryRow), _first(body), 0).CLIENTES


def read_server_time(body: bytes) -> datetime:
    """The instant in an answer of `GetHoraServer`, to the minute, UTC; raises as `read_regions` does."""
    text = _checked(TypeAdapter(_TimeRow), _first(body), 0).FECHA.strip()
    told = datetime.strptime(text, "%d/%m/%Y %H:%M").replace(tzinfo=CHILE)
    if told.year not in _YEARS:
        raise ValueError(f"the year {told.year} can't be")
    return told.astimezone(UTC)


def _rows(body: bytes) -> list[Any]:
    rows = read_json(body)
    if not isinstance(rows, list):
        raise ValueError("no list of rows")  # noqa: TRY004 - what is wrong is the value of an answer
    if len(rows) > _MAX_ROWS:
        raise ValueError(f"{len(rows)} rows, more than {_MAX_ROWS} are refused")
    return rows


def _first(body: bytes) -> object:
    rows = _rows(body)
    if not rows:
        raise ValueError("no row")
    return rows[0]


def _checked(kind: TypeAdapter[Row], item: object, number: int) -> Row:
    try:
        return kind.validate_python(item)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = "".join(f" {part}" for part in first["loc"])
        raise ValueError(f"row {number + 1}{key}: {first['msg']}, not {str(first['input'])[:60]!r}") from None
