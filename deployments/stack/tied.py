"""Runs a Python module for as long as the process that started it lives: `python -m deployments.stack.tied MODULE ...`.

The starter holds the other end of this process's standard input, which the system closes however the starter ends.
"""

import os
import runpy
import sys
import threading
from contextlib import suppress

import psutil


def _end_with_starter() -> None:
    while os.read(0, 1024):
        pass
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_starter, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
