"""The local stack: Prefect's server, the worker, and what keeps them alive. `sec up` runs it."""
