"""A clock that a test moves."""

from __future__ import annotations

from pgstate.testing._databases import Database

# The offset lies outside the schema and is readable by everybody, so that the function's body is the only change. That
# takes the owner of pgstate's tables: no agent, gateway or reader can, and nothing outside a test's own database.
_CLOCK = """
create schema pgstate_clock;
create table pgstate_clock.advance (by interval not null);
insert into pgstate_clock.advance values ('0');
grant usage on schema pgstate_clock to public;
grant select on pgstate_clock.advance to public;
set local role pgstate_owner;
create or replace function pgstate._now() returns timestamptz
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp
as $$ begin return pg_catalog.clock_timestamp() + (select a.by from pgstate_clock.advance a); end $$;
"""


class Clock:
    """The time that pgstate sees in a test's database: the real one, and what it was advanced by."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.execute(_CLOCK)

    def advance(self, seconds: float) -> None:
        """Moves the time on for every statement that begins from now on; back if negative. Leases and times to live end
        by it; what is written when they have (expiry versions) comes with the next poll, a second later at most. Blocks
        for a moment, in tests with and without a loop."""
        self._database.execute(f"update pgstate_clock.advance set by = by + make_interval(secs => {float(seconds)!r})")
