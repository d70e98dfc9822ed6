"""Runs a command as an unprivileged account, without a new account and without loosening any folder's mode.

PostgreSQL refuses to run as root. Started by root as `python launcher.py WAY UID:GID COMMAND...`, this program
gives up root in one of these ways and then becomes the command:

- `account`: plain setgid and setuid. Enough where the account can reach the binaries and the data.
- `capability`: the same, keeping CAP_DAC_READ_SEARCH as an ambient capability, so that folders closed to the account
  (mode 0700, such as root's home) can be passed through. Linux only.
- `namespace`: a user namespace in which root's files belong to an ordinary user. Needs no capability, where a
  container has taken them all. Linux only; the numbers are only the name that root has inside.
- `override`: as `capability`, with CAP_DAC_OVERRIDE, for containers that leave root only this one. The server could
  then write where its account may not, so it comes last.

It is a program of its own and imports the standard library only: what it does is unsafe in a process with threads.
With `--probe FILE...` in place of a command it says by its exit code whether these files can be read that way.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_REFUSED = 125

_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CLONE_NEWUSER = 0x10000000


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapabilityData(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _prctl(libc: ctypes.CDLL, *arguments: int) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:5]
    _checked(libc.prctl(*(ctypes.c_ulong(value) for value in padded)), "prctl")


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _become_keeping(capability: int, uid: int, gid: int) -> None:
    """Setuid that keeps one capability, also for the programs that are run from here."""
    libc = ctypes.CDLL(None, use_errno=True)
    _prctl(libc, _PR_SET_KEEPCAPS, 1)
    _become(uid, gid)
    only = 1 << capability
    data = (_CapabilityData * 2)()
    data[0] = _CapabilityData(only, only, only)
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    _checked(libc.capset(ctypes.byref(header), data), "capset")
    _prctl(libc, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def _enter_namespace(uid: int, gid: int) -> None:
    """A user namespace where this user (root) is known as an ordinary user, who still owns root's files."""
    outer_user, outer_group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.unshare(_CLONE_NEWUSER), "unshare")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_group} 1", encoding="ascii")


def _probe(files: list[str]) -> None:
    for name in files:
        path = Path(name)
        if path.is_dir():
            next(os.scandir(path), None)
        else:
            with path.open("rb") as stream:
                stream.read(1)


_WAYS: dict[str, Callable[[int, int], None]] = {
    "account": _become,
    "capability": partial(_become_keeping, _CAP_DAC_READ_SEARCH),
    "namespace": _enter_namespace,
    "override": partial(_become_keeping, _CAP_DAC_OVERRIDE),
}


def main(arguments: list[str]) -> None:
    """Give up root in the named way, then run the command or the probe.

    Args:
        arguments: The way, the account's numbers, then the command with its arguments, or `--probe` and files.
    """
    way, account, *command = arguments
    uid, gid = (int(number) for number in account.split(":"))
    try:
        _WAYS[way](uid, gid)
        if command[0] == "--probe":
            _probe(command[1:])
            return
        os.execv(command[0], command)  # noqa: S606 - the command is ours; there is no shell to confuse
    except (OSError, AttributeError) as error:
        sys.stderr.write(f"{way}: {error}\n")
        sys.exit(EXIT_REFUSED)


if __name__ == "__main__":
    main(sys.argv[1:])
