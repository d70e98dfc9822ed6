"""How many random cases property tests try."""

import os


def examples(usual: int) -> int:
    """`usual` cases, as many times more as `SEC_PROPERTY_FACTOR` says."""
    return usual * int(os.environ.get("SEC_PROPERTY_FACTOR", "1"))
