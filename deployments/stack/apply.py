"""Brings a Prefect server to what the project says: work pool, queues, deployments of `prefect.yaml`, automations.

Run as a program by `sec up`, so that the supervisor itself stays small.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.stack.server import PrefectServerError, prepare_environment
from deployments.stack.settings import StackSettings, load_stack_settings
from sec_core.config import load_settings
from sec_core.errors import ConfigError, SecError

if TYPE_CHECKING:
    from sec_core.config import Settings

FILE_NAME = "prefect.yaml"


def prefect_file() -> Path:
    """`prefect.yaml`: beside the source, else in the present folder.

    Raises:
        ConfigError: It is in neither.
    """
    for folder in (Path(__file__).resolve().parents[2], Path.cwd()):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigError(f"{FILE_NAME} is not here.", next_step="Run the command in the project's folder.")


def apply(settings: Settings, options: StackSettings) -> None:
    """Bring the server of PREFECT_API_URL to what the project says. Doing it again changes nothing.

    Args:
        settings: Gives Prefect's folder.
        options: Who is told of failures.

    Raises:
        ConfigError: `prefect.yaml` can't be found.
        PrefectServerError: A deployment was refused; the message says which and why.
    """
    prepare_environment(settings)
    file = prefect_file()
    asyncio.run(_ensure_pool())
    _deploy(file)
    asyncio.run(_ensure_automations(options))


async def _ensure_pool() -> None:
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - reads the environment

    from deployments.stack.limits import ensure_pool  # noqa: PLC0415

    async with get_client() as client:
        await ensure_pool(client)


async def _ensure_automations(options: StackSettings) -> None:
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - reads the environment

    from deployments.stack.automations import ensure_automations  # noqa: PLC0415

    async with get_client() as client:
        await ensure_automations(client, options)


def _deploy(file: Path) -> None:
    """All deployments, by Prefect's own reading of the file."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    done = subprocess.run(  # noqa: S603 - our own interpreter and constants
        command, env=dict(os.environ), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise PrefectServerError(
            f"The deployments of {FILE_NAME} were refused: {' '.join(lines[-3:])}", next_step="Correct the file."
        )


def main() -> int:
    """Entry point of `python -m deployments.stack.apply`."""
    try:
        apply(load_settings(), load_stack_settings())
    except SecError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
