"""Running Alembic: the frozen SQL of revisions, between an opening and a closing, in one transaction.

What `pgstate.migrate` offers is done here, apart because Alembic and SQLAlchemy take a while to import and most
processes never migrate. The opening takes one advisory lock of the database, so that any number of runs may start at
once: the first migrates, the others find nothing left to do. Roles are shared by the databases of a cluster and no lock
spans those, so a run that collides with one in another database starts again.

Alembic's `context` and `op` are globals of the process, and a run may be in the middle of somebody else's, who uses
them: nothing here does.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import asyncpg
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from pgstate import _migration_errors as refusals
from pgstate import _migration_sql as wrap
from pgstate import _paths, errors
from pgstate._address import open_connection, unreachable
from pgstate._migration_sql import Options

SCHEMA = "pgstate"
Direction: TypeAlias = Literal["upgrade", "downgrade"]


@dataclass
class _Run:
    """The run that a revision's upgrade() or downgrade() is part of. `end`: where it leads, if that is known.
    `bare`: there is no code of any revision now."""

    execute: Callable[[str], None]
    options: Options
    removes: bool = False
    end: str | None = None
    bare: bool = False


_run: ContextVar[_Run] = ContextVar("_run")

# What a server says instead of letting somebody in.
_REFUSALS = (
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.TooManyConnectionsError,
)
_ATTEMPTS = 20
# to_regclass raises for who may not look into the schema
_HAS_TABLES = (
    "select exists (select from pg_class where relname = 'install' and relnamespace = to_regnamespace('pgstate'))"
)
# On the way up the next revision's tables drop policies that are made here, and on the way down 0002 writes values out
# by its functions.
_CODE_NEEDED = {"up": ("0004",), "down": ("0002",)}


def run_frozen(revision: str, part: str, way: Literal["up", "down"] = "up") -> None:
    """For migrations/versions: runs a revision's frozen file (clear, tables, code or drop), or prints it.

    Unchanged but for two things that depend on where it runs: with `create_roles=False` the block that makes them gives
    way to one that looks for them, and a view that somebody's own view stands on is replaced, since it is still there.
    On the way to another revision code is left out, which the next would clear before anything else.
    """
    run = _run.get()
    if part == "clear" and run.bare:
        return
    if part == "code":
        run.bare = run.end not in (None, revision) and revision not in _CODE_NEEDED[way]
    if part == "code" and run.bare:
        run_script("reset role;")  # as code ends: tables leave the owner's
        return
    text = _paths.frozen(revision, part).read_text("utf-8")
    if part == "tables" and not run.options.create_roles and "do $roles$" in text:
        before, _, rest = text.partition("do $roles$")
        text = before + wrap.around("find_roles").rstrip() + rest.partition("$roles$;")[2]
    run_script(text.replace("\ncreate view pgstate.", "\ncreate or replace view pgstate.") if part == "code" else text)


def run_script(text: str) -> None:
    """For migrations/versions: runs several statements in the migration's transaction, or prints them."""
    _run.get().execute(text)


def apply(revision: str) -> None:
    """For migrations/versions: what every revision after the first does."""
    run_script(wrap.take_locks(_run.get().options))
    for part in ("clear", "tables", "code"):
        run_frozen(revision, part)


def undo(revision: str, below: str, first: str = "") -> None:
    """For migrations/versions: back to the revision below. `first` is run under its locks, before anything is cleared.

    Nothing, on the way to "base": there the first revision removes whatever there is, and what somebody built upon it.
    """
    if _run.get().removes:
        return
    run_script(wrap.take_locks(_run.get().options))
    if first:
        run_script(first)
    for of, part in ((revision, "clear"), (revision, "drop"), (below, "code")):
        run_frozen(of, part, "down")


def remove(again: str) -> None:
    """For migrations/versions: all of it, and then `again`; or all but the schema, if that is somebody else's."""
    options = _run.get().options
    run_script(wrap.take_locks(options))
    if options.create_schema:
        run_frozen("0001", "drop")
        run_script(again)
    else:
        run_script(wrap.around("empty"))


def _runner(migration: MigrationContext) -> Callable[[str], None]:
    """Runs several statements at once: around SQLAlchemy, which would read `:name` as a parameter."""

    def execute(text: str) -> None:
        if migration.as_sql:
            migration.impl.static_output(text)
            return
        opened = migration.connection
        assert opened is not None
        # SQLAlchemy, and its adapter of asyncpg, open transactions with the first statement that they see themselves.
        opened.exec_driver_sql("select 1")
        driver: Any = opened.connection.dbapi_connection
        if opened.dialect.driver == "asyncpg":
            # its cursors prepare what they run, which takes one statement only
            driver.run_async(lambda connection: connection.execute(text))
        else:
            cursor = driver.cursor()
            try:
                # without parameters: drivers then take several statements, and leave % alone
                cursor.execute(text)
            finally:
                cursor.close()

    return execute


