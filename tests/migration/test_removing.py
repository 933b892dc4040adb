"""Going back: refused where something would be lost, shown before, and what is left of an installation afterwards."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import pytest

from _server import Cluster
from conftest import INSTALLER, Database
from migration._catalogue import REVISIONS, dump, psql
from pgstate import errors, migrate


@pytest.mark.thorough
def test_what_would_be_lost_is_named(empty: Callable[[], Database]) -> None:
    database = empty()
    migrate.upgrade_dsn(database.dsn())
    database.sql("select pgstate.put('a', '1'), pgstate.put('b', '1'), pgstate.create_agent('ana')", INSTALLER)
    database.sql(
        "select pgstate.put('a', '2'), pgstate.delete('b'), pgstate.set_policy('a', ttl => '1 day')", INSTALLER
    )
    database.sql("create view public.mine as select key from pgstate.entries")
    before = dump(database)
    ((points,),) = database.sql("select count(*) from pgstate.feed_point")
    past = (
        rf"entries of the audit trail \(2\), trust of versions, where it is not agent \(4\), policies \(1\), "
        rf"points of the past, by which times are known \({points}\)"
    )
    for target, lost in {
        "0001": past,
        "base": rf"{past}, entries \(1\), versions \(4\), agents \(1\), objects of yours that use it \(1\)",
    }.items():
        said = rf"from revision {migrate.HEAD} to {target} loses: {lost}"
        with pytest.raises(errors.DataLoss, match=rf"{said}\. Nothing was changed\. --data-loss") as caught:
            migrate.downgrade_dsn(database.dsn(), target)
        assert isinstance(caught.value, errors.SchemaError)
        with pytest.raises(AssertionError, match=said):
            psql(database, migrate.sql(target, start=migrate.HEAD))
    assert dump(database) == before
    fewer = "entries has fewer columns in 0004, and public.mine stands on it"
    with pytest.raises(asyncpg.DependentObjectsStillExistError, match=fewer):
        migrate.downgrade_dsn(database.dsn(), "0002", data_loss=True)
    assert dump(database) == before
    database.sql("drop view public.mine")
    assert migrate.downgrade_dsn(database.dsn(), "0002", data_loss=True) == REVISIONS[:1:-1]
    assert migrate.downgrade_dsn(database.dsn(), "0001", data_loss=True) == ["0002"]
    with pytest.raises(errors.DataLoss, match=r"to base loses: entries \(1\), versions \(4\), agents \(1\)\."):
        migrate.downgrade_dsn(database.dsn(), "base")
    assert migrate.downgrade_dsn(database.dsn(), "base", data_loss=True) == ["0001"]


def test_threads_that_are_lost_leave_plain_values(empty: Callable[[], Database]) -> None:
    database = empty()
    migrate.upgrade_dsn(database.dsn(), "0004")
    save = "select status, version from pgstate.save_checkpoint('t/{}', '{{a}}', '{{json}}', array['1']::bytea[])"
    assert [database.sql(save.format(n), INSTALLER) for n in (1, 2)] == [[("ok", 1)]] * 2
    database.sql(
        "select pgstate.put_writes('t/1', 'c', 'task', '{0}', '{a}', '{json}', array['1']::bytea[])", INSTALLER
    )
    database.sql("select pgstate.delete_thread('t/2')", INSTALLER)
    lost = r"threads \(1\), checkpoints \(1\), pending writes of threads \(1\)\."
    with pytest.raises(errors.DataLoss, match=lost):
        migrate.downgrade_dsn(database.dsn(), "0003")
    assert migrate.downgrade_dsn(database.dsn(), "0003", data_loss=True) == ["0004"]
    listed = database.sql("select key, kind, value ->> 'checkpoints' from pgstate.list()", INSTALLER)
    assert listed == [("t/1", "value", "1")]
    assert database.sql("select status from pgstate.delete('t/1')", INSTALLER) == [("ok",)]
    assert migrate.upgrade_dsn(database.dsn(), "0004") == ["0004"]
    assert [database.sql(save.format(n), INSTALLER) for n in (1, 2)] == [[("ok", 3)]] * 2


def test_an_installation_that_nobody_used_has_nothing_to_lose(empty: Callable[[], Database]) -> None:
    database = empty()
    before = dump(database)
    migrate.upgrade_dsn(database.dsn())
    assert migrate.downgrade_dsn(database.dsn(), "base") == REVISIONS[::-1]
    assert dump(database) == before


def test_what_a_run_would_do(empty: Callable[[], Database]) -> None:
    database = empty()
    plan = migrate.plan_dsn(database.dsn())
    assert (plan.current, plan.target, plan.down) == (None, migrate.HEAD, False)
    assert [step.revision for step in plan.steps] == REVISIONS
    assert all(step.title and step.details for step in plan.steps)
    assert "Makes the schema pgstate, the roles" in plan.steps[0].details
    assert database.sql("select to_regnamespace('pgstate')") == [(None,)]
    migrate.upgrade_dsn(database.dsn(), "0002")
    before = dump(database)
    assert [step.revision for step in migrate.plan_dsn(database.dsn()).steps] == REVISIONS[2:]
    assert migrate.plan_dsn(database.dsn(), "0002").steps == []
    assert [step.revision for step in migrate.plan_dsn(database.dsn(), "base", down=True).steps] == ["0002", "0001"]
    assert migrate.plan_dsn(database.dsn(), "0001").steps == []
    with pytest.raises(ValueError, match="no revision 0999; there are 0001"):
        migrate.plan_dsn(database.dsn(), "0999")
    assert dump(database) == before
    database.sql("update pgstate.alembic_version set version_num = '9999'")
    for call in (lambda: migrate.plan_dsn(database.dsn()), lambda: migrate.downgrade_dsn(database.dsn(), "0001")):
        with pytest.raises(errors.SchemaTooNew, match=r"9999.*newer pgstate.*upgrade the package"):
            call()


def test_only_who_installed_sees_what_there_is(database: Database, login_name: Callable[[str], str]) -> None:
    login = login_name("ana")
    database.sql(f"select pgstate.create_agent('ana', '{login}')", INSTALLER)
    for call in (migrate.inventory_dsn, migrate.uninstall_dsn, migrate.plan_dsn, migrate.current_dsn):
        with pytest.raises(errors.AccessDenied, match="the role that installed pgstate"):
            call(database.dsn(login))
    assert database.sql("select count(*) from pgstate.agent") == [(2,)]


@pytest.mark.thorough
@pytest.mark.core
def test_uninstalling_shows_what_there_is_and_leaves_what_is_not_its_own(
    new_cluster: Callable[..., Cluster], cluster: Cluster
) -> None:
    fresh = new_cluster(cluster.major)
    fresh.sql(f"create role {INSTALLER} login createrole")
    one, two = (Database(fresh, fresh.create_database(owner=INSTALLER)) for _ in range(2))
    clean = dump(one)
    for database in (one, two):
        migrate.upgrade_dsn(database.dsn())
    one.sql("select pgstate.create_agent('ana', 'ana_login'), pgstate.create_gateway('app')", INSTALLER)
    one.sql("select pgstate.create_reader('eve', '**'), pgstate.put('a', '1')", INSTALLER)
    one.sql("select pgstate.put('a', '2')", INSTALLER)
    one.sql(
        "create table public.own (key text default pgstate.key('a')); create view public.mine as select key from pgstate.entries"
    )
    roles = ["pgstate_agent", "pgstate_api", "pgstate_owner", "pgstate_reader"]
    found = migrate.inventory_dsn(one.dsn())
    assert (found.revision, found.agents, found.entries, found.versions) == (migrate.HEAD, 3, 1, 2)
    assert found.size > 16384
    assert found.logins == ["ana_login", "app", "eve"]
    assert found.dependents == [
        "default value for column key of table public.own",
        "view public.mine",
    ] or found.dependents == ["default value for column key of table own", "view mine"]
    assert (found.roles, found.shared_roles) == (roles, roles)
    assert migrate.uninstall_dsn(one.dsn()) == found
    # the other database has its roles, and works
    assert two.sql("select status from pgstate.put('b', '1')", INSTALLER) == [("ok",)]
    one.sql("drop table public.own")
    assert dump(one) == clean
    with pytest.raises(errors.SchemaMissing, match="nothing to remove"):
        migrate.uninstall_dsn(one.dsn())
    assert migrate.inventory_dsn(two.dsn()).shared_roles == []
    migrate.uninstall_dsn(two.dsn())
    assert fresh.sql("select rolname from pg_roles where rolname !~ '^pg_' order by 1") == [
        ("ana_login",), ("app",), ("eve",), (INSTALLER,), ("postgres",)
    ]  # fmt: skip
    # and from the beginning, with logins that are there already
    assert migrate.upgrade_dsn(one.dsn()) == REVISIONS
    one.sql("select pgstate.create_agent('ana', 'ana_login'), pgstate.grant_access('ana', '**', 'read')", INSTALLER)
    assert one.sql("select agent from pgstate.info()", "ana_login") == [("ana",)]
