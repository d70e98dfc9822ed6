"""This machine's own addresses, which no proxy can reach."""

from __future__ import annotations

import os

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = ("localhost", LOOPBACK, "::1")


def keep_loopback_direct() -> None:
    """Send nothing for this machine through a proxy, in this process and those that it starts.

    Clients read `NO_PROXY` by different rules, and few of them know ranges such as `127.0.0.0/8`: each name is given.
    """
    for name in ("NO_PROXY", "no_proxy"):
        known = [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]
        if "*" not in known:
            os.environ[name] = ",".join(dict.fromkeys([*known, *LOOPBACK_NAMES]))
