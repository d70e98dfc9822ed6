"""Where a published figure comes from, and the same figure computed again from Bronze."""

from collections.abc import Sequence

from sec_core.errors import InputError
from sec_core.gold.explanation import Explanation
from sec_core.usecases.adapters import Adapters
from sec_core.usecases.progress import in_thread


async def explain_figure(adapters: Adapters, payload: str, wanted: Sequence[str]) -> Explanation:
    """Explain one row of a payload; raises as `explain.explain` does.

    Args:
        adapters: The adapters.
        payload: A payload's id, or `event`.
        wanted: `key=value` texts that name the row; of an event its hash_id alone.
    """
    from sec_core.gold.explain import explain
    from sec_core.gold.explanation import EVENT

    keys = {}
    for text in wanted:
        key, found, value = text.partition("=")
        if payload == EVENT and not found:
            key, value = "hash_id", text
        elif not found:
            raise InputError(f"{text!r} is no key=value.", next_step="As in nombre_region=MAULE mes=2024-08.")
        keys[key] = value
    return await in_thread("explain", "", explain, adapters.database, adapters.settings, adapters.store, payload, keys)
