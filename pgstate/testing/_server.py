"""Servers that tests run on: given by an address, or thrown away after the run."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from os import W_OK, access, environ
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from pgstate import _address, _postmaster

T = TypeVar("T")

SUPERUSER = "postgres"
_PATIENCE = 60.0
_ROOM = 2 << 30
# Nothing here outlives the run, so nothing needs flushing.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    # a killed server leaves its segments behind; these lie in its own folder
    "dynamic_shared_memory_type": "mmap",
    "checkpoint_timeout": "1h",
    "log_min_messages": "fatal",
}


class Server:
    """A server, by the address of a database to create others from. The login there needs CREATEDB and CREATEROLE."""

    def __init__(self, dsn: str) -> None:
        self._address = dsn
        self._background: _Background | None = None

    def dsn(self, database: str = "postgres", user: str | None = None) -> str:
        """The address of a database of this server for a login. Without one, the login of the server's address."""
        parameters = {**_address.read(self._address), "dbname": database}
        if user is not None:
            parameters["user"] = user
        return _address.written(parameters)

    def execute(self, *statements: str, database: str | None = None) -> None:
        """Runs texts of statements, each text in a transaction of its own. Blocks, also where a loop runs."""
        if self._background is None:
            self._background = _Background()
        self._background.run(_execute(self._address if database is None else self.dsn(database), statements))

    def close(self) -> None:
        """Ends what this object started."""
        if self._background is not None:
            self._background.stop()
            self._background = None


class Throwaway(Server):
    """A server of its own in a temporary folder, from the programs in `bindir`. `settings` go over the defaults; `tcp`
    makes it listen on a loopback port as well; `initdb`: further options of that program. No login needs a password."""

    def __init__(
        self, bindir: Path, *, settings: Mapping[str, str] | None = None, tcp: bool = False, initdb: Sequence[str] = ()
    ) -> None:
        self.bindir = bindir
        self.settings = {**_SETTINGS, **(settings or {})}
        self.home = Path(tempfile.mkdtemp(prefix="pgstate-test-", dir=_in_memory())).resolve()
        self.data = self.home / "data"
        self.log = self.home / "log"
        self.port = _free_port() if tcp else _postmaster.PORT
        self._tcp = tcp
        self._uid = _postmaster.server_uid()
        self._pid = 0
        self.sockets = _postmaster.socket_dir(self.data, self._uid)
        _postmaster.open_programs(bindir, self._uid)
        _postmaster.open_way(self.data, self._uid)
        for path in (self.data, self.log):
            path.mkdir(mode=0o700) if path == self.data else path.touch(mode=0o600)
            _postmaster.give(path, self._uid)
        options = (
            "-U",
            SUPERUSER,
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            *self._locale(),
            *initdb,
        )
        _postmaster.run((bindir / "initdb", "-D", self.data, *options), self._uid)
        self.major = int((self.data / "PG_VERSION").read_text())
        super().__init__(f"host={_quoted(self.sockets)} port={self.port} user={SUPERUSER} dbname=postgres")

    def _locale(self) -> tuple[str, ...]:
        return ()

    def start(self) -> Throwaway:
        """Starts the server and returns when it accepts connections; does nothing if it runs."""
        if self.running:
            return self
        _postmaster.clear_locks(self.data, self.sockets)
        settings = {
            **self.settings,
            "listen_addresses": "127.0.0.1" if self._tcp else "",
            "port": str(self.port),
            "unix_socket_directories": f'"{self.sockets}"',
        }
        self._pid = _postmaster.launch(self.bindir, self.data, self._uid, self.log, settings)
        deadline = time.monotonic() + _PATIENCE
        while not self._ready():
            if not _postmaster.lives(self._pid, self.data) or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {self.log.read_text()}")
            time.sleep(0.01)
        return self

    def remove(self) -> None:
        """Ends the server and deletes all that it had."""
        self.close()
        if self.running:
            _postmaster.shut_down(self._pid, self.data, timeout=10)
        for folder in {self.home, self.sockets} - {self.data}:
            shutil.rmtree(folder)

    @property
    def running(self) -> bool:
        return self._pid != 0 and _postmaster.lives(self._pid, self.data)

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return self._pid

    def _ready(self) -> bool:
        found = _postmaster.read(self.data)
        return found is not None and found.pid == self._pid and found.ready and _postmaster.answers(found)


class _Background:
    """A loop in a thread, for callers that have to block and may stand in a loop of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pgstate-testing", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _execute(dsn: str, statements: tuple[str, ...]) -> None:
    connection: asyncpg.Connection[Any] = await _address.open_connection(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def _in_memory() -> str | None:
    """A folder in memory with room for servers, if there is one and TMPDIR names no other place. Copying the template
    for each test takes 8 ms there, and 10 to 290 ms on the disks measured."""
    # the folder that is made in it is nobody else's
    memory = Path("/dev/shm")  # nosec B108
    if "TMPDIR" in environ or not memory.is_dir() or not access(memory, W_OK):
        return None
    return str(memory) if shutil.disk_usage(memory).free > _ROOM else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _quoted(value: object) -> str:
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
