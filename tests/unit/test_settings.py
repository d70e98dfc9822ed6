"""Settings: checked where they enter, the same everywhere that names them; and where data and state are by them."""

import re
from pathlib import Path

import pytest
import yaml
from loguru import logger

from deployments.stack.settings import StackSettings
from sec_core.blobs.objects import StoreAccess
from sec_core.blobs.place import StoreUrl
from sec_core.config import Settings, load_settings, private_folder
from sec_core.environment import Environment
from sec_core.errors import ConfigError
from sec_core.log import setup_logging

PROJECT = Path(__file__).resolve().parents[2]
CLASSES: tuple[type[Environment], ...] = (Settings, StackSettings, StoreAccess)
# What a container decides by itself: its state lies in a volume.
OF_CONTAINERS = {"SEC_STATE_DIR"}


def read(**values: object) -> Settings:
    return load_settings(_env_file=None, **values)


def variables() -> dict[str, object]:
    """All variables, with their defaults."""
    return {each.variable(name): field.default for each in CLASSES for name, field in each.model_fields.items()}


def readme() -> dict[str, str]:
    """Variables of the README's table, with the text of their defaults."""
    table = (PROJECT / "README.md").read_text(encoding="utf-8").partition("## Settings")[2].partition("\n## ")[0]
    found: dict[str, str] = {}
    for names, default in re.findall(r"^\| (`[A-Z].*?) \| (.*?) \|", table, flags=re.MULTILINE):
        each = re.findall(r"`([A-Z_]+)`", names)
        texts = default.split(", ") if len(default.split(", ")) == len(each) else [default] * len(each)
        found |= dict(zip(each, texts, strict=True))
    return found


