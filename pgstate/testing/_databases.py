"""A database for each test, cloned from a template that was migrated once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Protocol

from pgstate import migrate

# Who has just hung up is gone in a moment; dropping a database while anybody is there takes 100 ms at least.
_EMPTIED = """
do $$
begin
  for attempt in 1 .. 20 loop
    exit when not exists (select from pg_stat_activity a where a.datname = '{}');
    perform pg_sleep(0.001), pg_stat_clear_snapshot();
  end loop;
end
$$
"""

# Migrations leave the catalogue at twice its size, and each clone is a copy of it. Whom it does not belong to is warned
# and passed over. Not the other tables: plans tell one that was never vacuumed from one that is empty.
_PACKED = "vacuum (full) pg_attribute, pg_class, pg_depend, pg_description, pg_proc, pg_rewrite, pg_type"


class Runs(Protocol):
    """What a server needs to have."""

    def dsn(self, database: str = ..., user: str | None = ...) -> str: ...

    def execute(self, *statements: str, database: str | None = ...) -> None: ...


@dataclass
class Database:
    """One test's database. `owner` is the login that installed pgstate there; None is the server's own."""

    server: Runs
    name: str
    owner: str | None = None
    logins: list[str] = field(default_factory=list)

    def dsn(self, login: str | None = None) -> str:
        """Its address for a login, or for the one that installed: agent `admin`."""
        return self.server.dsn(self.name, login or self.owner)

    def execute(self, *statements: str) -> None:
        """Runs statements as the server's own login. Blocks, also where a loop runs: for setting a test up."""
        self.server.execute(*statements, database=self.name)

    def login(self, stem: str = "agent") -> str:
        """A name for a login that no other test has: databases of a server share its roles. Creating it is up to the
        test (`create_agent("alice", login)` does); it is dropped with the database."""
        self.logins.append(f"{stem}_{secrets.token_hex(4)}")
        return self.logins[-1]

    def drop(self) -> None:
        self.server.execute(
            _EMPTIED.format(self.name),
            f'drop database if exists "{self.name}" with (force)',
            *(f'drop role if exists "{login}"' for login in self.logins),
        )


class Databases:
    """The template on a server and its clones. `owner` installs, and owns them, if it is not the server's own login."""

    def __init__(self, server: Runs, *, owner: str | None = None, template: str | None = None) -> None:
        self.server = server
        self.owner = owner
        self.template = template or f"pgstate_template_{secrets.token_hex(6)}"
        server.execute(f'create database "{self.template}"{self._owned()}')
        migrate.upgrade_dsn(server.dsn(self.template, owner))
        server.execute(_PACKED, database=self.template)

    def clone(self) -> Database:
        """A new database with all that the template has."""
        database = self._named(f"pgstate_test_{secrets.token_hex(6)}")
        self.server.execute(
            f'create database "{database.name}" template "{self.template}" strategy file_copy{self._owned()}'
        )
        # A clone is another database to pgstate, which would begin a new epoch with its first write.
        database.execute("set local role pgstate_owner; update pgstate.install set identity = pgstate._identity()")
        return database

    def _named(self, name: str) -> Database:
        return Database(self.server, name, self.owner)

    def close(self) -> None:
        """Drops the template."""
        self.server.execute(f'drop database if exists "{self.template}" with (force)')

    def _owned(self) -> str:
        return f' owner "{self.owner}"' if self.owner else ""
