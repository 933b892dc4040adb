"""Fixtures for tests of what uses pgstate. In the top conftest.py:

    pytest_plugins = ["pgstate.testing"]

    pgstate_server     the server, for the whole run: PostgreSQL 18 from the `embedded` extra unless another is chosen
    pgstate_database   this test's database: `.dsn("login")` is its address for another login
    pgstate_dsn        its address, for the login that installed: agent `admin`. Cloned from a migrated template
    state              a connected client, a State (by pytest-asyncio)
    pgstate_clock      `advance(seconds)` moves the time that pgstate sees in this database

Which server: the option --pgstate-server, else PGSTATE_TEST_SERVER, else `pgstate_server` in pytest's configuration:

    embedded, embedded:16                 one of its own in a temporary folder, ended after the run
    pytest-postgresql, pytest-postgresql:my_proc   that plugin's postgresql_proc, or another of its process fixtures
    testcontainers, testcontainers:postgres:17     a container of an image (postgres:18)
    postgresql://…, service=…             any other, as a login with CREATEDB and CREATEROLE; never one that matters

With pytest-xdist each process has a server, or on a given server a template, of its own. Databases are dropped after
their tests. No entry point loads this: a run of pytest that has nothing to do with pgstate shall not notice it.

PYTEST_DONT_REWRITE: nothing here asserts for pytest, and a conftest.py may import from here as well.
"""

from pgstate.testing._clock import Clock
from pgstate.testing._databases import Database, Databases
from pgstate.testing._plugin import (
    pgstate_clock,
    pgstate_database,
    pgstate_databases,
    pgstate_dsn,
    pgstate_server,
    pytest_addoption,
    state,
)
from pgstate.testing._server import Server, Throwaway

__all__ = [
    "Clock",
    "Database",
    "Databases",
    "Server",
    "Throwaway",
    "pgstate_clock",
    "pgstate_database",
    "pgstate_databases",
    "pgstate_dsn",
    "pgstate_server",
    "pytest_addoption",
    "state",
]
