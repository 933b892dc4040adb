"""pgstate as part of an application's own Alembic: on its connection, in its transaction, in its script."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from _cases import first_of
from conftest import INSTALLER, Database
from migration._application import Application
from migration._catalogue import REVISIONS, dump, psql
from migration.conftest import ROOT
from pgstate import migrate

Make = Callable[..., Application]
CUSTOMERS = "op.create_table('customers', sa.Column('id', sa.Integer, primary_key=True)); op.execute('insert into customers values (1)')"


@pytest.fixture
def application(tmp_path: Path, empty: Callable[[], Database]) -> Iterator[Make]:
    def make(driver: str = "psycopg") -> Application:
        sys.modules.pop("models", None)
        return Application(tmp_path / f"alembic{len(list(tmp_path.iterdir()))}", empty(), driver)

    path = list(sys.path)
    yield make
    sys.path[:] = path
    sys.modules.pop("models", None)


def in_two_steps(application: Application) -> Application:
    """Its third revision installs pgstate, a later one upgrades it; tables of its own come in between."""
    application.revise("state", "migrate.upgrade(op, '0001')", "migrate.downgrade(op, 'base', data_loss=True)")
    application.revise("customers", CUSTOMERS, "op.drop_table('customers')")
    application.revise(
        "newer", f"migrate.upgrade(op, '{migrate.HEAD}')", "migrate.downgrade(op, '0001', data_loss=True)"
    )
    # unqualified names find what they found before, and the settings are those of the connection
    application.revise(
        "more", "op.execute('insert into customers values (2)')", "op.execute('delete from customers where id = 2')"
    )
    return application


def pgstate_only(database: Database) -> str:
    return dump(database, "--schema=pgstate")


_installed: dict[tuple[int, str], str] = {}


@pytest.fixture
def installed(empty: Callable[[], Database]) -> Callable[[str], str]:
    """What a revision has when pgstate itself installs it. The same for all tests of this module."""

    def at(revision: str) -> str:
        database = empty()
        place = database.cluster.major, revision
        if place not in _installed:
            migrate.upgrade_dsn(database.dsn(), revision)
            _installed[place] = pgstate_only(database)
        return _installed[place]

    return at


@pytest.mark.parametrize("driver", first_of(["psycopg", "psycopg2", "asyncpg"]))
def test_online_with_every_driver(application: Make, installed: Callable[[str], str], driver: str) -> None:
    own = in_two_steps(application(driver))
    own.upgrade("state")
    assert pgstate_only(own.database) == installed("0001")
    own.upgrade()
    assert pgstate_only(own.database) == installed(migrate.HEAD)
    assert own.database.sql("select version_num from public.alembic_version") == [("more",)]
    assert own.database.sql("select version_num from pgstate.alembic_version") == [(migrate.HEAD,)]
    assert own.database.sql("select id from public.customers order by 1") == [(1,), (2,)]
    assert own.database.sql("select agent from pgstate.info()", INSTALLER) == [("admin",)]
    own.downgrade("state")
    assert pgstate_only(own.database) == installed("0001")
    own.downgrade("orders")
    assert own.database.sql("select to_regnamespace('pgstate'), to_regclass('public.orders')::text") == [
        (None, "orders")
    ]
    own.upgrade()
    assert pgstate_only(own.database) == installed(migrate.HEAD)


@pytest.mark.thorough
def test_the_script_finds_out_what_the_database_needs(application: Make, installed: Callable[[str], str]) -> None:
    own = in_two_steps(application())
    psql(own.database, own.script("upgrade", "head"))
    assert pgstate_only(own.database) == installed(migrate.HEAD)
    assert own.database.sql("select id from public.customers order by 1") == [(1,), (2,)]
    assert own.database.sql("select agent from pgstate.info()", INSTALLER) == [("admin",)]
    psql(own.database, own.script("downgrade", "more:state"))
    assert pgstate_only(own.database) == installed("0001")
    # somebody went ahead in another way: nothing is left to do for the script
    migrate.upgrade_dsn(own.database.dsn(), "0002")
    psql(own.database, own.script("upgrade", "state:head"))
    assert pgstate_only(own.database) == installed(migrate.HEAD)
    psql(own.database, own.script("downgrade", "more:base"))
    assert own.database.sql("select to_regnamespace('pgstate')") == [(None,)]


def test_the_script_refuses_a_database_of_a_newer_pgstate(application: Make) -> None:
    own = in_two_steps(application())
    own.upgrade("customers")
    own.database.sql("update pgstate.alembic_version set version_num = '9999'")
    with pytest.raises(AssertionError, match="migrated by a newer pgstate"):
        psql(own.database, own.script("upgrade", "customers:head"))


@pytest.mark.parametrize("revision", ["head", "heads", "+1", "-1", "0001:0002", ""])
@pytest.mark.parametrize("call", [migrate.upgrade, migrate.downgrade])
def test_a_revision_is_named(call: Callable[..., list[str]], revision: str) -> None:
    with pytest.raises(ValueError, match=f'must always do the same: name it, "{migrate.HEAD}"'):
        call(None, revision)


def test_an_unknown_revision_is_named(application: Make) -> None:
    own = application()
    own.revise("state", "migrate.upgrade(op, '0999')")
    for run in (own.upgrade, lambda: own.script("upgrade", "head")):
        with pytest.raises(ValueError, match="no revision 0999; there are 0001"):
            run()


def test_a_failure_later_in_the_same_revision_takes_all_of_it_back(application: Make) -> None:
    own = application()
    own.revise("state", f"migrate.upgrade(op, '{migrate.HEAD}'); op.execute('select 1/0')")
    before = dump(own.database)
    with pytest.raises(Exception, match="division by zero"):
        own.upgrade()
    assert dump(own.database) == before


def test_without_a_transaction_nothing_is_begun(application: Make) -> None:
    own = application()
    own.revise("state", f"migrate.upgrade(op, '{migrate.HEAD}')")
    with pytest.raises(Exception, match="pgstate migrates in one transaction, and there is none"):
        own.upgrade(engine={"isolation_level": "AUTOCOMMIT"})
    assert own.database.sql("select count(*) from pg_class where relnamespace = to_regnamespace('pgstate')") == [(0,)]


def test_a_loss_is_refused_there_too(application: Make) -> None:
    own = application()
    own.revise("state", f"migrate.upgrade(op, '{migrate.HEAD}')", "migrate.downgrade(op, 'base')")
    own.upgrade()
    own.database.sql("select pgstate.put('a', '1')", INSTALLER)
    for run in (lambda: own.downgrade("orders"), lambda: psql(own.database, own.script("downgrade", "state:orders"))):
        with pytest.raises((Exception, AssertionError), match=r"to base loses: .*entries \(1\)"):
            run()
    assert own.database.sql("select value from pgstate.entries") == [(1,)]


def test_settings_and_role_of_the_transaction_are_as_before(empty: Callable[[], Database]) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    database = empty()
    settings = "select current_setting('search_path'), current_setting('lock_timeout'), current_setting('statement_timeout'), current_setting('client_min_messages'), current_user, current_setting('client_encoding')"
    engine = create_engine(database.dsn().replace("postgresql://", "postgresql+psycopg://"))
    group = f"{database.name}_group"
    database.logins.append(group)
    database.sql(f'create role "{group}"; grant "{group}" to {INSTALLER}')
    with engine.begin() as connection:
        connection.execute(
            text(
                f"set role \"{group}\"; set search_path = public, pg_temp; set local lock_timeout = '7s'; set client_encoding = 'LATIN1'"
            )
        )
        before = connection.execute(text(settings)).one()
        op = Operations(MigrationContext.configure(connection))
        assert migrate.upgrade(op, "0002") == ["0001", "0002"]
        assert connection.execute(text(settings)).one() == before
        assert migrate.upgrade(op, migrate.HEAD) == REVISIONS[2:]
        assert migrate.upgrade(op, migrate.HEAD) == []
        assert connection.execute(text(settings)).one() == before
        assert (before[0], before[4]) == ("public, pg_temp", group)
    engine.dispose()
    assert migrate.current_dsn(database.dsn()) == migrate.HEAD


def test_the_revision_in_readme(application: Make) -> None:
    (snippet,) = re.findall(
        r"^```py\n(from alembic .*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    own = application()
    own.add(snippet.replace('"6c0e"', '"orders"'))
    own.upgrade()
    assert migrate.current_dsn(own.database.dsn()) == migrate.HEAD
    own.downgrade("orders")
    assert own.database.sql("select to_regnamespace('pgstate')") == [(None,)]
    own.upgrade()
    own.database.sql("select pgstate.put('a', '1')", INSTALLER)
    with pytest.raises(Exception, match=r"loses: .*points of the past.*, entries \(1\)"):
        own.downgrade("orders")


@pytest.mark.filterwarnings("ignore:Did not recognize type")
def test_autogenerate_does_not_see_pgstate(application: Make) -> None:
    own = application()
    own.upgrade()
    migrate.upgrade_dsn(own.database.dsn())
    own.database.sql("create schema other; create table other.thing (id int primary key)", INSTALLER)
    assert "op." not in own.autogenerated()
    # with include_schemas, Alembic sees everything that the models do not have
    seen = own.autogenerated(include_schemas=True)
    assert "schema='pgstate'" in seen
    left = own.autogenerated(include_schemas=True, include_name=migrate.include_name)
    assert "pgstate" not in left
    assert "op.drop_table('thing', schema='other')" in left
