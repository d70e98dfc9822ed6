"""`sensitivity`: what the threshold of aggregated events decides. The formula is `indices.sensitivity`."""

from __future__ import annotations

from sec_core.gold.model import Count, PayloadRow


class SensitivityRow(PayloadRow):
    """Aggregated events of one year under one threshold, before any cap."""

    umbral: Count
    """Customers from which an hour of a comuna belongs to an event."""
    anho: int
    """Year of the events' first hours, Chile wall clock."""
    eventos: Count
    """Number of events."""
    clientes: Count
    """Sum of their high-water marks."""
    cliente_horas: Count
    """Sum of their customer-hours over loaded hours."""
