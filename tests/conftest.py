"""What any test may use: a PostgreSQL server of the test run's own, started when the first test asks for it."""

import getpass
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

SETTINGS = {
    "listen_addresses": "",  # a socket in a folder of its own, and no port that might be taken
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "autovacuum": "off",
    "log_min_messages": "panic",
}


class PostgresServer:
    """A server in a folder of its own, which may be stopped and started again."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._user = _unprivileged()
        self._folder = Path(tempfile.mkdtemp(prefix="afterimage-postgres-"))
        self._numbers = itertools.count()
        self.running = False
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C")
        self.start()

    def start(self) -> None:
        settings = SETTINGS | {"unix_socket_directories": str(self._folder)}
        given = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._run("pg_ctl", "--wait", f"--options={given}", f"--log={self._folder / 'server.log'}", "start")
        self.running = True

    def stop(self) -> None:
        """At once: connections are cut, and the next start recovers."""
        self._run("pg_ctl", "--wait", "--mode=immediate", "stop")
        self.running = False

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new and empty one."""
        name = f"test_{next(self._numbers)}"
        url = f"postgresql+psycopg://postgres@/{name}?host={self._folder}"
        self.execute(f"CREATE DATABASE {name} STRATEGY wal_log")
        yield url
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statements: str, database: str = "postgres") -> None:
        with psycopg.connect(f"host={self._folder} user=postgres dbname={database}", autocommit=True) as connection:
            connection.execute(statements.encode())

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, f"--pgdata={self._folder / 'data'}", *arguments],
            check=True,
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = start_postgres()
    yield server
    server.close()


@pytest.fixture
def postgres_to_stop(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """The same; it runs again when the test is over."""
    yield postgres
    if not postgres.running:
        postgres.start()


def start_postgres() -> PostgresServer:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip("needs PostgreSQL: its server programs are not installed")
    return PostgresServer(found[-1].parent if found else Path(str(on_path)).resolve().parent)


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: as whom, then."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody", getpass.getuser()) if name in names)
