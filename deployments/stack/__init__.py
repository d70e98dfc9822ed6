"""The local stack: Prefect's server, the worker, and what keeps them alive. `python -m deployments.stack` runs it."""
