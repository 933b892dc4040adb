"""pgstate.testing, as a user has it: in a project of its own, run by a pytest of its own."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from _cases import first_of
from _server import SUPERUSER, Cluster
from conftest import Databases
from pgstate import testing
from pgstate.testing import _plugin

CONFTEST = """
    from pgstate.testing import Clock  # for an annotation, say

    pytest_plugins = ["pgstate.testing"]
"""
# Sync and async, isolation between tests, agents with logins, leases and times to live by the clock.
TESTS = """
    import asyncio

    import asyncpg
    import psycopg
    import pytest

    import pgstate


    def count(dsn):
        with psycopg.connect(dsn) as session:
            return session.execute("select count(*) from pgstate.entries").fetchone()[0]


    @pytest.mark.parametrize("number", range(3))
    def test_sync(pgstate_dsn, number):
        assert count(pgstate_dsn) == 0
        with psycopg.connect(pgstate_dsn) as session:
            session.execute("select pgstate.put('k', '1')")
        assert count(pgstate_dsn) == 1


    def test_sync_with_the_clock(pgstate_dsn, pgstate_clock):
        with psycopg.connect(pgstate_dsn, autocommit=True) as session:
            session.execute("select pgstate.put('k', '1', ttl => '1 hour')")
            pgstate_clock.advance(3599)
            assert session.execute("select (pgstate.get('k')).value").fetchone() == (1,)
            pgstate_clock.advance(2)
            assert session.execute("select (pgstate.get('k')).status").fetchone() == ("missing",)


    @pytest.mark.asyncio
    @pytest.mark.parametrize("number", range(2))
    async def test_async(state, number):
        assert await state.me() == "admin"
        assert list(await state.list()) == []
        async with state.watch("k") as changes:
            await state.put("k", number)
            assert (await anext(changes)).value == number
        assert (await state.info()).epoch == 1


    @pytest.mark.asyncio
    async def test_async_with_the_clock(state, pgstate_clock):
        await state.put("t/1", 1)
        first = await state.claim_next("t/*", lease=60)
        assert await state.claim_next("t/*") is None
        pgstate_clock.advance(61)
        second = await state.claim_next("t/*", lease=60)
        assert second.token > first.token
        with pytest.raises(pgstate.StaleToken):
            await state.complete("t/1", first.token)
        pgstate_clock.advance(-30)
        await state.complete("t/1", second.token)


    @pytest.mark.asyncio
    async def test_an_agent_cannot_move_the_clock(state, pgstate_database, pgstate_clock):
        login = pgstate_database.login("someone")
        await state.create_agent("alice", login)
        agent = await asyncpg.connect(pgstate_database.dsn(login))
        for attempt in (
            "update pgstate_clock.advance set by = '1 h'",
            "create or replace function pgstate._now() returns timestamptz language sql as 'select now()'",
            "set role pgstate_owner",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await agent.execute(attempt)
        await agent.close()
"""
COUNT = 8
SOME = ("-k", "test_sync_with_the_clock or test_async_with_the_clock")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with tests, and nothing else."""
    (tmp_path / "conftest.py").write_text(textwrap.dedent(CONFTEST))
    (tmp_path / "test_it.py").write_text(textwrap.dedent(TESTS))
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n"
    )
    return tmp_path


