"""Databases for the review store's tests: a file, and a real PostgreSQL server of our own that ends with the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

# Ends the server when it is told to, and also when the tests were killed: then there is nothing left to read.
_WATCH = '"$@" & server=$!; read -r how; kill -s "${how:-QUIT}" $server; wait $server'
REQUIRED = bool(os.environ.get("CURATE_REQUIRE_POSTGRES"))  # set where skipping would hide something: .ci/run


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs, the newest where there are several; Debian keeps them off the PATH."""
    on_path = shutil.which("initdb")
    if on_path and (Path(on_path).resolve().parent / "postgres").exists():
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@dataclass
class Server:
    """A PostgreSQL server that listens on a socket in its own folder only."""

    programs: Path
    folder: Path
    user: str
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = [
            "-D",
            str(self.folder / "data"),
            "-k",
            str(self.folder),
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", _WATCH, "sh", str(self.programs / "postgres"), *options],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                **self.identity,
            )
        for _ in range(600):
            try:
                psycopg.connect(self.dsn("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text(errors="replace")) from None
                time.sleep(0.05)
        raise RuntimeError("PostgreSQL does not answer")

    def stop(self, immediately: bool = False) -> None:
        """Stop the server: clients are cut off; `immediately` is what a power cut is to it."""
        if self.process is not None:
            self.process.communicate("QUIT\n" if immediately else "INT\n", 60)  # what PostgreSQL's pg_ctl sends
            self.process = None

    @property
    def identity(self) -> dict[str, object]:
        """Arguments of Popen: PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return {}
        account = pwd.getpwnam(self.user)
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": "/"}

    def dsn(self, database: str) -> str:
        return f"host={self.folder} dbname={database} user={self.user}"

    def empty_database(self) -> str:
        """The URL of the database, emptied: to make a new one for every test takes longer than the test."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres' AND pid <> %s"
            connection.execute(others, [connection.info.backend_pid])
            connection.execute("DROP SCHEMA IF EXISTS curate CASCADE")
        return f"postgresql://{self.user}@/postgres?host={self.folder}"


def account() -> str:
    """Who may run a server: we ourselves, or for root another account."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@contextmanager
def running_server() -> Iterator[Server]:
    """A new server with an empty cluster; without PostgreSQL the test is skipped, or fails where it is required."""
    programs = binaries()
    if programs is None:
        (pytest.fail if REQUIRED else pytest.skip)("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="curate-pg-"))  # not tmp_path: a socket's name has at most 107 bytes
    server = Server(programs, folder, account())
    try:
        if os.geteuid() == 0:
            os.chown(folder, pwd.getpwnam(server.user).pw_uid, -1)
        command = [str(programs / "initdb"), "-D", str(folder / "data"), "--auth=trust", "--no-sync", "-U", server.user]
        made = subprocess.run(
            [*command, "--encoding=UTF8", "--locale=C.UTF-8"], capture_output=True, check=False, **server.identity
        )
        assert made.returncode == 0, made.stderr.decode()
        server.start()
        yield server
    finally:
        server.stop(immediately=True)
        shutil.rmtree(folder, ignore_errors=True)
