"""Worlds with works and their two error rates: how often an effect is found where there is none, and where there is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sec_core.gold.payloads.investment_validation import LARGEST_GROUP, LEVEL, compare, verdict

if TYPE_CHECKING:
    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

# Works of a world, and months on either side of each.
WORKS, WORK_MONTHS = 4, 48


def works_world(
    seed: int, persistence: float, deviation: float | None = None, *, whole: bool = False
) -> tuple[Floats, Floats, Integers]:
    """Monthly log rates without any effect: those of works, of placebo works elsewhere, and these ones' regions.

    Shocks are common to the country (each region takes its own share), to regions and to comunas, all of them with the
    serial correlation `persistence`; each region has its own seasons. `deviation`: of the works' shocks, else drawn.
    `whole`: works are of whole regions of 20 comunas, and placebo works of as many neighbours as such a work is held
    against; otherwise all are of one comuna.
    """
    draw, months, regions = np.random.default_rng([seed, 5]), 2 * WORK_MONTHS, 11

    def shocks(number: int, size: float) -> Floats:
        found = draw.normal(0, size, (number, months))
        for month in range(1, months):
            found[:, month] *= math.sqrt(1 - persistence**2)
            found[:, month] += persistence * found[:, month - 1]
        return found

    every = regions + WORKS
    season = draw.normal(0, 0.4, (every, 1)) * np.cos(2 * np.pi * (np.arange(months) - 6) / 12)
    common = draw.normal(1, 0.2, (every, 1)) * shocks(1, 0.5)
    if deviation:
        common = shocks(1, 0.5)
    region = season + common + shocks(every, deviation or draw.choice([0.1, 0.3]))
    size = draw.choice([0.3, 0.6])
    comunas = region[:regions].repeat(20, axis=0) + shocks(20 * regions, size)
    if whole:
        near = (np.arange(20)[:, None] + np.arange(LARGEST_GROUP)) % 20
        comunas = comunas.reshape(regions, 20, months)[:, near].mean(axis=2).reshape(-1, months)
        own = region[regions:] + shocks(20 * WORKS, size).reshape(WORKS, 20, months).mean(axis=1)
    else:
        own = region[regions:] + (0 if deviation else shocks(WORKS, draw.choice([0.05, 0.3])))
    return own, comunas, np.arange(regions).repeat(20)


def false_findings(worlds: Iterable[int], persistence: float, *, whole: bool = False) -> list[bool]:
    """Whether an effect is found for any work of worlds without one."""
    at, found = np.arange(2 * WORK_MONTHS) - WORK_MONTHS, []
    for seed in worlds:
        own, comunas, regions = works_world(seed, persistence, whole=whole)
        effects = [compare(each, comunas, regions, at, at % 12, LEVEL / WORKS) for each in own]
        found.append(any(verdict(effect)[0].startswith(("Inmediato", "Lag")) for effect in effects))
    return found


def falls_found(worlds: Iterable[int], fall: float, months: int = WORK_MONTHS) -> list[bool]:
    """Whether a planted fall of the only work of a world, with so many months on either side, is found."""
    at, found = np.arange(2 * WORK_MONTHS) - WORK_MONTHS, []
    near = (at >= -months) & (at < months)
    for seed in worlds:
        own, comunas, regions = works_world(seed, 0.0, deviation=0.3)
        series = own[0] + np.where(at >= 0, math.log(1 - fall), 0)
        effect = compare(series[near], comunas[:, near], regions, at[near], (at % 12)[near], LEVEL)
        found.append(verdict(effect)[0].startswith(("Inmediato", "Lag")))
    return found


def works_report(worlds: int = 200) -> str:
    """The two error rates of `investment_validation`, as Markdown."""
    rates = [
        [f"{rho:g}", *(f"{np.mean(false_findings(range(worlds), rho, whole=whole)):.1%}" for whole in (False, True))]
        for rho in (0.0, 0.3, 0.6, 0.8)
    ]
    power = [
        [f"{fall:.0%}", *(f"{np.mean(falls_found(range(worlds), fall, months)):.0%}" for months in (24, 36, 48))]
        for fall in (0.1, 0.2, 0.3, 0.4)
    ]
    return "\n\n".join(
        [
            f"Works: {worlds} worlds of {WORKS} works without any effect, {WORK_MONTHS} months on either side.",
            "In how many of them an effect is found:",
            table("serial correlation of shocks | works of a comuna | of a whole region", rates),
            "One work with an effect, monthly log deviation 0.3; how often it is found:",
            table("planted fall | 24 months on either side | 36 | 48", power),
        ]
    )


def table(header: str, rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    columns = header.count("|") + 1
    lines = [f"| {header} |", "|---" + "|---:" * (columns - 1) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
