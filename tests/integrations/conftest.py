"""A saver on this test's database, and LangGraph's own beside it for what the two must agree on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

import pgstate
from _server import Cluster
from conftest import INSTALLER, Database, Databases
from pgstate import State
from pgstate.integrations.langgraph import PgStateSaver

MakeSaver = Callable[..., PgStateSaver]


@pytest.fixture
async def state(dsn: str) -> AsyncIterator[State]:
    async with pgstate.connect(dsn) as state:
        yield state


@pytest.fixture
def make_saver(state: State) -> MakeSaver:
    """`make_saver(on_conflict="refuse")`: a saver on this test's state."""

    def make(**options: Any) -> PgStateSaver:
        return PgStateSaver(state, **options)

    return make


@pytest.fixture
def saver(make_saver: MakeSaver) -> PgStateSaver:
    return make_saver()


@pytest.fixture
async def reference(dsn: str) -> AsyncIterator[AsyncPostgresSaver]:
    """LangGraph's saver in the same database."""
    async with AsyncPostgresSaver.from_conn_string(dsn) as saver:
        await saver.setup()
        yield saver


@pytest.fixture
def size(database: Database) -> Callable[[], int]:
    """`size()`: bytes of all tables, indexes and what is out of line included."""

    def measure() -> int:
        ((bytes_,),) = database.sql(
            "select sum(pg_total_relation_size(oid))::bigint from pg_class "
            "where relnamespace = any (array['pgstate', 'public']::regnamespace[]) and relkind = 'r'"
        )
        return int(bytes_)

    return measure


@pytest.fixture
def new_database(cluster: Cluster, pgstate_databases: Databases) -> Iterator[Callable[[], str]]:
    """`new_database()`: the address of a database that belongs to the installer, and holds nothing."""
    made: list[Database] = []

    def make() -> str:
        made.append(Database(cluster, cluster.create_database(owner=INSTALLER), INSTALLER))
        return made[-1].dsn()

    yield make
    for database in made:
        database.drop()
