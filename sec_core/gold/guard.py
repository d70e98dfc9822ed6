"""What a publication would lose against what is published: the rule that stops an accident."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sec_core.errors import InputError

Payloads = Mapping[str, Sequence[Any]]

# Stands for every payload where losses are allowed.
ALL = "all"

# A payload may lose this share of its rows without anybody being asked.
LARGEST_LOSS = 0.2

# Payloads made from the SEIA's list of projects.
SEIA = ("eda_projects_dist", "investment_roi")


def without_seia(published: Payloads, new: Payloads) -> Payloads:
    """The new payloads, but for those of the SEIA while no list was imported: what is published of them stays."""
    if new.get(SEIA[0]):
        return new
    return {name: rows for name, rows in new.items() if name not in SEIA or not published.get(name)}


def losses(published: Payloads, new: Payloads) -> dict[str, str]:
    """What the new payloads lack, in words by payload; empty when they may be published.

    Payloads that are only published are not touched, and so not judged.
    """
    found: dict[str, str] = {}
    for name in sorted(published.keys() & new.keys()):
        before, after = published[name], new[name]
        text = []
        if len(after) < len(before) * (1 - LARGEST_LOSS):
            text.append(f"{name} would fall from {len(before)} rows to {len(after)}.")
        newest_before, newest_after = newest_month(before), newest_month(after)
        if newest_before and newest_before > newest_after:
            text.append(f"{name} would lose its newest month {newest_before[:7]}.")
        if text:
            found[name] = " ".join(text)
    return found


def not_allowed(lost: Mapping[str, str], force: Collection[str], known: Collection[str]) -> dict[str, str]:
    """What of the losses nobody has allowed.

    Args:
        lost: From `losses`.
        force: Names of payloads that may lose something, or `ALL`.
        known: All names that there are.

    Raises:
        InputError: A name in `force` is none of them.
    """
    unknown = sorted({*force} - {*known, ALL})
    if unknown:
        raise InputError(
            f"There is no payload {', '.join(unknown)} to force.", next_step=f"There are: {', '.join(sorted(known))}."
        )
    return {name: text for name, text in lost.items() if not {name, ALL} & {*force}}


def mending(lost: Collection[str], published: Payloads, new: Payloads) -> str:
    """What to do about payloads that would lose something."""
    steps = []
    if set(lost) & set(SEIA):
        steps.append("Import the whole list of projects with `sec seia FILE`, then `sec gold`.")
    if set(lost) - set(SEIA):
        steps.append("See with `sec status` which months are missing; `sec backfill` and `sec gold` bring them back.")
    before, after = ((rows.get("meta") or [{}])[0].get("version_metodo", "1") for rows in (published, new))
    if before != after:
        steps.append(f"The method changed from version {before} to {after}: see docs/definitions.md.")
    return " ".join([*steps, f"If this is meant: `sec publish --force {' '.join(sorted(lost))}`."])


def newest_month(rows: Sequence[Any]) -> str:
    """The newest `mes` of a payload's rows; empty where they have none.

    `meta` has it one level deeper, in `formas`.
    """
    months = [str(row["mes"]) for row in rows if isinstance(row, dict) and "mes" in row]
    nested = [
        newest_month(row["formas"]) for row in rows if isinstance(row, dict) and isinstance(row.get("formas"), list)
    ]
    return max([*months, *nested], default="")
