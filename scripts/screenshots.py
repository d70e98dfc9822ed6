"""The runbook's pictures of the Prefect UI: `make screenshots`.

It starts a stack of its own on a temporary folder, against a simulated SEC that fails when it is told to, does what the
runbook tells of, and looks with Chromium.
"""

import html
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support import receivers
from support.browser import chromium
from support.prefect_ui import PICTURES_VARIABLE, PrefectUi
from support.stack import ENDED, Stack, eventually, pause_schedules

from deployments.stack.services import free_port
from sec_core.hours import CHILE
from sec_core.simulator.faults import FaultOptions, FaultRule
from sec_core.simulator.options import WorldOptions
from sec_core.simulator.server import Simulator

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images"
LARGEST = 150_000
_AWAY = FaultOptions(rules=(FaultRule(kind="status", endpoint=None),))
_BAD_HOUR = FaultOptions(rules=(FaultRule(kind="status", status=500, hours=("2025-03-14T09", "2025-03-14T11")),))


@contextmanager
def running_stack(folder: Path, told: list[dict[str, Any]]) -> Iterator[Stack]:
    """A stack whose notices go to `told`, with no runs but those that are asked for; stopped at the end."""
    with receivers.webhook(told) as webhook, Simulator(world=WorldOptions.tiny(seed=3)) as source:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SEC_"))}
        own |= {"SEC_BASE_URL": source.url, "SEC_DATA_DIR": "data", "SEC_MAX_RATE": "60", "SEC_RETRIES": "0"}
        own |= {"SEC_NOTIFY_URL": webhook, "PREFECT_WORKER_QUERY_SECONDS": "2", "SEC_UI_PORT": str(free_port())}
        stack = Stack(folder, own | {"SUPABASE_URL": "", "SUPABASE_KEY": ""}, source, told)
        try:
            stack.up()
            yield stack
        finally:
            stack.sec("down")


class Photographer:
    """Does what the runbook tells of, and takes its pictures."""

    def __init__(self, stack: Stack, ui: PrefectUi) -> None:
        self._stack = stack
        self._ui = ui

    def run(self, name: str, **parameters: object) -> str:
        """Run a deployment to its end."""
        run_id = self._stack.trigger(name, parameters=parameters)
        self._stack.wait_for(run_id, *ENDED)
        return run_id

    def look(self, run_id: str, picture: str, tab: str = "Details") -> None:
        """A picture of a run, with one of its tabs."""
        # What a state says is at the end of the details.
        self._ui.resize(1280, 1050 if tab == "Details" else 900)
        self._ui.open(f"/runs/flow-run/{run_id}")
        self._ui.open_tab(tab)
        self._ui.picture(picture)
        self._ui.resize(1280, 900)

    def look_at_artifact(self, key: str, picture: str, selector: str = "table") -> None:
        """A picture of the newest artifact of a key."""
        query = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 1}
        (found,) = self._stack.api("POST", "/artifacts/filter", query).raise_for_status().json()
        self._ui.open(f"/artifacts/artifact/{found['id']}")
        self._ui.wait_for(selector)
        self._ui.picture(picture)

    def take_all(self) -> None:
        """All pictures, in the order of the runbook."""
        self._ui.resize(1280, 900)
        self._ui.open("/deployments")
        self._ui.wait_for("a[href*='/deployments/deployment/']")
        self._ui.picture("deployments")
        pause_schedules(self._stack.state.api)
        self.run("monitor", closed_hours=3)
        self.look(self.run("rerun-month", months="2025-02"), "run", "Artifacts")
        self.look_at_artifact("hours-2025-02", "coverage", "pre")
        self._stack.source.set_faults(_BAD_HOUR)
        self.look(self.run("rerun-month", months="2025-03", wait_for_circuit=False), "failed-month")
        self.look_at_artifact("overview", "overview")
        self._stack.source.set_faults(_AWAY)
        self.run("health")
        waiting = self._stack.trigger("rerun-month", parameters={"months": "2025-04"})
        self._ui.open(f"/runs/flow-run/{waiting}")
        self._ui.wait_for_state("Waiting")
        self.look(waiting, "waiting-run")
        self.run("health")
        self._ui.resize(1280, 720)
        self.look_at_artifact("health", "health")
        self._stack.source.set_faults(FaultOptions())
        self._stack.sec("circuit", "close", "--why", "It answers again")
        self.run("rerun-month", months="2025-03")
        self.run("health")
        eventually(lambda: sum("right" in each["state"] for each in self._stack.told) >= 2)
        self._ui.resize(1050, 320)
        self._ui.show(notices_page(self._stack.told))
        self._ui.picture("notices")


def notices_page(told: list[dict[str, Any]]) -> str:
    """What the webhook was told, as a page."""
    lines = "".join(f"<p>{html.escape(each['text'].strip('`'))}</p>" for each in told)
    return f"<body style='font: 15px/1.4 monospace; width: 1000px; margin: 24px'>{lines}</body>"


def main() -> None:
    """Take them; ends with a message if one is too large for the repository."""
    began = time.time()
    os.environ[PICTURES_VARIABLE] = str(PICTURES)
    told: list[dict[str, Any]] = []
    with ExitStack() as opened:
        made = tempfile.TemporaryDirectory(prefix="sec-pictures-", ignore_cleanup_errors=True)
        folder = Path(opened.enter_context(made))
        stack = opened.enter_context(running_stack(folder, told))
        browser = chromium(folder / "chromium")
        opened.callback(browser.quit)
        browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": str(CHILE)})
        Photographer(stack, PrefectUi(browser, stack.state.ui)).take_all()
    made_now = [file for file in PICTURES.glob("*.png") if file.stat().st_mtime >= began]
    if large := [file.name for file in made_now if file.stat().st_size > LARGEST]:
        sys.exit(f"Larger than {LARGEST} bytes: {', '.join(large)}")


if __name__ == "__main__":
    main()
