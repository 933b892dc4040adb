"""The catalogue reads like a manual: everything in it says what it is. By catalogue, so that nothing new is forgotten."""

from __future__ import annotations

import subprocess

import pytest

from conftest import INSTALLER, Database

# Constructors of the range types belong to the bootstrap superuser, and nobody else may comment them.
UNTOLD = """
select 'function ' || p.oid::regprocedure from pg_proc p
 where p.pronamespace = 'pgstate'::regnamespace and obj_description(p.oid, 'pg_proc') is null
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i')
union all
select 'relation ' || c.relname from pg_class c
 where c.relnamespace = 'pgstate'::regnamespace and c.relkind in ('r', 'p', 'v', 'S') and obj_description(c.oid, 'pg_class') is null
union all
select 'type ' || t.typname from pg_type t left join pg_class c on c.oid = t.typrelid
 where t.typnamespace = 'pgstate'::regnamespace and (t.typtype in ('d', 'r', 'm') or c.relkind = 'c')
   and obj_description(t.oid, 'pg_type') is null
union all
select 'column ' || c.relname || '.' || a.attname from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
 where c.relnamespace = 'pgstate'::regnamespace and c.relkind in ('r', 'p', 'v') and col_description(c.oid, a.attnum) is null
order by 1
"""


@pytest.mark.every_version
def test_everything_says_what_it_is(database: Database) -> None:
    assert [name for (name,) in database.sql(UNTOLD)] == []
    database.sql("create view pgstate.mute as select 1 as one; create function pgstate.mute() returns int return 1")
    assert [name for (name,) in database.sql(UNTOLD)] == ["column mute.one", "function pgstate.mute()", "relation mute"]


def test_public_functions_say_what_they_raise_in_sentences(database: Database) -> None:
    told = database.sql(
        "select p.proname, obj_description(p.oid) from pg_proc p where p.pronamespace = 'pgstate'::regnamespace and p.proname !~ '^_' "
        "and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i')"
    )
    assert len(told) > 40
    assert [
        name for name, text in told if text.startswith("Internal") or len(text) < 25 or not text.rstrip().endswith(".")
    ] == []


def test_psql_shows_it(database: Database) -> None:
    """What people type: \\df+ and \\d+."""

    def shown(command: str) -> str:
        arguments = (
            str(database.cluster.bindir / "psql"),
            "--no-psqlrc",
            "--dbname",
            database.dsn(INSTALLER),
            "--command",
            command,
        )
        return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout

    assert "Registers an agent with read and write on memory/{agent}/**" in shown("\\df+ pgstate.create_agent")
    assert "What every key holds now" in shown("\\dv+ pgstate.entries")
    assert "Number of the current version; rises by one" in shown("\\d+ pgstate.entries")
