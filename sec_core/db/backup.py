"""A copy of one database in one file, and the database back from it, by PostgreSQL's own `pg_dump` and `pg_restore`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sec_core.db.installation import installations
from sec_core.db.programs import run
from sec_core.errors import DatabaseError, DatabaseUnavailable, InputError

if TYPE_CHECKING:
    from sec_core.db.database import Database
    from sec_core.db.installation import Installation

_TIMEOUT_S = 6 * 3600
_PROGRAMS = ("pg_dump", "pg_restore", "psql")
_MAGIC = b"PGDMP"


def dump(database: Database, target: Path) -> int:
    """Write a consistent copy of the whole database, compressed, while it is in use.

    Args:
        database: What to copy.
        target: The file; appears whole or not at all, mode 0600, and replaces an older one.

    Returns:
        Its size in bytes.

    Raises:
        DatabaseUnavailable: The server can't be reached, or `pg_dump` fails; the message has its reason.
        DatabaseError: The programs here are older than the server.
    """
    program = _installation(database).program("pg_dump")
    scratch = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch.unlink(missing_ok=True)
    # Made here, so that nobody else can read it from its first byte on.
    os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        command = [str(program), "--format=custom", "--no-owner", "--no-privileges"]
        command += [f"--file={scratch.absolute()}"]
        run(command, "The backup failed", _TIMEOUT_S, libpq=database.libpq_environment())
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
    return target.stat().st_size


def restore(database: Database, source: Path) -> None:
    """Put a copy in place of everything in the database, in one transaction: on any failure it stays as it was.

    Other sessions must not hold locks in it: stop workers first. Afterwards `migrate` brings an older copy up to date.

    Args:
        database: What to replace.
        source: A file that `dump` wrote, by the same or an older version of PostgreSQL.

    Raises:
        InputError: The file is no such copy.
        DatabaseUnavailable: The server can't be reached, or `pg_restore` fails; the message has its reason.
        DatabaseError: The programs here are older than the server.
    """
    try:
        with source.open("rb") as stream:
            head = stream.read(len(_MAGIC))
    except OSError as error:
        raise InputError(
            f"{source} can't be read: {error.strerror}.", next_step="Name a file made by a backup."
        ) from error
    if head != _MAGIC:
        raise InputError(f"{source} is no backup of this pipeline.", next_step="Name a file made by a backup.")
    installation = _installation(database)
    database.dispose()
    failure = "The backup could not be restored"
    with tempfile.TemporaryDirectory(prefix="sec-restore-") as folder:
        # First the whole of it as a script: a torn file is found out before anything is touched. pg_restore's own way
        # to replace what is there stumbles over partitions.
        script = Path(folder) / "restore.sql"
        command = [str(installation.program("pg_restore")), "--no-owner", "--no-privileges", f"--file={script}"]
        run([*command, str(source.absolute())], failure, _TIMEOUT_S)
        command = [str(installation.program("psql")), "--no-psqlrc", "--quiet", "--single-transaction"]
        command += ["--set=ON_ERROR_STOP=1", "--command=set client_min_messages = warning"]
        command += ["--command=drop schema public cascade", "--command=create schema public", f"--file={script}"]
        run(command, failure, _TIMEOUT_S, libpq=database.libpq_environment())


def _installation(database: Database) -> Installation:
    with database.engine.connect() as connection:
        major = int(connection.exec_driver_sql("show server_version_num").scalar_one()) // 10_000
    for each in installations():
        if each.major >= major and all(each.program(name).is_file() for name in _PROGRAMS):
            return each
    if not installations():
        raise DatabaseUnavailable(
            "There is no pg_dump on this machine.", next_step="Install PostgreSQL's client programs."
        )
    raise DatabaseError(
        f"The server is PostgreSQL {major} and the programs here are older.",
        next_step=f"Install the client programs of PostgreSQL {major}.",
    )
