"""Calling the API in SQL tests: a connection that speaks JSON, agents with grants, and refusals by SQLSTATE."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest


class _JsonNull:
    """The JSON null at the top of a value, which is a value; Python's None stands for SQL's null."""

    def __repr__(self) -> str:
        return "NULL"


NULL = _JsonNull()


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


class Caller:
    """One login's session. `await caller("put", "a", 1, expect=0)` calls pgstate.put and returns its row."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.pid = connection.get_server_pid()
        self.execute = connection.execute
        self.fetchval = connection.fetchval
        self.fetch = connection.fetch
        self.transaction = connection.transaction

    async def rows(self, function: str, *arguments: Any, **named: Any) -> list[asyncpg.Record]:
        places = [f"${n}" for n in range(1, len(arguments) + 1)]
        places += [f'"{name}" => ${n}' for n, name in enumerate(named, len(arguments) + 1)]
        return list(
            await self.fetch(f"select * from pgstate.{function}({', '.join(places)})", *arguments, *named.values())
        )

    async def __call__(self, function: str, *arguments: Any, **named: Any) -> Any:
        """The one row of a function that returns one; of a scalar function its value."""
        (row,) = await self.rows(function, *arguments, **named)
        return row[0] if len(row) == 1 else row

    async def refuses(self, code: str, *calls: str) -> set[str]:
        """Makes each call, `get('a')`, which must raise this SQLSTATE; returns what they said."""
        said = set()
        for call in calls:
            with refused(code) as caught:
                await self.fetch(f"select * from pgstate.{call}")
            said.add(str(caught.value))
        return said


async def speak_json(connection: asyncpg.Connection) -> Caller:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: "null" if value is NULL else json.dumps(value),
        decoder=lambda text: NULL if text == "null" else json.loads(text),
    )
    return Caller(connection)


@contextmanager
def refused(code: str) -> Iterator[pytest.ExceptionInfo[asyncpg.PostgresError]]:
    with pytest.raises(asyncpg.PostgresError) as caught:
        yield caught
    error = caught.value
    assert error.sqlstate == code, f"{error.sqlstate} instead of {code}: {error}"


MakeAgent = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def root(admin: asyncpg.Connection) -> Caller:
    """The installer's session: agent `admin`."""
    return await speak_json(admin)


@pytest.fixture
async def session(connect_as: Callable[..., Awaitable[asyncpg.Connection]]) -> MakeAgent:
    """`await session("login")`: another session, of the installer unless a login is named."""

    async def make(*login: str) -> Caller:
        return await speak_json(await connect_as(*login))

    return make


@pytest.fixture
async def agent(root: Caller, session: MakeAgent, login_name: Callable[[str], str]) -> MakeAgent:
    """`await agent("alice", "read a/**", "write a/**")`: an agent with a login of its own and these grants."""

    async def make(name: str, *rights: str) -> Caller:
        login = login_name(name)
        await root("create_agent", name, login)
        for right, subtree in (given.split(" ") for given in rights):
            await root("grant_access", name, subtree, right)
        return await session(login)

    return make


@pytest.fixture
async def gateway(root: Caller, session: MakeAgent, login_name: Callable[[str], str]) -> MakeAgent:
    """`await gateway("alice", "bob")`: a gateway's session, with these agents delegated to it."""

    async def make(*delegated: str) -> Caller:
        login = login_name("gateway")
        await root("create_gateway", login)
        for name in delegated:
            await root("delegate", login, name)
        return await session(login)

    return make
