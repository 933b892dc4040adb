"""Running a statement, and turning what can go wrong into pgstate's errors."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

from pgstate import errors
from pgstate._calls._tickets import Ticketed, sent
from pgstate.types import Row

# or, for statements alone, what has its fetch()
Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"


class ConnectionLost(errors.Unreachable):
    """The connection broke while a statement was under way: whether it took effect is not known."""


class Rerun(errors.DatabaseError):
    """The statement was rolled back because of others (deadlock, serialization): running it again may succeed."""


class LockBusy(errors.DatabaseError):
    """A lock was not to be had within lock_timeout: the statement did nothing."""


class ReadOnly(errors.DatabaseError):
    """The server takes no writes, as a standby that is about to be promoted: the statement did nothing."""


class Overloaded(errors.DatabaseError):
    """The server gave the statement up: it took longer than it may (statement_timeout), or memory, disk or locks ran
    out. The statement did nothing."""


# what passes by itself: who works on and on waits for its end
OUTAGES = (errors.Unreachable, errors.Timeout, ReadOnly, Rerun, LockBusy, Overloaded)


async def fetch(connection: Connection, sql: str, *args: object, timeout: float | None) -> Sequence[Row]:
    """Rows of a statement."""
    if Ticketed.used:
        args = tuple(sent(args))
    try:
        rows: Sequence[Row] = await connection.fetch(sql, *args, timeout=timeout)
    except errors.PgStateError:
        raise
    except Exception as error:
        raise translate(error) from error
    return rows


async def fetch_row(connection: Connection, sql: str, *args: object, timeout: float | None) -> Row:
    """The one row of a statement."""
    return (await fetch(connection, sql, *args, timeout=timeout))[0]


@asynccontextmanager
async def transaction(connection: Connection, timeout: float, **options: Any) -> AsyncIterator[None]:
    """A transaction of `timeout` seconds at most; `options` are those of asyncpg's `transaction()`.

    One that runs out of time or is cancelled takes its connection with it: the next user of that must not get its
    snapshot, and a rollback waits as long as a server that is gone does not answer.
    """
    try:
        async with asyncio.timeout(timeout):
            own = connection.transaction(**options)
            await own.start()
            try:
                yield
            except Exception:
                await own.rollback()
                raise
            await own.commit()
    except BaseException as error:
        if not isinstance(error, Exception) or isinstance(error, TimeoutError | errors.Timeout):
            connection.terminate()
        known = translate(error)
        if known is error:
            raise
        raise known from error


def translate(error: BaseException) -> BaseException:
    """pgstate's error for one of asyncpg's, psycopg's or the system's; others come back as they are."""
    if isinstance(error, ValueError | asyncpg.DataError) and str(error).startswith("invalid input for query argument"):
        # asyncpg could not encode it: nothing was sent
        return errors.InvalidArgument(f"an argument is of the wrong type or out of range: {error}")
    if isinstance(error, asyncpg.PostgresError):
        hint = getattr(error, "hint", None)
        return _from_postgres(error.sqlstate, f"{error.args[0] if error.args else error}", hint)
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return errors.Timeout("no answer in time; if this was a write, it may have happened or not")
    if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)):
        return ConnectionLost(f"the connection to the server was lost: {error}")
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(error, psycopg.Error):
        if error.sqlstate is not None:
            return _from_postgres(error.sqlstate, error.diag.message_primary or str(error), error.diag.message_hint)
        if isinstance(error, psycopg.DataError):
            return errors.InvalidArgument(f"an argument is of the wrong type or out of range: {error}")
        return ConnectionLost(f"the connection to the server was lost: {error}")
    return error


def _from_postgres(code: str | None, message: str, hint: str | None) -> errors.PgStateError:
    code = code or ""
    message += f". {hint}" if hint else ""
    known = errors.BY_SQLSTATE.get(code)
    if known is not None:
        return known(message)
    if code in ("40P01", "40001"):
        return Rerun(message, code)
    if code == "55P03":
        return LockBusy(message, code)
    if code == "25006":
        return ReadOnly(f"{message}: this is a standby, or default_transaction_read_only is on", code)
    if code == "57014" or code[:2] in ("53", "58"):
        return Overloaded(message, code)
    if code[:2] in ("08", "57"):
        return ConnectionLost(f"the server closed the connection: {message}")
    if code in ("3F000", "42883") or (code == "42P01" and "pgstate" in message):
        return errors.SchemaMissing(f"{message}. This database has no pgstate, or an older one: run pgstate migrate")
    if code == "42501" and "would be affected by row-level security" in message:
        return errors.AccessDenied(f"{message}. row_security is off for this login or database: reset it")
    if code == "42501":
        return errors.AccessDenied(
            f"{message}. This login is not registered with pgstate: "
            "an administrator can create_agent, create_gateway or create_reader"
        )
    if code in ("22P02", "22P05", "22003", "54001", "22021"):
        return errors.InvalidValue(f"PostgreSQL cannot store the value: {message}")
    return errors.DatabaseError(message, code)


def outcome_error(code: str, message: str | None) -> errors.PgStateError:
    """The error that a refused row of a set-based call stands for."""
    return errors.BY_SQLSTATE.get(code, errors.PgStateError)(message or code)
