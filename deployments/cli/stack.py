"""Commands for the services on this machine: the local stack, and the parts of it that containers run."""

import os
from collections.abc import Mapping
from typing import Annotated

import typer

from deployments.cli.app import app, logged_settings, say
from sec_core.config import Settings, load_settings
from sec_core.errors import ConfigError


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Run in the background, and come back when all is up.")
    ] = False,
) -> None:
    """The local stack with the Prefect UI: PostgreSQL, Prefect, deployments, a worker. Ctrl-C or `sec down` ends it."""
    from deployments.stack import supervisor as stack

    if detach:
        _say_ready(stack.up_detached(load_settings()).pages)
    elif not stack.up(logged_settings(), _say_ready):
        say("It was up already.")


def _say_ready(pages: Mapping[str, str]) -> None:
    for what, address in pages.items():
        say(f"{what}: {address}")


@app.command()
def down() -> None:
    """Stop what runs in the background for this data folder; data and history stay."""
    from deployments.stack import supervisor as stack

    stopped = stack.down(load_settings())
    say("Everything is stopped." if stopped else "Nothing was running.")


@app.command()
def deploy() -> None:
    """Bring the Prefect server of PREFECT_API_URL, or of `sec up`, to what the project says."""
    from deployments.stack.api import apply, prepare_environment

    settings = load_settings()
    prepare_environment(settings)
    api = _api_asked_for(settings)
    apply(api, settings)
    say(f"Applied work pool, limits, deployments and automations to {api}.")


def _api_asked_for(settings: Settings) -> str:
    from deployments.stack.api import running_api

    api = os.environ.get("PREFECT_API_URL") or running_api(settings)
    if api is None:
        raise ConfigError("There is no Prefect server.", next_step="Run `sec up`, or set PREFECT_API_URL.")
    return api


@app.command("adopt-prefect")
def adopt_prefect() -> None:
    """Take on the database `prefect` that an earlier version made in the server of SEC_DATABASE_URL, if it is ours."""
    from deployments.stack.history import adopt
    from sec_core.db.database import address_of

    settings = load_settings()
    if settings.database_url is None:
        say("Nothing to do: `sec up` takes on that of the embedded PostgreSQL by itself.")
        return
    say(f"The database prefect is now {adopt(address_of(settings))}; `sec up` uses it.")


@app.command()
def worker() -> None:
    """A worker alone, for the Prefect server of PREFECT_API_URL; started again when it dies."""
    from deployments.stack.services import run_worker

    settings = logged_settings()
    run_worker(settings, _api_asked_for(settings))


@app.command(hidden=True)
def alive() -> None:
    """Health check of a container: exit code 1 if its worker does not poll."""
    from deployments.stack.services import worker_is_alive

    if not worker_is_alive():
        say("The worker does not poll for runs.")
        raise typer.Exit(1)


@app.command()
def server(
    host: Annotated[str, typer.Option(help="Address to listen on; in a container 0.0.0.0.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="TCP port.")] = 4200,
) -> None:
    """A Prefect server alone, with its history in PostgreSQL; `sec up` brings one by itself."""
    from deployments.stack.services import run_server

    run_server(logged_settings(), host=host, port=port)
