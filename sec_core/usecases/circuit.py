"""The circuit for people: its state in words, and closing it by hand."""

from sec_core.clock import in_chile
from sec_core.errors import InputError
from sec_core.source.circuit import Circuit
from sec_core.usecases.adapters import Adapters


async def describe_circuit(adapters: Adapters) -> str:
    """The present state: failures in a row, when it reopens (Chile time), and the last failure."""
    async with adapters.throttle() as throttle:
        return in_words(await throttle.circuit())


async def close_circuit(adapters: Adapters, who: str, why: str) -> str:
    """Close it before its time, logged with who did it and why; says what it was before.

    Raises:
        InputError: No reason is given, or nobody who gives it.
    """
    if not who.strip() or not why.strip():
        raise InputError("The log must say who closes the circuit, and why.", next_step="Give both.")
    async with adapters.throttle() as throttle:
        before = await throttle.close_circuit(who, why)
    return f"The circuit is closed. Before: {in_words(before)}"


def in_words(circuit: Circuit) -> str:
    """A state in a line or two, with times of Chile."""
    failures = f"{circuit.failures} failure{'' if circuit.failures == 1 else 's'} in a row"
    words = f"{circuit.status.value.replace('_', '-')}, {failures}"
    if circuit.reopens_at is not None:
        words += f", reopens at {in_chile(circuit.reopens_at)}"
    return f"{words}. The last one: {circuit.error}" if circuit.error else f"{words}."
