"""Servers that die, and what they had."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import asyncpg
import psutil

from _server import SUPERUSER, Cluster
from client._promises import Logged, read_log
from conftest import Database
from pgstate import _postmaster

# as a server is run: a commit is on disk before it is acknowledged
SAFE = {"fsync": "on", "full_page_writes": "on", "wal_sync_method": "fdatasync", "checkpoint_timeout": "30s"}


def crash(cluster: Cluster) -> None:
    """SIGKILL for all of its processes."""
    # stopped first, so that it cannot start a child that nobody kills, which would keep the next server from starting
    psutil.Process(cluster.pid).suspend()
    cluster.kill()


async def log_of(database: Database) -> list[Logged]:
    """All that was ever written."""
    connection = await asyncpg.connect(database.dsn(SUPERUSER))
    try:
        return await read_log(connection)
    finally:
        await connection.close()


class Standby(Cluster):
    """A hot standby, which follows a server by streaming until it is promoted."""

    def __init__(self, primary: Cluster) -> None:
        super().__init__(primary.bindir, settings=SAFE)
        self._primary = primary
        shutil.rmtree(self.data)
        where = ("-h", primary.sockets, "-p", str(primary.port), "-U", SUPERUSER)
        options = ("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
        # the folder above is the test's, and this one the server's
        _postmaster.open_way(self.data, self._uid)
        self.data.mkdir(mode=0o700)
        _postmaster.give(self.data, self._uid)
        _postmaster.run((self.bindir / "pg_basebackup", "-D", self.data, *where, *options), self._uid)

    def start(self) -> Standby:
        super().start()
        if self.in_recovery:
            deadline = time.monotonic() + 60
            while self._primary.sql("select count(*) from pg_stat_replication where state = 'streaming'") == [(0,)]:
                assert time.monotonic() < deadline, "the standby does not follow"
                time.sleep(0.01)
        return self

    @property
    def in_recovery(self) -> bool:
        return bool(self.sql("select pg_is_in_recovery()")[0][0])

    def stop_following(self) -> None:
        """What the primary writes from now on does not arrive."""
        self.sql("alter system set primary_conninfo = ''")
        self.sql("select pg_reload_conf()")
        deadline = time.monotonic() + 60
        while self._primary.sql("select count(*) from pg_stat_replication") != [(0,)]:
            assert time.monotonic() < deadline, "the standby goes on"
            time.sleep(0.01)

    def promote(self) -> None:
        assert self.sql("select pg_promote(true, 60)") == [(True,)]

    def _ready(self) -> bool:
        found = _postmaster.read(self.data)
        if found is None or found.pid != self._pid:
            return False
        lines = (self.data / "postmaster.pid").read_text().splitlines()
        return len(lines) > 7 and lines[7].strip() in ("ready", "standby") and _postmaster.answers(found)


def socket_of(cluster: Cluster) -> Path:
    return cluster.sockets / f".s.PGSQL.{cluster.port}"
