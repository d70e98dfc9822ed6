"""What a publication would lose against what is published: the rule that stops an accident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LARGEST_LOSS = 0.2
"""A payload may lose this share of its rows without anybody being asked."""


def losses(published: Mapping[str, Sequence[Any]], new: Mapping[str, Sequence[Any]]) -> list[str]:
    """What the new payloads lack, a sentence each; empty when they may be published.

    Args:
        published: Rows of each payload that is published now.
        new: Rows of each payload that would replace it. Payloads that are only published are not touched, and so not
            judged.
    """
    found = []
    for name in sorted(published.keys() & new.keys()):
        before, after = published[name], new[name]
        if len(after) < len(before) * (1 - LARGEST_LOSS):
            found.append(f"{name} would fall from {len(before)} rows to {len(after)}.")
        newest_before, newest_after = newest_month(before), newest_month(after)
        if newest_before and newest_before > newest_after:
            found.append(f"{name} would lose its newest month {newest_before[:7]}.")
    return found


def newest_month(rows: Sequence[Any]) -> str:
    """The newest `mes` of a payload's rows; empty where they have none.

    `meta` has it one level deeper, in `formas`.
    """
    months = [str(row["mes"]) for row in rows if isinstance(row, dict) and "mes" in row]
    nested = [
        newest_month(row["formas"]) for row in rows if isinstance(row, dict) and isinstance(row.get("formas"), list)
    ]
    return max([*months, *nested], default="")