@contextlib.contextmanager
def running(
    migration: MigrationContext, options: Options, *checks: str, removes: bool = False, end: str | None = None
) -> Iterator[None]:
    """What Alembic runs inside is a run of pgstate's: opened, checked and closed. For migrations/env.py, too.
    `removes`: it goes down to "base". `end`: it leads to this."""
    run = _Run(_runner(migration), options, removes, end)
    token = _run.set(run)
    try:
        for text in (wrap.opening(options), wrap.around("in_transaction"), *checks):
            run.execute(text)
        yield
        run.execute(wrap.closing(options))
    finally:
        _run.reset(token)


def scripts() -> ScriptDirectory:
    """The revisions of pgstate."""
    config = Config()
    # ConfigParser interpolates %.
    config.set_main_option("script_location", str(_paths.migrations()).replace("%", "%%"))
    return ScriptDirectory.from_config(config)


def revisions(directory: ScriptDirectory) -> list[Script]:
    """All of them, oldest first."""
    return list(directory.walk_revisions())[::-1]


def loss_check(directory: ScriptDirectory, target: str) -> str:
    """SQL that refuses to go back to a revision where something would be lost: each revision says what it holds."""
    undone = [script for script in revisions(directory) if target == "base" or script.revision > target]
    losses = [(script.revision, *loss) for script in reversed(undone) for loss in script.module.LOSSES]
    return wrap.loss_check(losses, target, known=str(directory.get_current_head()))


@contextlib.contextmanager
def _script_errors(directory: ScriptDirectory, *asked: str | None) -> Iterator[None]:
    known = {script.revision for script in revisions(directory)}
    if unknown := set(asked) - known - {None, "head", "base"}:
        raise ValueError(f"no revision {', '.join(sorted(map(str, unknown)))}; there are {', '.join(sorted(known))}")
    try:
        yield
    except CommandError as error:
        if isinstance(error.__cause__, ResolutionError):
            raise errors.SchemaTooNew(
                f"{error}: the database was migrated by a newer pgstate; upgrade the package"
            ) from error
        raise ValueError(str(error)) from error


def _migrate(
    directory: ScriptDirectory,
    direction: Direction,
    revision: str,
    options: Options,
    *checks: str,
    connection: Connection | None = None,
    **text: Any,
) -> list[str]:
    """Alembic's `upgrade` or `downgrade` to a revision; returns those that it went over. In a transaction of its own
    unless the connection is in one. Without a connection, as text: `output_buffer`, and `starting_rev` to start at."""
    step_by_step = getattr(directory, f"_{direction}_revs")
    applied: list[str] = []
    opts = {
        "script": directory,
        "version_table_schema": SCHEMA,
        "fn": lambda heads, _migration: step_by_step(revision, heads),
        "on_version_apply": [lambda *, step, **_rest: applied.append(step.up_revision_id)],
        "as_sql": connection is None,
        "literal_binds": connection is None,
        **text,
    }
    if direction == "downgrade" and not options.data_loss:
        checks = (*checks, loss_check(directory, revision))
    head = directory.get_current_head() if revision == "head" else revision
    migration = MigrationContext.configure(connection, dialect_name="postgresql", opts=opts)
    with (
        _script_errors(directory, revision, text.get("starting_rev")),
        migration.begin_transaction(),
        running(
            migration,
            options,
            *filter(None, checks),
            removes=revision == "base",
            end=head,
        ),
    ):
        migration.run_migrations()
    return applied


def printed(start: str | None, end: str, options: Options) -> str:
    """What leads from one revision to another, up or down, as text; None starts at a database without pgstate."""
    directory, text = scripts(), io.StringIO()
    start = None if start == "base" else start
    with _script_errors(directory, start, end):
        start, head = (directory.get_current_head() if name == "head" else name for name in (start, end))
    assert head is not None
    down = start is not None and (head == "base" or head < start)
    check = wrap.start_check(start, head)
    _migrate(
        directory, "downgrade" if down else "upgrade", head, options, check, output_buffer=text, starting_rev=start
    )
    return text.getvalue()


def inside(migration: MigrationContext, direction: Direction, revision: str, options: Options) -> list[str]:
    """In a revision of somebody's own Alembic: on its connection and in its transaction, or into its script."""
    directory = scripts()
    if not migration.as_sql:
        return _migrate(directory, direction, revision, options, connection=migration.connection)
    with _script_errors(directory, revision):
        migration.impl.static_output(_deciding(directory, direction, revision, options))
    return []


