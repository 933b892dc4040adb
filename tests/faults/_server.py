"""Servers that die, and what they had."""

from __future__ import annotations

import asyncpg
import psutil

from _server import SUPERUSER, Cluster
from client._promises import Logged, read_log
from conftest import Database

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
