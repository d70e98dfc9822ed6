"""The `sec` command.

Exit code 0 only if everything was done; else 1, with one line on standard error that says what failed and
what to do next. Commands import what they need when they run: `sec --help` stays quick.
"""

from __future__ import annotations

import sys

import typer

from deployments.cli import circuit, demo, doctor, keeping, runs, simulate, stack, status
from deployments.cli.app import app, say
from deployments.loopback import keep_loopback_direct
from sec_core.errors import SecError

__all__ = ["app", "circuit", "demo", "doctor", "keeping", "main", "run", "runs", "simulate", "stack", "status"]

_INTERRUPTED = 130
"""What Typer makes of a Ctrl-C."""


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())


def main(arguments: list[str] | None = None) -> int:
    """Run a command and turn its errors into one line and an exit code.

    Args:
        arguments: Words of the command line; None for those of the process.

    Returns:
        The exit code.
    """
    keep_loopback_direct()
    try:
        result = app(args=arguments, standalone_mode=False)
    except typer.TyperException as error:
        _say(f"{error.format_message()} See `sec --help`.")
        return 1
    except SecError as error:
        _say(str(error))
        return 1
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        _say(f"{error.strerror or error}{place}. Check SEC_DATA_DIR and the files named.")
        return 1
    except (typer.Abort, KeyboardInterrupt):
        result = _INTERRUPTED
    if result == _INTERRUPTED:
        _say("Stopped. What was captured is kept; run the same command again to go on.")
        return 1
    return result if isinstance(result, int) else 0


def _say(line: str) -> None:
    """Write one line to standard error, whatever the message holds."""
    say(f"sec: {' '.join(line.split())}", err=True)