def _deciding(directory: ScriptDirectory, direction: Direction, revision: str, options: Options) -> str:
    """A script that finds out itself which steps the database needs: whoever prints it cannot look, and what an earlier
    revision of theirs has done is not known here."""
    steps = [script for script in revisions(directory) if revision != "base" and script.revision <= revision]
    if direction == "downgrade":
        steps = [script for script in revisions(directory)[::-1] if script not in steps]
    known = ", ".join(wrap.literal(script.revision) for script in revisions(directory))
    parts = [wrap.opening(options), wrap.around("in_transaction"), wrap.around("known", known=known)]
    if direction == "downgrade" and not options.data_loss:
        parts.append(loss_check(directory, revision))
    for script in steps:
        below = script.down_revision
        assert below is None or isinstance(below, str)
        collected: list[str] = []
        token = _run.set(_Run(collected.append, options, removes=revision == "base"))
        try:
            getattr(script.module, direction)()
        finally:
            _run.reset(token)
        before, after = (below, script.revision) if direction == "upgrade" else (script.revision, below)
        set_version = [f"delete from pgstate.alembic_version where version_num = '{before}';"] * (before is not None)
        set_version += [f"insert into pgstate.alembic_version (version_num) values ('{after}');"] * (after is not None)
        parts.append(
            _STEP.format(
                title=f"{direction} {before} -> {after}, {script.doc}",
                tag=f"pgstate_{script.revision}",
                before=wrap.literal(before),
                text="\n".join([*collected, *set_version]),
            )
        )
    return "\n".join([*parts, wrap.closing(options)])


_STEP = """\
-- pgstate: {title}
do ${tag}_step$
begin
  if (select v.version_num from pgstate.alembic_version v) is not distinct from {before} then
    execute ${tag}$
{text}
${tag}$;
  end if;
end
${tag}_step$;
"""


@contextlib.asynccontextmanager
async def connection(dsn: str) -> AsyncIterator[AsyncConnection]:
    """A SQLAlchemy connection that takes its address as asyncpg does. Raises Unreachable."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        # The lock is of use only if what follows it sees what its last holder committed.
        isolation_level="READ COMMITTED",
        async_creator=lambda *_args, **_options: connect(dsn),
        # A name would stay on the server process, where the next client of a pooler takes the same.
        connect_args={"prepared_statement_cache_size": 0, "prepared_statement_name_func": lambda: ""},
    )
    try:
        async with engine.connect() as opened:
            yield opened
    finally:
        await engine.dispose()


async def connect(dsn: str) -> asyncpg.Connection:
    """Raises Unreachable."""
    try:
        # No statement cache: behind a pooler the next statement may meet another server process.
        return await open_connection(dsn, statement_cache_size=0)
    except (OSError, TimeoutError, *_REFUSALS) as error:
        raise unreachable("the server", error) from error


async def run(dsn: str, direction: Direction, revision: str, options: Options) -> list[str]:
    """Runs Alembic's `upgrade` or `downgrade` and returns the revisions that it went over, in that order."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return await _run_once(dsn, direction, revision, options)
        except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            cause = refusals.cause_of(error)
            if (told := refusals.told(cause, down=direction == "downgrade")) is not None:
                raise told from error
            if attempt == _ATTEMPTS or not refusals.collided(cause):
                raise
        await asyncio.sleep(random.uniform(0.01, 0.05) * attempt)
    raise AssertionError("unreachable")


async def _run_once(dsn: str, direction: Direction, revision: str, options: Options) -> list[str]:
    directory = scripts()
    async with connection(dsn) as opened:
        applied = await opened.run_sync(lambda sync: _migrate(directory, direction, revision, options, connection=sync))
        await opened.commit()
    return applied


async def current(dsn: str) -> str | None:
    """The revision in Alembic's table; None if there is no such table."""
    opened = await connect(dsn)
    try:
        if await opened.fetchval("select pg_catalog.to_regnamespace('pgstate') is null"):
            return None
        if await opened.fetchval("select pg_catalog.to_regclass('pgstate.alembic_version') is null"):
            return None
        revision: str | None = await opened.fetchval("select version_num from pgstate.alembic_version")
        if revision is None and await opened.fetchval(_HAS_TABLES):
            raise errors.SchemaError(refusals.NO_DATA)
        return revision
    except asyncpg.InsufficientPrivilegeError as error:
        raise errors.AccessDenied(
            f"{error}: this is for the role that installed pgstate; pgstate status tells others the revision"
        ) from error
    finally:
        await opened.close()
