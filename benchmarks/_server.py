"""The PostgreSQL that is measured: one of our own with default settings, or one that is given."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from pgstate import embedded, migrate

AREAS = [f"space/area-{number:04d}" for number in range(200)]
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Actor:
    """Who calls: the address to connect with, and the agent to act for where that login may act for several."""

    dsn: str
    name: str | None


@dataclass(frozen=True)
class Database:
    """An empty, migrated database. `dsn` is that of the login that installed, who owns the raw tables."""

    dsn: str
    own: bool

    async def agent(self, name: str, subtrees: Sequence[str]) -> Actor:
        """Makes an agent with read and write on these subtrees; on our own server it has a login of its own."""
        # a login belongs to the whole server, on which other databases may have this agent too
        login = f"{name}_{urlsplit(self.dsn).path.strip('/')}" if self.own else None
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute("select pgstate.create_agent($1, $2)", name, login)
            await connection.execute(
                "select pgstate.grant_access($1, s, r) from unnest($2::text[]) s, unnest(array['read', 'write']) r",
                name,
                list(subtrees),
            )
        finally:
            await connection.close()
        return Actor(self.dsn, name) if login is None else Actor(_address(self.dsn, login=login), None)

    async def gateway(self, agent: str) -> Actor:
        """Makes a login that acts for an agent; on a server that is not our own the administrator does."""
        if not self.own:
            return Actor(self.dsn, agent)
        login = f"gateway_{urlsplit(self.dsn).path.strip('/')}"
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute("select pgstate.create_gateway($1)", login)
            await connection.execute("select pgstate.delegate($1, $2)", login, agent)
        finally:
            await connection.close()
        return Actor(_address(self.dsn, login=login), agent)


@dataclass(frozen=True)
class Server:
    """A server and an administrator's address. `own`: it is there for this run only."""

    dsn: str
    own: bool

    @contextlib.asynccontextmanager
    async def empty(self) -> AsyncIterator[str]:
        """The address of a database without pgstate, dropped at the end."""
        name = f"pgstate_bench_{os.getpid()}_{next(_numbers)}"
        await self._run(f'create database "{name}"')
        try:
            yield _address(self.dsn, database=name)
        finally:
            await self._run(f'drop database "{name}" with (force)')

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """A migrated database of its own, dropped at the end."""
        async with self.empty() as dsn:
            await migrate.upgrade_async(dsn)
            yield Database(dsn, self.own)

    async def settle(self) -> None:
        """Gets what filling tables left behind done now, and not in the middle of a measurement."""
        with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
            await self._run("checkpoint")

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextlib.contextmanager
def running(dsn: str | None) -> Iterator[Server]:
    """The server at `dsn`, or one of our own in a temporary folder, as initdb sets it up: fsync and synchronous_commit
    are on. It ends with the block."""
    if dsn is not None:
        yield Server(dsn, own=False)
        return
    home = Path(tempfile.mkdtemp(prefix="pgstate-bench-"))
    try:
        yield Server(embedded.start(home).dsn, own=True)
    finally:
        embedded.stop(home)
        shutil.rmtree(home, ignore_errors=True)


def _address(dsn: str, *, database: str | None = None, login: str | None = None) -> str:
    parts = urlsplit(dsn)
    if database is not None:
        parts = parts._replace(path=f"/{database}")
    if login is not None:
        parts = parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}")
    return urlunsplit(parts)
