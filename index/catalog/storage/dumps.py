"""Backups of a catalog on PostgreSQL, by its own programs."""

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.engine import URL

from index.catalog.storage.database import Database
from index.catalog.storage.migrate import refuse_newer
from index.catalog.tables import metadata
from index.errors import BackupRefused, CatalogTooNew, CatalogUnavailable
from index.records.changes import Version

_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'afterimage' AND pid <> pg_backend_pid()
"""
_GIVES_WAY = (
    # Of any release up to this one: a backup of an earlier one knows nothing of what came later.
    *(f"DROP TABLE IF EXISTS {name} CASCADE" for name in (*metadata.tables, "alembic_version")),
    "DROP FUNCTION IF EXISTS audit_is_kept CASCADE",
)
_REVISION = re.compile(r"^COPY .*alembic_version .*;\n(\S+)$", re.MULTILINE)


def dump(url: URL, target: Path) -> Version:
    """
    Raises:
        CatalogUnavailable: pg_dump is not there, or failed.
    """
    version = _version(url)
    # Of one instant, which is no earlier than the version: the dump says in itself which it is.
    _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")
    return version


def load(source: Path, url: URL, *, replace: bool) -> None:
    """
    Whole or not at all, into an empty database, or over the catalog that is there.

    Raises:
        BackupRefused: there is a catalog, or one of a newer release, or somebody uses it.
        CatalogTooNew: a newer release has written the backup.
        CatalogUnavailable: pg_restore or psql is not there, or failed.
    """
    with closing(Database(url.render_as_string(hide_password=False))) as database:
        if database.scalar(_OTHERS):
            raise BackupRefused("The catalog is in use: end the services first.")
        if database.scalar("SELECT to_regclass('alembic_version') IS NOT NULL"):
            _refuse_to_replace(database.scalar("SELECT version_num FROM alembic_version"), replace=replace)
    found = _REVISION.search(
        _run("pg_restore", None, "--data-only", "--table=alembic_version", "--file=-", str(source))
    )
    if found is None:
        raise BackupRefused(f"{source} is not a backup of a catalog.")
    refuse_newer(found[1])
    _replay(source, url, replace=replace)


def _refuse_to_replace(revision: str | None, *, replace: bool) -> None:
    if not replace:
        raise BackupRefused("There is a catalog already in this database. To replace it, say so.")
    try:
        refuse_newer(revision or "")
    except CatalogTooNew:
        raise BackupRefused("The catalog that is there is a newer release's: use an empty database.") from None


def _replay(source: Path, url: URL, *, replace: bool) -> None:
    """Psql carries out what pg_restore writes, in one transaction, and commits it when pg_restore has ended well."""
    database, password = _named(url)
    begin = ["BEGIN", *(_GIVES_WAY if replace else ())]
    options = ["--clean", "--if-exists"] if replace else []
    restore = [_path_of("pg_restore"), "--no-owner", "--no-privileges", *options, "--file=-", str(source)]
    psql = [_path_of("psql"), f"--dbname={database}", "--no-password", "--no-psqlrc", "--quiet"]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - as in `_run`
            [*psql, "--set=ON_ERROR_STOP=1", "--file=-"],
            env=_environment(password),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as carried_out,
    ):
        assert carried_out.stdin  # noqa: S101 - it is a pipe
        with suppress(BrokenPipeError):  # it has ended, and said why
            carried_out.stdin.write("".join(f"{statement};\n" for statement in begin).encode())
            carried_out.stdin.flush()
            written = subprocess.run(restore, stdout=carried_out.stdin, stderr=subprocess.PIPE, check=False)  # noqa: S603
            if not written.returncode:
                carried_out.stdin.write(b"COMMIT;\n")
            carried_out.stdin.close()
        ended = carried_out.wait()
        said.seek(0)
        if ended:
            raise _failed("psql", said.read(), ended)
    if written.returncode:
        raise _failed("pg_restore", written.stderr, written.returncode)


def _version(url: URL) -> Version:
    with closing(Database(url.render_as_string(hide_password=False))) as database:
        return Version(database.scalar("SELECT seq FROM log_head"))


def _run(program: str, url: URL | None, *arguments: str) -> str:
    """What it said. The password goes through the environment: arguments can be seen by everyone on the machine."""
    database, password = ("", None) if url is None else _named(url)
    done = subprocess.run(  # noqa: S603 - the program was looked up, and nothing goes through a shell
        [_path_of(program), *([f"--dbname={database}", "--no-password"] if database else []), *arguments],
        env=_environment(password),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise _failed(program, done.stderr, done.returncode)
    return done.stdout.decode()


def _path_of(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise CatalogUnavailable(f"{program} is not installed; it comes with PostgreSQL's client programs.")
    return path


def _environment(password: str | None) -> dict[str, str]:
    return os.environ | ({} if password is None else {"PGPASSWORD": password})


def _failed(program: str, said: bytes, status: int) -> CatalogUnavailable:
    """Its first line: those behind it may quote rows."""
    lines = said.decode(errors="replace").strip().splitlines()
    return CatalogUnavailable(f"{program} failed: {lines[0] if lines else status}")


def _named(url: URL) -> tuple[str, str | None]:
    """As PostgreSQL's own programs take it, and the password."""
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - who keeps the catalog in SQLite need not have it

    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    _, given = engine.dialect.create_connect_args(engine.url)
    password = given.pop("password", None)
    given.pop("context", None)
    return make_conninfo(**given), None if password is None else str(password)
