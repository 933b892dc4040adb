"""PgBouncer before a test's server, where the program is on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from _server import Cluster
from pgstate import _postmaster

PORT = 6432
_PATIENCE = 30.0


def program() -> str | None:
    """Debian's pgbouncer, or the one that PGSTATE_TEST_PGBOUNCER names."""
    return os.environ.get("PGSTATE_TEST_PGBOUNCER") or shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")


def version() -> tuple[int, ...]:
    found = program()
    assert found is not None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in said.split()[1].split("."))


class PgBouncer:
    """One that lets `logins` pass to any database of a cluster. `settings` go over the defaults."""

    def __init__(self, cluster: Cluster, logins: Sequence[str], mode: str = "transaction", **settings: object) -> None:
        found = program()
        assert found is not None
        uid = _postmaster.server_uid()
        self.home = Path(tempfile.mkdtemp(prefix="pgb-")).resolve()
        _postmaster.open_way(self.home / "x", uid)
        _postmaster.give(self.home, uid)
        (self.home / "users").write_text("".join(f'"{login}" ""\n' for login in logins))
        options = {
            "pool_mode": mode, "auth_type": "trust", "auth_file": self.home / "users", "listen_addr": "",
            "listen_port": PORT, "unix_socket_dir": self.home, "logfile": self.home / "log", "admin_users": "postgres",
            "default_pool_size": 2, "server_idle_timeout": 600, **settings,
        }  # fmt: skip
        lines = [f"* = host={cluster.data} port={cluster.port}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in options.items()]
        (self.home / "ini").write_text("[databases]\n" + "\n".join(lines) + "\n")
        for path in self.home.iterdir():
            path.chmod(0o644)
        self._process = subprocess.Popen(
            [found, str(self.home / "ini")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **_postmaster.as_user(uid),
        )
        deadline = time.monotonic() + _PATIENCE
        while not self._listens():
            assert self._process.poll() is None and time.monotonic() < deadline, (self.home / "log").read_text()
            time.sleep(0.01)

    def _listens(self) -> bool:
        # the file is there before anybody listens on it
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.home / f".s.PGSQL.{PORT}")) == 0

    def dsn(self, database: str, login: str) -> str:
        return f"postgresql://{login}@/{database}?host={self.home}&port={PORT}"

    def admin(self, command: str) -> list[dict[str, object]]:
        """What a command of its console answers."""
        with psycopg.connect(
            self.dsn("pgbouncer", "postgres"), autocommit=True, row_factory=psycopg.rows.dict_row
        ) as session:
            cursor = session.execute(command.encode())
            return cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(_PATIENCE)
        shutil.rmtree(self.home)
