"""A program that does nothing but keep another one like it alive."""

from __future__ import annotations

import subprocess

subprocess.run(["sleep", "60"], check=False)
