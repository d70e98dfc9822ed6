"""The `sec` command.

Exit code 0 only if everything was done; else 1, or 130, 143 and 129 after Ctrl-C, SIGTERM and a closed terminal, with
one line on standard error that says what failed and what to do next. Commands import what they need when they run:
`sec --help` stays quick.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from deployments.cli import ending

if TYPE_CHECKING:
    import typer


def run() -> None:
    """Entry point of the console script."""
    code = main(of_process=True)
    # After a Ctrl-C inside an `exec` (of a dataclass, say) Python would die by SIGINT even now; one more forgets it.
    exec("")  # noqa: S102
    sys.exit(code)


def commands() -> typer.Typer:
    """The application with all commands."""
    from deployments.cli import runs, simulate, stack, upkeep  # noqa: F401 - they add themselves
    from deployments.cli.app import app

    return app


def main(arguments: list[str] | None = None, *, of_process: bool = False) -> int:
    """Run a command and turn its errors into one line and an exit code.

    Args:
        arguments: Words of the command line; None for those of the process.
        of_process: Whether this process is the command's own, so that its signals are, too.

    Returns:
        The exit code.
    """
    failure: BaseException | None = None
    code: object = 0
    try:
        if of_process:
            ending.prepare()
        from deployments.stack.settings import keep_loopback_direct

        keep_loopback_direct()
        code = commands()(args=arguments, standalone_mode=False)
        ending.flush()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it ends in one line
        failure = error
    return ending.end(failure, code if isinstance(code, int) else 0)


if __name__ == "__main__":
    run()
