"""The conventions of CONTRIBUTING.md, and the claims of README.md that can go stale."""

import importlib
import re
import subprocess
import sys
from itertools import chain
from operator import attrgetter
from pathlib import Path

import pytest
from typer.main import get_command

from deployments.cli.main import commands as read_commands
from deployments.stack.settings import StackSettings
from sec_core.config import Settings

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("sec_core", "tasks", "flows", "deployments")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_modules_stay_small() -> None:
    large = {str(path.relative_to(ROOT)): lines_of(path) for path in MODULES if lines_of(path) > 400}
    assert not large, f"Modules over 400 lines: {large}. Split them by what they are about."


def test_commands_speak_by_the_function_that_makes_text_harmless() -> None:
    said = re.compile(r"typer\.echo\(|(?<![.\w])print\(")
    raw = [path.name for path in MODULES if path.name != "app.py" and said.search(path.read_text(encoding="utf-8"))]
    assert not raw, f"{raw}: use `say` of deployments/cli/app.py, or `print_table`."


def test_no_module_is_a_drawer() -> None:
    drawers = [str(path.relative_to(ROOT)) for path in MODULES if path.stem in {"utils", "helpers", "common", "misc"}]
    assert not drawers, f"{drawers}: name a module after what it is about."


def test_every_named_statement_is_sent() -> None:
    for path in (ROOT / "sec_core").rglob("*.sql"):
        names = re.findall(r"^-- name: (\w+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        sender = path.with_suffix(".py").read_text(encoding="utf-8") if names else ""
        package = "".join(each.read_text(encoding="utf-8") for each in path.parent.glob("*.py"))
        sent = [name for name in dict.fromkeys(names) if f'"{name}"' in sender or f'SQL["{name}"]' in package]
        assert names == sent, path.name


def test_every_command_in_the_readme_exists_and_every_command_is_in_the_readme() -> None:

    commands = {name for name, command in get_command(read_commands()).commands.items() if not command.hidden}  # type: ignore[attr-defined]
    named = set(re.findall(r"`?sec ([a-z-]+)", README.replace("`sec`", "")))
    assert commands - named == set(), "Name these commands in README.md."
    assert named - commands == set(), "README.md names commands that do not exist."


def test_every_setting_is_in_the_readme() -> None:
    names = {name.upper() if name.startswith("supabase") else f"SEC_{name.upper()}" for name in Settings.model_fields}
    names |= {f"SEC_{name.upper()}" for name in StackSettings.model_fields}
    missing = {name for name in names if f"`{name}`" not in README}
    assert not missing, f"README.md does not explain {missing}."


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8"))
    broken = [target for target in targets if not (page.parent / target).exists()]
    assert not broken, f"{page.name} links to what does not exist."


def test_files_named_in_the_architecture_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:sec_core|tasks|flows|deployments)/[\w/.-]+)`", page)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_locked_requirements_have_hashes_and_no_addresses() -> None:
    pins: dict[str, set[str]] = {}
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-validators.txt"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "index" not in text.replace("indexes", "")
        blocks = re.split(r"\n(?=[a-z0-9])", text.strip())
        assert all("--hash=sha256:" in block for block in blocks)
        pins[name] = set(re.findall(r"^([a-z0-9][\w.-]*==\S+)", text, flags=re.MULTILINE))
    assert pins["requirements.txt"] <= pins["requirements-dev.txt"]


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys, deployments.cli.main as m\n"
        "m.main(['--help'])\n"
        "heavy = {'prefect', 'polars', 'pyarrow', 'sqlalchemy', 'supabase', 'altair', 'httpx', 'obstore'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "sync" in done.stdout


def test_the_walks_are_true_and_the_one_from_the_socket_to_a_payload_is_short() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = {part.splitlines()[0]: re.findall(r"`([\w.]+):([\w.]+)`", part) for part in page.split("\n## ")}
    assert 15 < len({module for module, _ in parts["The walk"]}) <= 25
    assert all(5 < len(parts[name]) <= 10 for name in ("On to the site", "On to a release"))
    for module, name in chain.from_iterable(parts.values()):
        assert callable(attrgetter(name)(importlib.import_module(module))), f"{module}:{name}"
