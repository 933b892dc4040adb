"""Running Alembic: the frozen SQL of revisions, between an opening and a closing, in one transaction on asyncpg.

What `pgstate.migrate` offers is done here, apart because Alembic and SQLAlchemy take a while to import and most
processes never migrate. The opening takes one advisory lock of the database, so that any number of runs may start at
once: the first migrates, the others find nothing left to do. Roles are shared by the databases of a cluster and no lock
spans those, so a run that collides with one in another database starts again.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
from alembic import command, context
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from pgstate import _paths, errors
from pgstate._address import driver_address

SCHEMA = "pgstate"

# "pgstate" in ASCII. Constant on purpose: pg_locks shows it to everybody.
_LOCK = 0x70677374617465

# `set local`, so that a pooled connection and the rest of a psql session stay as they were. The timeouts go because the
# lock is waited for as long as another run takes. A schema of that name which holds anything else is not ours to fill.
OPENING = f"""\
set local search_path = pg_catalog, pg_temp;
set local statement_timeout = 0;
set local lock_timeout = 0;
set local client_min_messages = warning;
set local standard_conforming_strings = on;
set local check_function_bodies = on;
select pg_catalog.pg_advisory_xact_lock({_LOCK});
do $opening$
begin
  if not exists (
    select from pg_catalog.pg_class
    where relname = 'alembic_version' and relnamespace = pg_catalog.to_regnamespace('pgstate')
  ) and exists (
    select from pg_catalog.pg_depend
    where refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
      and refobjid = pg_catalog.to_regnamespace('pgstate')
  ) then
    raise exception 'a schema "pgstate" that pgstate did not make is in this database'
      using errcode = 'duplicate_schema', hint = 'Rename it, or install pgstate into another database.';
  end if;
  if pg_catalog.to_regnamespace('pgstate') is null then
    create schema pgstate;
  end if;
end
$opening$;
"""

# A script knows where it starts, and not the database that it will meet. Without this, one that has pgstate already
# would refuse the first CREATE, with an error that tells nobody what to do. An online run looks for itself.
_START = """\
do $start$
declare
  v_start constant text := {start};
  v_end constant text := {end};
  v_at text;
begin
  if exists (
    select from pg_catalog.pg_class
    where relname = 'alembic_version' and relnamespace = pg_catalog.to_regnamespace('pgstate')
  ) then
    begin
      execute 'select version_num from pgstate.alembic_version' into v_at;
    exception when insufficient_privilege then
      raise exception 'pgstate is in this database already, installed by another role'
        using errcode = 'duplicate_schema',
          hint = 'Nothing was changed. Run "pgstate migrate" as the role that installed it.';
    end;
  end if;
  if v_at is not distinct from v_start then
    return;
  elsif v_at is null then
    raise exception 'pgstate is not in this database, and this script goes on from revision %', v_start
      using errcode = 'invalid_schema_name',
        hint = 'Nothing was changed. "pgstate migrate --sql" prints a script that installs it.';
  elsif v_at = v_end then
    raise exception 'pgstate is in this database already, at revision %, where this script leads', v_at
      using errcode = 'duplicate_schema', hint = 'Nothing was changed, and there is nothing to do.';
  end if;
  raise exception 'pgstate is in this database already, at revision %, and this script %', v_at,
      coalesce('goes on from revision ' || v_start, 'installs it')
    using errcode = 'duplicate_schema', hint = pg_catalog.format(
      'Nothing was changed. "pgstate migrate" goes on from there, or what '
      '"pgstate migrate --sql --revision %s:head" prints.', v_at);
end
$start$;
"""

# Default privileges may have opened the version table. After a restore elsewhere the change feed must begin a new epoch
# (SQL: _settle_identity), whether or not there was anything to migrate. What is there now is the first past that can be
# named by a time (SQL: _record_point, from revision 0002 on). At revision "base" nothing remains.
CLOSING = """\
reset role;
do $closing$
declare
  v_left bigint := 0;
begin
  if pg_catalog.to_regclass('pgstate.alembic_version') is not null then
    revoke all on table pgstate.alembic_version from public;
    select pg_catalog.count(*) into v_left from pgstate.alembic_version;
  end if;
  if v_left > 0 and pg_catalog.to_regprocedure('pgstate._settle_identity()') is not null
    and pg_catalog.pg_has_role(current_user, 'pgstate_owner', 'MEMBER') then
    set local role pgstate_owner;
    perform pgstate._settle_identity();
    if pg_catalog.to_regprocedure('pgstate._record_point()') is not null then
      perform pgstate._record_point();
    end if;
    reset role;
  end if;
  if v_left = 0 then
    drop table if exists pgstate.alembic_version;
    drop schema pgstate;
  end if;