def run(project: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # Plugins of others that happen to be installed here take longer to load than all the rest.
    wanted = ("-p", "pytest_asyncio.plugin", "-p", "xdist.plugin", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", "-q", *wanted, *options]
    variables = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300, env=variables)


def passed(done: subprocess.CompletedProcess[str], count: int = COUNT) -> bool:
    assert f"{count} passed" in done.stdout and done.returncode == 0, done.stdout + done.stderr
    return True


@pytest.fixture
def given(pgstate_databases: Databases, cluster: Cluster) -> Cluster:
    """A server that has pgstate's roles already, made by the installer."""
    return cluster


def left_over(cluster: Cluster) -> list[tuple[object, ...]]:
    return cluster.sql(
        "select datname from pg_database where datname like 'pgstate\\_te%' and datname !~ '^pgstate_test_[0-9a-f]{12}$' "
        "union all select rolname from pg_roles where rolname like 'someone%'"
    )


@pytest.mark.thorough
def test_on_an_embedded_server(project: Path) -> None:
    """By two processes, and nothing is left of it."""
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        assert passed(run(project, "-n", "2", TMPDIR=folder))
        assert [path.name for path in Path(folder).iterdir() if path.name.startswith("pgstate")] == []


@pytest.mark.thorough
def test_in_the_automatic_mode_of_pytest_asyncio(project: Path, given: Cluster) -> None:
    (project / "test_it.py").write_text(textwrap.dedent(TESTS).replace("@pytest.mark.asyncio\n", ""))
    (project / "pytest.ini").write_text(
        f"[pytest]\nfilterwarnings = error\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\npgstate_server = {given.dsn()}\n"
    )
    assert passed(run(project, "-k", "async"), 4)
    assert left_over(given) == []


@pytest.mark.thorough
def test_on_a_given_server(project: Path, given: Cluster) -> None:
    """By the environment; by an option, which goes before that."""
    assert passed(run(project, *SOME, "-n", "2", PGSTATE_TEST_SERVER=given.dsn()), 2)
    assert passed(run(project, *SOME, "--pgstate-server", given.dsn(), PGSTATE_TEST_SERVER="nonsense"), 2)
    assert left_over(given) == []


@pytest.mark.thorough
def test_as_an_administrator_without_superuser(project: Path, new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster()
    cluster.sql("create role admin login createdb createrole")
    assert passed(run(project, "--pgstate-server", cluster.dsn(user="admin")))
    assert left_over(cluster) == []


@pytest.mark.thorough
def test_through_pytest_postgresql(project: Path, given: Cluster) -> None:
    """On a server that runs already: starting one, as its postgresql_proc does, is nothing that root may do."""
    place = ("--postgresql-host", str(given.data), "--postgresql-port", str(given.port))
    plugin = ("-p", "pytest_postgresql.plugin")
    assert passed(run(project, *plugin, "--pgstate-server", "pytest-postgresql:postgresql_noproc", *place, *SOME), 2)
    assert left_over(given) == []
    from pytest_postgresql.executors import NoopExecutor, PostgreSQLExecutor

    for executor in (NoopExecutor, PostgreSQLExecutor):
        assert {"host", "port", "user", "password"} <= set(inspect.signature(executor).parameters)


STAND_IN = """
    from pgstate.testing import _plugin

    class StandIn:
        def __init__(self, image="postgres:latest", port=5432, username=None, password=None, dbname=None, driver="psycopg2"):
            assert (image, driver) == ({image!r}, None)

        def with_command(self, command):
            assert command.startswith("postgres -c")
            return self

        def __enter__(self):
            print("started")
            self.address = {dsn!r}
            return self

        def __exit__(self, *_):
            print("stopped")

        def get_connection_url(self, host=None, driver=None):
            return self.address

    _plugin._container_class = lambda: StandIn
"""


@pytest.mark.thorough
@pytest.mark.parametrize("choice", first_of(["testcontainers", "testcontainers:postgres:17"]))
def test_through_testcontainers(project: Path, given: Cluster, choice: str) -> None:
    """No Docker here: another class stands in for the container's. What is asked of it, the real one has."""
    container = _plugin._container_class()
    inspect.signature(container).bind("postgres:18", driver=None)
    for name in ("with_command", "get_connection_url", "__enter__", "__exit__"):
        assert callable(getattr(container, name))
    image = choice.partition(":")[2] or "postgres:18"
    stand_in = textwrap.dedent(STAND_IN).format(image=image, dsn=given.dsn())
    (project / "conftest.py").write_text(textwrap.dedent(CONFTEST) + stand_in)
    done = run(project, "-s", "--pgstate-server", choice, "-k", "test_sync_with_the_clock")
    assert passed(done, 1)
    assert "started" in done.stdout and "stopped" in done.stdout
    assert left_over(given) == []


def test_a_server_that_there_is_none_of(project: Path) -> None:
    done = run(project, "--pgstate-server", "nonsense", *SOME)
    assert done.returncode != 0
    assert "no such server for pgstate's fixtures: nonsense; there are embedded" in done.stdout


def test_nothing_is_loaded_unasked() -> None:
    plugins = importlib.metadata.entry_points(group="pytest11")
    assert [plugin.name for plugin in plugins if plugin.value.startswith("pgstate")] == []
    code = "import sys, pgstate, pgstate.cli; print('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_fixtures_have_documentation(project: Path) -> None:
    done = run(project, "--fixtures")
    for name in ("pgstate_server", "pgstate_database", "pgstate_dsn", "state", "pgstate_clock"):
        assert f"{name} " in done.stdout or f"{name}\n" in done.stdout
        assert name in (testing.__doc__ or "")


def test_addresses_of_a_server_by_tcp() -> None:
    server = testing.Server("postgresql://me:p%40ss@host.example:5433/postgres?sslmode=require")
    assert server.dsn("app") == "postgresql://me:p%40ss@host.example:5433/app?sslmode=require"
    assert server.dsn("app", "a b") == "postgresql://a%20b:p%40ss@host.example:5433/app?sslmode=require"
    assert server.dsn() == "postgresql://me:p%40ss@host.example:5433/postgres?sslmode=require"
    sockets = testing.Server(f"host=/tmp/s port=5 user={SUPERUSER}")
    assert sockets.dsn("app") == f"postgresql://{SUPERUSER}@/app?host=/tmp/s&port=5"
