"""Prefect tasks: a task earns its place by retry, caching, a limit or something to see."""
