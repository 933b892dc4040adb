"""The models equal the catalogue: tables made from them are compared with those that the migrations make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, NullPool, Table, create_engine, inspect, select
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateSequence, CreateTable

from _server import SUPERUSER
from conftest import INSTALLER, Database
from pgstate import models

_IN_SCHEMA = "c.relnamespace = 'pgstate'::regnamespace and c.relname <> 'alembic_version'"
COLUMNS = f"""
select c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated::text,
       (select o.collname from pg_collation o where o.oid = a.attcollation), pg_get_expr(d.adbin, d.adrelid)
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where {_IN_SCHEMA} and c.relkind = 'r' order by 1, 2
"""
# not null is a constraint of its own from 18 on, with a generated name; the columns above tell it
CONSTRAINTS = f"""
select c.relname, k.conname, pg_get_constraintdef(k.oid) from pg_constraint k join pg_class c on c.oid = k.conrelid
where {_IN_SCHEMA} and k.contype <> 'n' order by 1, 2
"""
INDEXES = f"""
select c.relname, pg_get_indexdef(i.indexrelid) from pg_index i join pg_class c on c.oid = i.indrelid
where {_IN_SCHEMA} and c.relkind = 'r' order by 1, 2
"""
TABLES = f"""
select c.relname, c.relpersistence::text, c.reloptions from pg_class c
where {_IN_SCHEMA} and c.relkind = 'r' order by 1
"""
SEQUENCES = f"""
select c.relname, s.seqtypid::regtype::text, s.seqstart, s.seqincrement, s.seqmax, s.seqcache
from pg_sequence s join pg_class c on c.oid = s.seqrelid where {_IN_SCHEMA} order by 1
"""
VIEW_COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod),
       (select o.collname from pg_collation o where o.oid = a.attcollation)
from pg_attribute a where a.attrelid = ('pgstate.' || '{view}')::regclass and a.attnum > 0 order by a.attnum
"""
# what the models' types rely on, and what a migration makes before the tables
GROUND = """
create schema pgstate;
create type pgstate.keyrange as range (subtype = text, collation = "C", multirange_type_name = pgstate.keymultirange);
create domain pgstate.entry_kind as text constraint entry_kind_known check (value in ('value', 'thread', 'run'));
create domain pgstate.version_op as text
  constraint version_op_known check (value in ('put', 'merge', 'delete', 'complete', 'expire'));
create type pgstate.trust as enum ('external', 'agent', 'verified', 'operator');
"""


def is_view(table: Table) -> bool:
    return bool(table.info.get("view"))


def engine(database: Database, login: str = INSTALLER) -> Engine:
    address = database.dsn(login).replace("postgresql://", "postgresql+psycopg://")
    return create_engine(address, poolclass=NullPool)


@pytest.fixture
def from_models(database: Database) -> Iterator[Database]:
    """A database whose tables are made from the models."""
    made = Database(database.cluster, database.cluster.create_database(owner=INSTALLER))
    made.sql(GROUND)
    tables = [table for table in models.metadata.sorted_tables if not is_view(table)]
    with engine(made, SUPERUSER).begin() as connection:
        for sequence in models.metadata._sequences.values():
            connection.execute(CreateSequence(sequence))
        for table in tables:
            connection.execute(CreateTable(table))
            for index in table.indexes:
                index.create(connection)
    yield made
    made.drop()


@pytest.mark.every_version
def test_tables_made_from_the_models_equal_the_migrated_ones(database: Database, from_models: Database) -> None:
    database.sql("alter table pgstate.entry drop constraint live_has_value")
    for query in (TABLES, COLUMNS, CONSTRAINTS, INDEXES, SEQUENCES):
        migrated = database.sql(query)
        assert migrated
        assert from_models.sql(query) == migrated


def test_views_have_the_columns_of_the_models(database: Database) -> None:
    found = database.sql(
        "select relname from pg_class where relnamespace = 'pgstate'::regnamespace and relkind = 'v'"
        # views that only the schema itself reads
        " and relname !~ '^_' order by 1"
    )
    views = sorted(table.name for table in models.metadata.sorted_tables if is_view(table))
    assert views == [name for (name,) in found]
    dialect = engine(database).dialect
    for name in views:
        columns = models.metadata.tables[f"pgstate.{name}"].columns
        modelled = []
        for column in columns:
            kind = column.type.compile(dialect).split(" COLLATE ")[0].lower()
            default = "default" if kind in ("text", "text[]") else None
            collation = getattr(column.type, "collation", None) or default
            modelled.append((column.name, kind, collation))
        assert modelled == database.sql(VIEW_COLUMNS.format(view=name)), name


def test_every_table_has_a_model(database: Database) -> None:
    with engine(database).connect() as connection:
        tables = set(inspect(connection).get_table_names(schema="pgstate"))
    assert {table.name for table in models.metadata.sorted_tables if not is_view(table)} == tables - {"alembic_version"}


