"""What people build upon the schema goes through an upgrade and back: views, indexes, triggers, policies, privileges."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import pytest

from _cases import first_of
from _server import SUPERUSER
from conftest import INSTALLER, Database
from migration._catalogue import REVISIONS, dump, psql
from pgstate import migrate

# On views that have fewer columns in earlier revisions
ON_VIEWS = """
create view app.open as select o.id, e.value, e.version from app.orders o join pgstate.entries e on e.key = o.state_key;
create view app.recent as select key, writer, at from pgstate.versions where op <> 'expire';
create view app.both as select r.key, o.id from app.recent r left join app.open o on true;
create materialized view app.counted as select count(*) as n from pgstate.entries;
create function app.entry_of(k text) returns setof pgstate.entries language sql as $$ select * from pgstate.entries where key = k $$;
grant select on all tables in schema app to public;
"""
THEIRS = """
create schema app;
create table app.orders (id int primary key, state_key text collate "C", done boolean default false);
create table app.seen (key text);
create function app.held() returns bigint language sql begin atomic select count(*) from pgstate.claims; end;
create function app.note() returns trigger language plpgsql security definer set search_path = app, pg_temp
  as $$ begin insert into seen values (new.key); return null; end $$;
grant usage on schema app to public;
create trigger note after insert on pgstate.version for each row execute function app.note();
create index values_idx on pgstate.entry using gin (value jsonb_path_ops);
create policy only_shop on pgstate.entry as restrictive for select to pgstate_reader using (key like 'shop/%');
create role "{database}_analyst";
grant usage on schema pgstate to "{database}_analyst";
grant select on pgstate.entries to "{database}_analyst";
"""


def theirs(database: Database) -> tuple[object, ...]:
    return (
        dump(database, "--schema=app"),
        database.sql("select pg_get_indexdef(i.indexrelid), i.indexrelid, c.relfilenode from pg_index i join pg_class c on c.oid = i.indexrelid where c.relname = 'values_idx' and i.indisvalid"),
        database.sql("select tgname, tgenabled::text, tgfoid::regproc::text from pg_trigger where tgname = 'note'"),
        database.sql("select polname, pg_get_expr(polqual, polrelid) from pg_policy where polname = 'only_shop'"),
        database.sql(f"select has_table_privilege('{database.name}_analyst', 'pgstate.entries', 'select'), has_table_privilege('{database.name}_analyst', 'pgstate.versions', 'select')"),
        database.sql("select id, value::text from app.open", SUPERUSER),
        database.sql("select app.held(), (select n from app.counted), (select count(*) from app.both), (select value::text from app.entry_of('shop/1'))"),
    )  # fmt: skip


@pytest.mark.core
@pytest.mark.parametrize("printed", first_of([False, True]), ids=["online", "printed"])
def test_what_people_built_goes_through_an_upgrade_and_back(empty: Callable[[], Database], printed: bool) -> None:
    database = empty()
    migrate.upgrade_dsn(database.dsn(), "0002")
    database.logins.append(f"{database.name}_analyst")
    database.sql(THEIRS.format(database=database.name) + ON_VIEWS)
    database.sql("insert into app.orders values (1, 'shop/1')")
    database.sql("select pgstate.put('shop/1', '{\"state\": \"packed\"}'), pgstate.claim('shop/1', '1 h')", INSTALLER)
    database.sql("refresh materialized view app.counted")
    clean = dump(database)
    before = theirs(database)
    assert before[5] == [(1, '{"state": "packed"}')]

    def move(to: str, start: str) -> None:
        if printed:
            psql(database, migrate.sql(to, start=start, data_loss=True))
        elif to > start:
            assert migrate.upgrade_dsn(database.dsn(), to) == REVISIONS[2:]
        else:
            assert migrate.downgrade_dsn(database.dsn(), to, data_loss=True) == REVISIONS[:1:-1]

    move(migrate.HEAD, "0002")
    assert theirs(database) == before
    # columns cannot be taken from a view that something stands on
    fewer = r"pgstate\.\w+ has fewer columns in 0004, and app\.\w+ stands on it|function app\.entry_of"
    with pytest.raises((asyncpg.DependentObjectsStillExistError, AssertionError), match=fewer):
        move("0002", migrate.HEAD)
    assert theirs(database) == before
    database.sql(
        "drop view app.both, app.open, app.recent; drop materialized view app.counted; drop function app.entry_of"
    )
    move("0002", migrate.HEAD)
    database.sql(ON_VIEWS)
    assert theirs(database) == before
    assert sorted(dump(database).splitlines()) == sorted(
        clean.splitlines()
    )  # privileges come in the order of being given
    move(migrate.HEAD, "0002")
    # the views are whole again, and what stands on them sees what is written now
    database.sql("select pgstate.put('shop/1', '2', token => (select token from pgstate.claims))", INSTALLER)
    assert database.sql("select id, value from app.open") == [(1, 2)]
    assert database.sql("select key from app.seen") == [("shop/1",)] * 2
    assert database.sql("select count(*) from pg_views where schemaname = 'pgstate' and definition !~* 'from'") == [
        (0,)
    ]
    database.sql(f'alter database "{database.name}" set enable_seqscan = off')
    plan = """explain (costs off) select key from pgstate.entry where value @> '{"state": "packed"}'"""
    assert "values_idx" in str(database.sql(plan, SUPERUSER))


def test_the_views_of_a_schema_that_people_built_on_equal_those_of_a_new_one(empty: Callable[[], Database]) -> None:
    built, fresh = empty(), empty()
    migrate.upgrade_dsn(built.dsn(), "0002")
    built.logins.append(f"{built.name}_analyst")
    built.sql(THEIRS.format(database=built.name) + ON_VIEWS)
    for database in (built, fresh):
        migrate.upgrade_dsn(database.dsn())
    views = (
        "--table=pgstate.entries",
        "--table=pgstate.versions",
        "--table=pgstate.claims",
        "--table=pgstate._acting_any",
    )
    grant = f"GRANT SELECT ON TABLE pgstate.entries TO {built.name}_analyst;"
    assert sorted(dump(built, *views).replace(grant, "").split()) == sorted(dump(fresh, *views).split())


@pytest.mark.thorough
def test_a_view_that_was_granted_to_somebody_stays_granted(empty: Callable[[], Database]) -> None:
    database = empty()
    migrate.upgrade_dsn(database.dsn(), "0002")
    role = f"{database.name}_auditor"
    database.logins.append(role)
    database.sql(f'create role "{role}"; grant select on pgstate.claims to "{role}"')
    asked = f"select has_table_privilege('{role}', 'pgstate.claims', 'select'), has_table_privilege('{role}', 'pgstate.entries', 'select')"
    migrate.upgrade_dsn(database.dsn())
    assert database.sql(asked) == [(True, False)]
    migrate.downgrade_dsn(database.dsn(), "0002")
    assert database.sql(asked) == [(True, False)]


def test_what_stands_on_a_function_is_named_and_kept(empty: Callable[[], Database]) -> None:
    database = empty()
    migrate.upgrade_dsn(database.dsn(), "0002")
    database.sql("create view public.mine as select * from pgstate.info()")
    before = dump(database)
    with pytest.raises(asyncpg.DependentObjectsStillExistError, match=r"pgstate\.info") as caught:
        migrate.upgrade_dsn(database.dsn())
    assert "view public.mine" in str(caught.value.detail) or "view mine" in str(caught.value.detail)
    assert dump(database) == before


def test_the_first_upgrade_names_the_views_that_stand_in_its_way(empty: Callable[[], Database]) -> None:
    """0002 drops views, and is frozen."""
    database = empty()
    migrate.upgrade_dsn(database.dsn(), "0001")
    database.sql("create view public.mine as select key from pgstate.entries")
    before = dump(database)
    with pytest.raises(asyncpg.DependentObjectsStillExistError, match="entries") as caught:
        migrate.upgrade_dsn(database.dsn())
    assert "public.mine" in str(caught.value.detail) or "view mine" in str(caught.value.detail)
    assert dump(database) == before
