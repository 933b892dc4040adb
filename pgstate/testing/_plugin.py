"""What pytest sees: options and fixtures."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

import pgstate
from pgstate import State, embedded
from pgstate.testing._clock import Clock
from pgstate.testing._databases import Database, Databases
from pgstate.testing._server import Server, Throwaway

_HELP = "embedded, embedded:16, pytest-postgresql[:FIXTURE], testcontainers[:IMAGE], or an address"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pgstate")
    group.addoption(
        "--pgstate-server", default=None, metavar="SERVER", help=f"the server for pgstate's fixtures: {_HELP}"
    )
    parser.addini("pgstate_server", f"the server for pgstate's fixtures: {_HELP}", default="embedded")


@pytest.fixture(scope="session")
def pgstate_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server that this run (with pytest-xdist: this process) has its databases on."""
    config = request.config
    chosen = config.getoption("--pgstate-server") or os.environ.get("PGSTATE_TEST_SERVER")
    with _serve(str(chosen or config.getini("pgstate_server")), request) as server:
        yield server
        server.close()


@pytest.fixture(scope="session")
def pgstate_databases(pgstate_server: Server) -> Iterator[Databases]:
    """The migrated template and its clones."""
    databases = Databases(pgstate_server)
    yield databases
    databases.close()


@pytest.fixture
def pgstate_database(pgstate_databases: Databases) -> Iterator[Database]:
    """A database for this test alone."""
    database = pgstate_databases.clone()
    yield database
    database.drop()


@pytest.fixture
def pgstate_dsn(pgstate_database: Database) -> str:
    """The address of this test's database, for the login that installed: agent `admin`."""
    return pgstate_database.dsn()


@pytest_asyncio.fixture
async def state(pgstate_dsn: str) -> AsyncIterator[State]:
    """A client of this test's database, as agent `admin`."""
    async with pgstate.connect(pgstate_dsn) as connected:
        yield connected


@pytest.fixture
def pgstate_clock(pgstate_database: Database) -> Clock:
    """The clock of this test's database, which the test moves."""
    return Clock(pgstate_database)


@contextlib.contextmanager
def _serve(choice: str, request: pytest.FixtureRequest) -> Iterator[Server]:
    kind, _, detail = choice.partition(":")
    if kind == "embedded":
        server = Throwaway(embedded.programs(detail or None))
        try:
            yield server.start()
        finally:
            server.remove()
    elif kind == "pytest-postgresql":
        yield Server(_address_of(request.getfixturevalue(detail or "postgresql_proc")))
    elif kind == "testcontainers":
        container = _container_class()(detail or "postgres:18", driver=None)
        with container.with_command("postgres -c fsync=off -c full_page_writes=off"):
            yield Server(container.get_connection_url())
    elif "=" in choice or "://" in choice:
        yield Server(choice)
    else:
        raise pytest.UsageError(f"no such server for pgstate's fixtures: {choice}; there are {_HELP}")


def _container_class() -> Any:
    try:
        from testcontainers.community.postgres import PostgresContainer
    except ImportError:  # before 4.15
        from testcontainers.postgres import PostgresContainer
    return PostgresContainer


def _address_of(process: Any) -> str:
    """The address of a process fixture of pytest-postgresql."""
    from pgstate import _address

    found = {"host": process.host, "port": process.port, "user": process.user, "password": process.password}
    given = {name: str(value) for name, value in found.items() if value}
    return _address.written({**given, "dbname": str(getattr(process, "maintenance_dbname", None) or "postgres")})