def _differences(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Alembic's own comparison: tables, columns, types, nullability, defaults, indexes and constraints."""
    for name, kind in {
        "xid8": models.Xid8,
        "pg_snapshot": models.PgSnapshot,
        "pgstate.keymultirange": models.KeyMultirange,
    }.items():
        monkeypatch.setitem(ischema_names, name, kind)

    def included(name: str | None, type_: str, parents: Any) -> bool:
        return name == "pgstate" if type_ == "schema" else name != "alembic_version"

    def default_differs(
        _context: Any, _found: Any, _column: Any, found: Any, _default: Any, rendered: Any
    ) -> bool | None:
        # the default of an integer key with a sequence of its own is taken for SERIAL's, and left out of what is found
        if found is None and "nextval" in str(rendered):
            return False
        # defaults are compared by what they return
        return False if "gen_random_uuid()" in str(found) and "gen_random_uuid()" in str(rendered) else None

    options = {
        "include_schemas": True,
        "include_name": included,
        "include_object": lambda thing, _name, type_, _reflected, _to: type_ != "table" or not is_view(thing),
        "compare_type": True,
        "compare_server_default": default_differs,
        "target_metadata": models.metadata,
    }
    with engine(database, SUPERUSER).connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        # what changes in a column comes as a list
        found = [
            one
            for some in compare_metadata(context, models.metadata)
            for one in (some if isinstance(some, list) else [some])
        ]
    # models carry no comments: those are the schema's
    return [str(difference) for difference in found if not difference[0].endswith("_comment")]


def test_autogenerate_finds_nothing_to_change(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _differences(database, monkeypatch) == []
    database.sql("alter table pgstate.claim add extra int; alter table pgstate.op alter at drop default")
    database.sql("drop index pgstate.version_seq_idx")
    found = _differences(database, monkeypatch)
    assert [difference.split("'")[1] for difference in found] == ["remove_column", "modify_default", "add_index"]


def test_nothing_of_an_application_lies_in_the_same_metadata() -> None:
    assert models.Model.metadata is models.metadata
    assert {table.schema for table in models.metadata.sorted_tables} == {"pgstate"}


def test_a_reader_queries_the_views_within_its_reach(database: Database, login_name: Callable[[str], str]) -> None:
    reader = login_name("reader")
    database.sql("select pgstate.put('open/a', '{\"n\": 1}'), pgstate.put('shut/a', '2')", INSTALLER)
    database.sql("select pgstate.put('open/a', '{\"n\": 2}')", INSTALLER)
    database.sql("select pgstate.claim('open/a', '1 h')", INSTALLER)
    database.sql(f"select pgstate.create_reader('{reader}', 'open/**')", INSTALLER)
    with Session(engine(database, reader)) as session:
        (entry,) = session.scalars(select(models.Entry))
        assert (entry.key, entry.value, entry.version, entry.writer) == ("open/a", {"n": 2}, 2, "admin")
        versions = session.scalars(select(models.Version).order_by(models.Version.version)).all()
        assert [(version.key, version.version, version.value) for version in versions] == [
            ("open/a", 1, {"n": 1}),
            ("open/a", 2, {"n": 2}),
        ]
        (claim,) = session.scalars(select(models.Claim))
        assert (claim.key, claim.holder, claim.attempts) == ("open/a", "admin", 1)


def test_everything_can_be_read_through_the_models(database: Database) -> None:
    database.sql("select pgstate.put('a', '1'), pgstate.set_policy('a', ttl => '1 h')", INSTALLER)
    found: dict[str, list[Any]] = {}
    # whom no policy hides a row of the tables from; the views show what a registered login may see
    with Session(engine(database, SUPERUSER)) as everything, Session(engine(database)) as installer:
        for mapper in models.Model.registry.mappers:
            session = installer if mapper.local_table.info.get("view") else everything
            found[mapper.class_.__name__] = list(session.scalars(select(mapper.class_)))
            for relationship in mapper.relationships:
                assert relationship.viewonly
                for row in found[mapper.class_.__name__]:
                    getattr(row, relationship.key)
    (version,) = found["VersionRow"]
    assert isinstance(version.xid, int)
    (entry,) = found["EntryRow"]
    assert (entry.key, entry.parent, entry.live) == ("a", "", True)
    assert [agent.name for agent in found["AgentRow"]] == ["admin"]
    assert found["ReachRow"][0].reads is not None
    assert {(g.agent.name, g.right) for g in found["AccessGrantRow"]} == {
        ("admin", r) for r in ("read", "write", "admin")
    }
    (seen,) = found["Activity"]
    assert (seen.key, seen.version, seen.op, seen.created, seen.xid) == ("a", 1, "put", True, version.xid)
    assert [(p.subtree, p.ttl, p.set_by) for p in found["Policy"]] == [("a", timedelta(hours=1), "admin")]
