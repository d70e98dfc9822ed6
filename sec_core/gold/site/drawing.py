"""Vega-Lite as PNG, in a process of its own: the library holds Python's lock while it draws.

`python -m sec_core.gold.site.drawing` reads an object of specifications and writes one of pictures in base64.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys

from sec_core.errors import PublicationError

SCALE = 2


def draw(specifications: dict[str, dict[str, object]]) -> dict[str, bytes]:
    """The pictures of some specifications, by name.

    Raises:
        PublicationError: The library failed.
    """
    if not specifications:
        return {}
    command = [sys.executable, "-m", "sec_core.gold.site.drawing"]
    given = json.dumps(specifications)
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise PublicationError(
            f"The figures for the press were not drawn: {said}.", next_step="Report this as a defect."
        )
    return {name: base64.b64decode(picture) for name, picture in json.loads(done.stdout).items()}


def main() -> None:
    """Draw what standard input holds."""
    import vl_convert  # noqa: PLC0415 - only this process needs it

    specs = json.load(sys.stdin)
    found = {name: vl_convert.vegalite_to_png(spec, scale=SCALE) for name, spec in specs.items()}
    json.dump({name: base64.b64encode(picture).decode() for name, picture in found.items()}, sys.stdout)


if __name__ == "__main__":
    main()
