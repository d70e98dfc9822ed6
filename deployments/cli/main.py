"""The `sec` command.

Exit code 0 only if all that was asked for was done; else 1, with one line on standard error that says what failed and
what to do next. Commands import what they need when they run: `sec --help` stays quick.
"""

from __future__ import annotations

import sys

import typer

from sec_core.errors import SecError

app = typer.Typer(
    name="sec",
    help="Chile's power-outage data: captured politely, kept byte for byte, published honestly.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def sec(context: typer.Context) -> None:
    """Chile's power-outage data: captured politely, kept byte for byte, published honestly."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: list[str] | None = None) -> None:
    """Entry point of the console script: runs a command and turns errors into one line and exit code 1."""
    sys.exit(main(arguments))


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Words of the command line; None for those of the process.

    Returns:
        The exit code.
    """
    from deployments.cli import commands  # noqa: F401, PLC0415 - registers the commands

    try:
        result = app(args=arguments, standalone_mode=False)
    except typer.TyperException as error:
        _say(f"{error.format_message()} See `sec --help`.")
        return 1
    except SecError as error:
        _say(str(error))
        return 1
    except (typer.Abort, KeyboardInterrupt):
        _say("Stopped. What was captured is kept; run the same command again to go on.")
        return 1
    return result if isinstance(result, int) else 0


def _say(line: str) -> None:
    """Write one line to standard error, whatever the message holds."""
    sys.stderr.write("sec: " + " ".join(line.split()) + "\n")
