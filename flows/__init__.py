"""Prefect flows: parameters in, tasks in order, artifacts out. No rules here."""