def test_program_readme_example_and_containers_have_the_same_settings() -> None:
    known = set(variables())
    assert set(readme()) == known
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^(?:# )?([A-Z_]+)=", example, flags=re.MULTILINE)) == known | {"POSTGRES_PASSWORD"}
    compose = yaml.safe_load((PROJECT / "compose.yaml").read_text(encoding="utf-8"))
    assert set(compose["x-settings"]) - {"PREFECT_API_URL", "PGPASSWORD"} == known - OF_CONTAINERS
    for name, text in compose["x-settings"].items():
        assert (
            text is None
            or name in text
            or name in {"SEC_DATABASE_URL", "PGPASSWORD", "SEC_DATA_DIR", "PREFECT_API_URL"}
        )
    for service in ("prefect", "setup", "worker"):
        assert set(compose["services"][service]["environment"]) >= known - OF_CONTAINERS


def test_the_defaults_are_those_of_the_readme() -> None:
    shown = readme()
    numbers = {name: default for name, default in variables().items() if isinstance(default, int | float)}
    assert {name: float(shown[name]) for name in numbers} == numbers


@pytest.mark.parametrize("each", CLASSES)
def test_what_is_empty_is_unset_whatever_the_file_says(
    each: type[Environment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [each.variable(name) for name in each.model_fields]
    Path(".env").write_text("".join(f"{name}=1\n" for name in names), encoding="utf-8")
    for name in names:
        monkeypatch.setenv(name, "  ")
    assert {name: getattr(each.read(), name) for name in each.model_fields} == {
        name: field.default for name, field in each.model_fields.items()
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEC_CONTACT", "María Peña <maria@example.cl>"),
        ("SEC_CONTACT", "maria@example.cl\r\nX-Evil: 1"),
        ("SEC_CONTACT", "tab\there"),
        ("SUPABASE_KEY", "eyJ\nabc"),
        ("SUPABASE_KEY", "clave-ñ"),
    ],
)
def test_what_becomes_a_header_is_one_line_of_ascii(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://x.example.org")
    monkeypatch.setenv("SUPABASE_KEY", "key")
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=rf"{name}: it is sent in a header.*ASCII") as caught:
        read()
    assert value not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_newline_at_the_end_of_a_secret_is_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://x.example.org")
    monkeypatch.setenv("SUPABASE_KEY", "from-a-file\n")
    key = read().supabase_key
    assert key is not None
    assert key.get_secret_value() == "from-a-file"


@pytest.mark.parametrize(
    ("each", "given", "missing"),
    [
        (Settings, {"SUPABASE_URL": "https://x.example.org"}, "SUPABASE_KEY"),
        (Settings, {"SUPABASE_KEY": "key"}, "SUPABASE_URL"),
        (StoreAccess, {"AWS_ACCESS_KEY_ID": "me"}, "AWS_SECRET_ACCESS_KEY"),
        (StoreAccess, {"AWS_SECRET_ACCESS_KEY": "key"}, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_half_a_configuration_is_an_error(
    each: type[Environment], given: dict[str, str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(missing, "")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{missing}.*both or neither"):
        each.read(_env_file=None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("SEC_CONTACT=a@b.cl\n# Peña\n".encode("latin-1"), r"no UTF-8 text \(line 2\)"),
        ("SEC_CONTACT=a@b.cl\n".encode("utf-16"), "no UTF-8 text"),
        ("\ufeffSEC_CONTACT=a@b.cl\r\n# Peña\r\n".encode(), None),
    ],
    ids=["latin-1", "utf-16", "byte order mark"],
)
def test_a_file_in_another_encoding_is_one_line(
    content: bytes, told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEC_CONTACT", raising=False)
    (tmp_path / ".env").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    if told is None:
        assert load_settings().contact == "a@b.cl"
        return
    with pytest.raises(ConfigError, match=told) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("SEC_MAX_RATE", "many"), ("SEC_RETENTION_DAYS", "3"), ("SEC_BASE_URL", "x")]
)
def test_a_wrong_value_names_its_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"Bad settings: {name}: "):
        read()


def test_a_private_folder_is_for_its_owner_alone_whoever_made_it(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir(mode=0o755)
    for path in (tmp_path / "logs", tmp_path / "a" / "run"):
        assert private_folder(path).stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="SEC_STATE_DIR"):
        private_folder(tmp_path / "file")


def test_logs_are_for_their_owner_alone_whichever_command_comes_first(tmp_path: Path) -> None:
    logs = tmp_path / "state" / "logs"
    setup_logging(logs, terminal=None)
    try:
        logger.info("x")
    finally:
        setup_logging(None)
    assert [path.stat().st_mode & 0o777 for path in (logs, *logs.iterdir())] == [0o700, 0o600]


def test_a_folder_holds_data_and_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEC_DATA_DIR", "here")
    monkeypatch.setenv("SEC_STATE_DIR", "")
    found = read()
    assert (found.data, found.state) == (Path("here").absolute(), Path("here").absolute())
    assert found.bronze == Path("here").absolute() / "bronze"
    assert found.environment == {"SEC_DATA_DIR": str(found.data), "SEC_STATE_DIR": str(found.state)}


@pytest.mark.parametrize(("state", "expected"), [(None, "data"), ("elsewhere", "elsewhere")])
def test_an_address_holds_data_and_a_folder_the_state(
    state: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEC_DATA_DIR", "s3://bucket/some/prefix/")
    if state:
        monkeypatch.setenv("SEC_STATE_DIR", state)
    found = read()
    assert found.data == StoreUrl("bucket", "some/prefix")
    assert [str(place) for place in (found.bronze, found.gold, found.archive)] == [
        f"s3://bucket/some/prefix/{name}" for name in ("bronze", "gold", "archive")
    ]
    state_dir = Path(expected).absolute()
    assert [found.postgres_dir, found.logs_dir, found.run_dir, found.prefect_dir] == [
        state_dir / name for name in ("postgres", "logs", "run", "prefect")
    ]
    again = read(data_dir=found.environment["SEC_DATA_DIR"], state_dir=found.environment["SEC_STATE_DIR"])
    assert (again.data, again.state) == (found.data, found.state)


def test_a_folder_and_another_for_the_state() -> None:
    found = read(data_dir="/mnt/shared", state_dir="/var/lib/sec")
    assert (found.gold, found.logs_dir) == (Path("/mnt/shared/gold"), Path("/var/lib/sec/logs"))


@pytest.mark.parametrize(
    "address", ["gs://bucket", "https://host/bucket", "s3://", "s3://UPPER/x", "s3://bucket/../x", "s3://bucket/a b"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"SEC_DATA_DIR.*s3://bucket/prefix"):
        read(data_dir=address)


def test_the_state_is_never_at_an_address() -> None:
    with pytest.raises(ConfigError, match=r"SEC_STATE_DIR.*folder of this machine"):
        read(state_dir="s3://bucket")


def test_a_whole_bucket_is_a_place() -> None:
    assert StoreUrl.parse("s3://bucket/") == StoreUrl("bucket")
    assert str(StoreUrl("bucket") / "gold" / "site/index.html") == "s3://bucket/gold/site/index.html"


def test_credentials_come_from_the_environment_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ACCESS_KEY_ID", "SESSION_TOKEN", "VIRTUAL_HOSTED_STYLE_REQUEST"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "")
    Path(".env").write_text(
        "AWS_ACCESS_KEY_ID=me\nAWS_SECRET_ACCESS_KEY=from-file\nAWS_ENDPOINT_URL=https://elsewhere\n", encoding="utf-8"
    )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-environment")
    found = StoreAccess.read()
    assert found.options() == {
        "access_key_id": "me", "secret_access_key": "from-environment", "endpoint_url": "http://127.0.0.1:9",
    }  # fmt: skip
    assert "from-environment" not in repr(found)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")
    assert "endpoint_url" not in StoreAccess.read().options()
