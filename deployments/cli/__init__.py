"""The `sec` command."""
