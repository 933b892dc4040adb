"""Fixtures of the client tests: connected clients, agents and gateways among them, all closed after the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

import pgstate
from client._locks import Locks
from client._proxy import Proxy
from conftest import INSTALLER, SUPERUSER, Database
from pgstate import State

Connect = Callable[..., Awaitable[State]]
MakeLogin = Callable[..., Awaitable[str | None]]


@pytest.fixture
async def connect(database: Database) -> AsyncIterator[Connect]:
    """`await connect("login", **options of pgstate.connect)`; the installer unless a login or an address is named."""
    opened: list[State] = []

    async def make(login: str = INSTALLER, **options: Any) -> State:
        if not options.keys() & {"dsn", "pool", "engine"}:
            options["dsn"] = database.dsn(login)
        opened.append(await pgstate.connect(**options))
        return opened[-1]

    yield make
    for state in opened:
        await state.close()


@pytest.fixture
async def state(connect: Connect) -> State:
    """The installer's client: agent `admin`."""
    return await connect()


@pytest.fixture
def make_agent(state: State, login_name: Callable[[str], str]) -> MakeLogin:
    """`await make_agent("alice", "read a/**", login=True)`: registers an agent with grants, and returns its login."""

    async def make(name: str, *rights: str, login: bool = False) -> str | None:
        own = login_name(name) if login else None
        await state.create_agent(name, own)
        for right, subtree in (given.split(" ") for given in rights):
            await state.grant_access(name, subtree, right)
        return own

    return make


@pytest.fixture
def agent(make_agent: MakeLogin, connect: Connect) -> Connect:
    """`await agent("alice", "read a/**", "write a/**")`: the client of an agent with a login of its own."""

    async def make(name: str, *rights: str) -> State:
        return await connect(await make_agent(name, *rights, login=True))

    return make


@pytest.fixture
def gateway(state: State, connect: Connect, login_name: Callable[[str], str]) -> Connect:
    """`await gateway("alice", "bob")`: a gateway's client, with these agents delegated to it."""

    async def make(*delegated: str, **options: Any) -> State:
        login = login_name("gateway")
        await state.create_gateway(login)
        for name in delegated:
            await state.delegate(login, name)
        return await connect(login, **options)

    return make


@pytest.fixture
async def proxy(database: Database) -> AsyncIterator[Proxy]:
    """A way to the server that the test can break; `proxy.dsn` leads through it."""
    made = Proxy(database.cluster.data / f".s.PGSQL.{database.cluster.port}", INSTALLER, database.name)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def locks(connect_as: Callable[..., Awaitable[asyncpg.Connection]]) -> Locks:
    return Locks(await connect_as(SUPERUSER), await connect_as(SUPERUSER))