end
$closing$;
"""

# What a server says instead of letting somebody in.
_REFUSALS = (
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.TooManyConnectionsError,
)
_ATTEMPTS = 20
# alembic.context is a global of the process: two runs in two threads would take each other's connection.
_one_run = threading.Lock()


def printed(revision: str) -> str:
    """What `upgrade` to `revision` would run, as text."""
    text = io.StringIO()
    config = _config(output_buffer=text)
    with _one_run, _script_errors(config, revision):
        command.upgrade(config, revision, sql=True)
    return text.getvalue()


def start_check(start: object, end: object) -> str:
    """For migrations/env.py: SQL that ends a script at once where the database is not at the revision that it needs."""
    return _START.format(start=_literal(start), end=_literal(end))


def _literal(revision: object) -> str:
    return "null" if revision is None else f"'{revision}'"


def run_frozen(revision: str, part: str) -> None:
    """For migrations/versions: runs a revision's frozen file (clear, tables, code or drop) unchanged, or prints it."""
    run_script(_paths.frozen(revision, part).read_text("utf-8"))


def run_script(text: str) -> None:
    """For migrations/: runs several statements in the migration's transaction, or prints them in offline mode.

    Goes past SQLAlchemy: it would read `:name` as a parameter, and asyncpg takes several statements only without any.
    """
    migration = context.get_context()
    if migration.as_sql:
        migration.impl.static_output(text)
        return
    connection = migration.connection
    assert connection is not None
    # The adapter opens its transaction with the first statement that it sees itself.
    connection.exec_driver_sql("select 1")
    adapter: Any = connection.connection.dbapi_connection
    adapter.run_async(lambda driver: driver.execute(text))


@contextlib.asynccontextmanager
async def connection(dsn: str) -> AsyncIterator[AsyncConnection]:
    """A SQLAlchemy connection that takes its address as asyncpg does. Raises Unreachable."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        # The lock is of use only if what follows it sees what its last holder committed.
        isolation_level="READ COMMITTED",
        async_creator=lambda *_args, **_options: _connect(dsn),
    )
    try:
        async with engine.connect() as opened:
            yield opened
    finally:
        await engine.dispose()


async def _connect(dsn: str) -> asyncpg.Connection:
    address = driver_address(dsn)
    try:
        # No statement cache: behind a pooler the next statement may meet another server process.
        return await asyncpg.connect(address, statement_cache_size=0)
    except (OSError, TimeoutError, *_REFUSALS) as error:
        raise errors.Unreachable(
            f"cannot connect: {error}. Is the server running, and is the address right?"
        ) from error


async def current(dsn: str) -> str | None:
    """The revision in Alembic's table; None if there is no such table."""
    opened = await _connect(dsn)
    try:
        if await opened.fetchval("select pg_catalog.to_regclass('pgstate.alembic_version') is null"):
            return None
        revision: str | None = await opened.fetchval("select version_num from pgstate.alembic_version")
        return revision
    finally:
        await opened.close()


def _config(**options: Any) -> Config:
    config = Config(**options)
    # ConfigParser interpolates %.
    config.set_main_option("script_location", str(_paths.migrations()).replace("%", "%%"))
    return config


@contextlib.contextmanager
def _script_errors(config: Config, revision: str) -> Iterator[None]:
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    asked = set(revision.split(":")) - {"", "head", "heads", "base"}
    if not asked <= known:
        raise ValueError(f"no revision {', '.join(sorted(asked - known))}; there are {', '.join(sorted(known))}")
    try:
        yield
    except CommandError as error:
        if isinstance(error.__cause__, ResolutionError):
            raise errors.SchemaTooNew(
                f"{error}: the database was migrated by a newer pgstate; upgrade the package"
            ) from error
        raise ValueError(str(error)) from error


async def run(dsn: str, direction: str, revision: str) -> list[str]:
    """Runs Alembic's `upgrade` or `downgrade` and returns the revisions that it went over, in that order."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return await _run_once(dsn, direction, revision)
        except (DBAPIError, asyncpg.PostgresError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if _sqlstate(cause) == "42501":
                needs = "migrating takes a role with CREATEROLE, and CREATE on the database"
                if "ADMIN option" in str(getattr(cause, "detail", None) or cause):
                    needs = (
                        "another role installed pgstate in this cluster and made its roles; that one, or a superuser, "
                        "must grant pgstate_owner, pgstate_api, pgstate_agent, pgstate_reader to this one "
                        "with admin option"
                    )
                raise errors.AccessDenied(f"{cause}: {needs}") from error
            if attempt == _ATTEMPTS or not _collided(cause):
                raise
        await asyncio.sleep(random.uniform(0.01, 0.05) * attempt)
    raise AssertionError("unreachable")


async def _run_once(dsn: str, direction: str, revision: str) -> list[str]:
    applied: list[str] = []
    config = _config()
    config.attributes["on_version_apply"] = lambda *, step, **_rest: applied.append(step.up_revision_id)

    def revise(opened: Connection) -> None:
        config.attributes["connection"] = opened
        with _one_run, _script_errors(config, revision):
            getattr(command, direction)(config, revision)

    async with connection(dsn) as opened:
        await opened.run_sync(revise)
        await opened.commit()
    return applied


def _sqlstate(error: BaseException | None) -> str | None:
    return getattr(error, "sqlstate", None)


def _collided(error: BaseException | None) -> bool:
    """Whether a run in another database of the cluster touched the same role at the same moment."""
    return _sqlstate(error) == "40P01" or (_sqlstate(error) == "XX000" and "concurrently" in str(error))
