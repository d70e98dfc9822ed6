"""A program that does nothing but keep another one like it alive."""

import subprocess

subprocess.run(["sleep", "60"], check=False)
