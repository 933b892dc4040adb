"""Looking at a database before it is migrated or rid of pgstate. Changes nothing."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import asyncpg
from alembic.script import Script

from pgstate import _alembic, errors
from pgstate._migration_sql import ROLES, around
from pgstate._plan import Inventory, Plan, Step

_COUNTS = """
select (select count(*) from pgstate.agent) as agents,
       (select count(*) from pgstate.entry where live) as entries,
       (select count(*) from pgstate.version) as versions,
       pg_total_relation_size('pgstate.entry') + pg_total_relation_size('pgstate.version') as size
"""
_LOGINS = """
select l.login from pgstate.login l join pg_catalog.pg_roles r on r.rolname = l.login where not l.root order by 1
"""
# A role is used elsewhere if something in another database is its own or lets it in; pg_shdepend knows for the cluster.
_ROLES = """
select r.rolname as name, exists (
         select from pg_catalog.pg_shdepend d
          where d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass and d.refobjid = r.oid and d.dbid <> 0
            and d.dbid <> (select b.oid from pg_catalog.pg_database b where b.datname = pg_catalog.current_database())
       ) as elsewhere
  from pg_catalog.pg_roles r where r.rolname = any($1::text[]) order by 1
"""


async def plan(dsn: str, revision: str, *, down: bool) -> Plan:
    """The steps from where the database is to a revision."""
    directory, at = _alembic.scripts(), await _alembic.current(dsn)
    known = {script.revision: script for script in _alembic.revisions(directory)}
    target = directory.get_current_head() if revision == "head" else revision
    assert target is not None
    if target not in known and target != "base":
        raise ValueError(f"no revision {target}; there are {', '.join(known)}")
    if at is not None and at not in known:
        raise errors.SchemaTooNew(
            f"the database is at revision {at}, migrated by a newer pgstate, and this one knows {', '.join(known)}: "
            "upgrade the package"
        )
    here, there = at or "", "" if target == "base" else target
    if down:
        names = [name for name in reversed(known) if there < name <= here]
    else:
        names = [name for name in known if here < name <= there]
    losses = await _losses(dsn, [known[name] for name in names]) if down and names else {}
    steps = []
    for name in names:
        title, _, details = inspect.cleandoc(known[name].module.__doc__ or "").partition("\n\n")
        steps.append(Step(name, title, " ".join(details.split()), tuple(losses.get(name, ()))))
    return Plan(at, target, down, steps)


async def _losses(dsn: str, undone: Iterable[Script]) -> dict[str, list[str]]:
    """What there is of that which undoing these revisions loses, as the run itself looks for it (around/losses.sql)."""
    found: dict[str, list[str]] = {}
    opened = await _alembic.connect(dsn)
    try:
        async with opened.transaction(isolation="repeatable_read", readonly=True):
            await opened.execute("set local role pgstate_owner")
            for script in undone:
                for what, query in script.module.LOSSES:
                    if count := await opened.fetchval(query):
                        found.setdefault(script.revision, []).append(f"{what} ({count})")
    except asyncpg.InsufficientPrivilegeError:
        return {}
    finally:
        await opened.close()
    return found


async def inventory(dsn: str) -> Inventory:
    """What goes when pgstate goes, and what stays."""
    opened = await _alembic.connect(dsn)
    try:
        async with opened.transaction(isolation="repeatable_read", readonly=True):
            if await opened.fetchval("select pg_catalog.to_regclass('pgstate.alembic_version') is null"):
                raise errors.SchemaMissing("this database has no pgstate: there is nothing to remove")
            revision = await opened.fetchval("select version_num from pgstate.alembic_version")
            dependents = [row["what"] for row in await opened.fetch(around("dependents"))]
            roles = await opened.fetch(_ROLES, list(ROLES))
            await opened.execute("set local role pgstate_owner")
            counts = await opened.fetchrow(_COUNTS)
            logins = [row["login"] for row in await opened.fetch(_LOGINS)]
    except asyncpg.InsufficientPrivilegeError as error:
        raise errors.AccessDenied(f"{error}: only the role that installed pgstate can remove it") from error
    finally:
        await opened.close()
    return Inventory(
        revision=revision,
        **counts,
        logins=logins,
        dependents=dependents,
        roles=[row["name"] for row in roles],
        shared_roles=[row["name"] for row in roles if row["elsewhere"]],
    )
