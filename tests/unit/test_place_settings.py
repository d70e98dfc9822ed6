"""Where data and state are, from settings alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from sec_core.blobs.objects import StoreAccess
from sec_core.blobs.place import StoreUrl
from sec_core.config import Settings, load_settings
from sec_core.errors import ConfigError


def settings(**values: object) -> Settings:
    return load_settings(_env_file=None, **values)


def test_a_folder_holds_data_and_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEC_DATA_DIR", "here")
    monkeypatch.setenv("SEC_STATE_DIR", "")
    found = settings()
    assert (found.data, found.state) == (Path("here").absolute(), Path("here").absolute())
    assert found.bronze == found.bronze_dir == Path("here").absolute() / "bronze"
    assert found.environment == {"SEC_DATA_DIR": str(found.data), "SEC_STATE_DIR": str(found.state)}


@pytest.mark.parametrize(("state", "expected"), [(None, "data"), ("elsewhere", "elsewhere")])
def test_an_address_holds_data_and_a_folder_the_state(
    state: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEC_DATA_DIR", "s3://bucket/some/prefix/")
    if state:
        monkeypatch.setenv("SEC_STATE_DIR", state)
    found = settings()
    assert found.data == StoreUrl("bucket", "some/prefix")
    assert [str(place) for place in (found.bronze, found.gold, found.archive)] == [
        f"s3://bucket/some/prefix/{name}" for name in ("bronze", "gold", "archive")
    ]
    state_dir = Path(expected).absolute()
    assert [found.postgres_dir, found.logs_dir, found.run_dir, found.prefect_dir] == [
        state_dir / name for name in ("postgres", "logs", "run", "prefect")
    ]
    with pytest.raises(ConfigError, match=r"s3://bucket/some/prefix/bronze is an object store"):
        _ = found.bronze_dir
    again = settings(data_dir=found.environment["SEC_DATA_DIR"], state_dir=found.environment["SEC_STATE_DIR"])
    assert (again.data, again.state) == (found.data, found.state)


def test_a_folder_and_another_for_the_state() -> None:
    found = settings(data_dir="/mnt/shared", state_dir="/var/lib/sec")
    assert (found.gold_dir, found.logs_dir) == (Path("/mnt/shared/gold"), Path("/var/lib/sec/logs"))


@pytest.mark.parametrize(
    "address", ["gs://bucket", "https://host/bucket", "s3://", "s3://UPPER/x", "s3://bucket/../x", "s3://bucket/a b"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"SEC_DATA_DIR.*s3://bucket/prefix"):
        settings(data_dir=address)


def test_the_state_is_never_at_an_address() -> None:
    with pytest.raises(ConfigError, match=r"SEC_STATE_DIR.*folder of this machine"):
        settings(state_dir="s3://bucket")


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
    assert found.config() == {
        "access_key_id": "me", "secret_access_key": "from-environment", "endpoint_url": "http://127.0.0.1:9",
    }  # fmt: skip
    assert found.unencrypted
    assert "from-environment" not in repr(found)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")
    assert not StoreAccess.read().unencrypted
