"""The SQL around the frozen files of revisions (migrations/around): how a run begins, waits, refuses, and ends.

All of it works alike through any driver and as text for psql, so whatever is decided about a database is decided there
and not in Python. It holds for one transaction; the settings of the session are as before when a run ends, since it may
be in the middle of somebody else's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pgstate import _paths

# "pgstate" in ASCII. Constant on purpose: pg_locks shows it to everybody.
_LOCK = 0x70677374617465
ROLES = ("pgstate_owner", "pgstate_api", "pgstate_agent", "pgstate_reader")
# Writers queue behind a migration that waits for a table, for so long at a time.
_TRY_MS = 400


@dataclass(frozen=True)
class Options:
    """How to migrate.

    `create_schema`: False if somebody else made the schema pgstate, which then must be there, and stays in the end.
    `create_roles`: False if an administrator made the roles (what `roles` prints). `lock_timeout`: how many seconds to
    wait for sessions that use the tables. `data_loss`: downgrade even if something would be lost.
    """

    create_schema: bool = True
    create_roles: bool = True
    lock_timeout: float = 30.0
    data_loss: bool = False


def around(name: str, **values: object) -> str:
    """A file of migrations/around; what stands in braces there is given here, as SQL."""
    text = (_paths.migrations() / "around" / f"{name}.sql").read_text("utf-8")
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", str(value))
    return text


def opening(options: Options) -> str:
    """Begins a run: settings, one run at a time, and the schema."""
    return around("opening", lock=_LOCK, create_schema=_boolean(options.create_schema))


def closing(options: Options) -> str:
    """Ends a run."""
    return around("closing", create_schema=_boolean(options.create_schema))


def start_check(start: str | None, end: str) -> str:
    """Ends a script at once where the database is not at the revision that it needs."""
    return around("start", start=literal(start), end=literal(end))


def take_locks(options: Options) -> str:
    """Locks all that a revision changes, or gives up and tells who is in the way."""
    return around("locks", seconds=f"{options.lock_timeout:g}", try_ms=_TRY_MS)


def loss_check(losses: Iterable[tuple[str, str, str]], target: str, *, known: str) -> str:
    """Refuses to go back to `target` where something would be lost; `losses`: (revision, what, query for how many).
    Of a revision later than `known` nothing can be said here."""
    rows = [f"({literal(revision)}, {literal(what)}, {literal(query)})" for revision, what, query in losses]
    return around("losses", losses=",\n      ".join(rows), target=target, known=literal(known)) if rows else ""


def roles(login: str, *, schema: bool = False) -> str:
    """What an administrator runs once, for an installing `login` without CREATEROLE (and, with `schema`, without CREATE
    on the database)."""
    name = '"' + login.replace('"', '""') + '"'
    made = f"-- In the database that pgstate comes into.\ncreate schema if not exists pgstate authorization {name};"
    return around("roles", login=literal(login), schema=made if schema else "")


def literal(text: str | None) -> str:
    """As an SQL literal."""
    return "null" if text is None else "'" + text.replace("'", "''") + "'"


def _boolean(value: bool) -> str:
    return "true" if value else "false"
