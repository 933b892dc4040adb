"""Bringing a database to a schema revision: online, or as text for psql. Both ways give the same schema.

Frozen SQL runs in one transaction, so a run that fails leaves nothing behind, and any number of runs may start at once.
"""

from __future__ import annotations

import asyncio

HEAD = "0003"

# pgstate._alembic is imported where it is used: Alembic takes longer to import than the rest of the package, and a
# client only wants to know HEAD.


def upgrade_dsn(dsn: str, revision: str = "head") -> list[str]:
    """Brings the database to `revision` and returns the revisions applied, oldest first; none if it was there already.

    Blocks until done and must not be called from a running event loop: `upgrade` is for that. Safe to run any number of
    times at once. Needs CREATE on the database and CREATEROLE, no superuser.
    Raises Unreachable, AccessDenied, SchemaTooNew if the database is at a revision that this version of pgstate does
    not know, and ValueError for an unknown `revision`.
    """
    from pgstate import _alembic

    return asyncio.run(_alembic.run(dsn, "upgrade", revision))


def downgrade_dsn(dsn: str, revision: str) -> list[str]:
    """Takes the database back to `revision` ("base" removes pgstate and all that it holds); returns those undone."""
    from pgstate import _alembic

    return asyncio.run(_alembic.run(dsn, "downgrade", revision))


async def upgrade(dsn: str, revision: str = "head") -> list[str]:
    """`upgrade_dsn` in a thread."""
    return await asyncio.to_thread(upgrade_dsn, dsn, revision)


def current_dsn(dsn: str) -> str | None:
    """The revision the database is at, None if pgstate is not installed. Blocks; needs the administrator's rights."""
    from pgstate import _alembic

    return asyncio.run(_alembic.current(dsn))


def sql(revision: str = "head") -> str:
    """The SQL that takes an empty database to `revision`, for `psql -v ON_ERROR_STOP=1`; "0001:head" starts at 0001."""
    from pgstate import _alembic

    return _alembic.printed(revision)
