"""How the source answers how many customers there are: regions and the country, read from the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class RegionCustomers:
    """One region in an answer of `GetClientesRegional`.

    Attributes:
        region_id: The region's number as the source writes it.
        name: The source's full name of the region.
        period: Month of the figure as the source writes it (`052019` is May 2019).
        customers: Customers of the region.
    """

    region_id: str
    name: str
    period: str
    customers: int


def read_regions(body: bytes) -> tuple[RegionCustomers, ...]:
    """The regions of an answer of `GetClientesRegional`.

    Raises:
        ValueError: The body is no JSON, or a number is none.
        TypeError: It is no list of objects.
        LookupError: A key is missing.
    """
    return tuple(
        RegionCustomers(
            region_id=str(row["REGION_ID"]),
            name=str(row["NOMBRE_REGION"]),
            period=str(row["PERIODO_STAR"]),
            customers=int(row["CLIENTES"]),
        )
        for row in list_of(body, "GetClientesRegional")
    )


def read_country(body: bytes) -> int:
    """The customers of the country in an answer of `GetClientesNacional`; raises as `read_regions` does."""
    return int(list_of(body, "GetClientesNacional")[0]["CLIENTES"])


def list_of(body: bytes, endpoint: str) -> list[dict[str, Any]]:
    """The rows of an answer.

    Raises:
        ValueError: The body is no JSON.
        TypeError: It is no list.
    """
    rows = orjson.loads(body)
    if not isinstance(rows, list):
        raise TypeError(f"{endpoint} gave no list")
    return rows
