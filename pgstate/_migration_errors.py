"""What the server's refusals of a migration become."""

from __future__ import annotations

import re
from typing import Any

import asyncpg

from pgstate import errors

# Of the lines in which an error tells where it came from: a function that is not pgstate's.
_FOREIGN = re.compile(r"function (?!inline_code_block|pgstate\.)[^\n]*\(\)")
_ROLE = re.compile(r'role "pgstate_(owner|api|agent|reader)" does not exist')
NO_ROLES = (
    "the schema pgstate was restored where its roles were not, and lacks what names them: bring the roles along "
    "(pg_dumpall --roles-only), and restore again into an empty database"
)
NO_DATA = (
    'the schema "pgstate" is here without what was in its tables, as after a restore with --schema-only. Restore its '
    "data too (pg_dump --data-only), or drop schema pgstate cascade and migrate"
)
# What a server says, or does not say, when it throws somebody out; between two statements asyncpg takes its word for
# the answer to the next one.
_LOST = (
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


def cause_of(error: BaseException) -> BaseException:
    """What the server said: SQLAlchemy wraps it, and undoing what it broke off fails as well, and hides it."""
    left: list[Any] = [error]
    chain: list[BaseException] = []
    while left:
        if (found := left.pop(0)) is not None and found not in chain:
            chain.append(found)
            left += [getattr(found, "orig", None), found.__cause__, found.__context__]
    kinds = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    return next((found for kind in kinds for found in chain if isinstance(found, kind)), error)


def _sqlstate(error: BaseException | None) -> str | None:
    return getattr(error, "sqlstate", None)


def told(error: BaseException, *, down: bool) -> errors.PgStateError | None:
    """What pgstate's own refusals, and those for want of rights, become."""
    code, hint = _sqlstate(error), getattr(error, "hint", None)
    # asyncpg's own text of an error has detail and hint on lines of their own
    message = str(error.args[0]) if error.args else str(error)
    said = f"{message}. {hint}" if hint else message
    if isinstance(error, _LOST) and not isinstance(error, asyncpg.QueryCanceledError):
        return errors.Unreachable(
            f"the connection was lost in the middle: {message}. All is done or nothing: pgstate migrate --check tells"
        )
    if code == "55P03":
        return errors.SchemaBusy(said)
    if code == "42P15":
        return errors.SchemaError(said)
    if code == "25006":
        return errors.SchemaError(
            f"{message}: this is a standby, and its primary is what to migrate, or default_transaction_read_only is on"
        )
    if code in ("42704", "22023") and _ROLE.search(message):
        return errors.SchemaError(f"{message}: {NO_ROLES}")
    if code == "55000" and down:
        return errors.DataLoss(said)
    if code != "42501":
        return None
    context = str(getattr(error, "context", None) or "")
    if hint:
        return errors.AccessDenied(said)
    if (foreign := _FOREIGN.search(context)) is not None:
        # an event trigger runs with the rights of whoever owns what is made
        return errors.AccessDenied(
            f"{said}, in {foreign[0]}: an event trigger must be SECURITY DEFINER with a search_path, since it "
            "runs as the roles of pgstate; or disable it meanwhile"
        )
    needs = (
        "migrating takes a role with CREATEROLE (or --no-create-roles, after an administrator ran what --roles-sql "
        "prints), and CREATE on the database (or --no-create-schema, when there is the schema)"
    )
    if down:
        needs = (
            "going back takes what installing took; a schema that somebody else made is left there by "
            "--no-create-schema (--keep-schema of pgstate uninstall)"
        )
    if "ADMIN option" in str(getattr(error, "detail", None) or error):
        needs = (
            "another role installed pgstate in this cluster and made its roles; that one, or a superuser, must grant "
            "pgstate_owner, pgstate_api, pgstate_agent, pgstate_reader to this one with admin option"
        )
    return errors.AccessDenied(f"{message}: {needs}")


def collided(error: BaseException | None) -> bool:
    """Whether a run in another database of the cluster touched the same role at the same moment."""
    return _sqlstate(error) == "40P01" or (_sqlstate(error) == "XX000" and "concurrently" in str(error))
