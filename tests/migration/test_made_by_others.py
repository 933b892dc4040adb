"""Where an administrator made the roles or the schema, and the installing role may make neither."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine

from _cases import first_of
from _server import SUPERUSER, Cluster
from client._cli import invoke
from conftest import Database
from migration._catalogue import REVISIONS, dump, psql
from pgstate import _paths, errors, migrate

Way = Callable[[Database, str | None], None]
OTHERS = {"create_roles": False, "create_schema": False}


@pytest.fixture
def plain(new_cluster: Callable[..., Cluster], cluster: Cluster) -> Iterator[Database]:
    """A database of somebody else's on a new server, and a role `app` that may make neither roles nor schemas there."""
    fresh = new_cluster(cluster.major)
    fresh.sql("create role app login")
    yield Database(fresh, fresh.create_database())


def by_address(database: Database, to: str | None) -> None:
    if to is None:
        migrate.downgrade_dsn(database.dsn("app"), "base", data_loss=True, create_schema=False)
    else:
        migrate.upgrade_dsn(database.dsn("app"), to, **OTHERS)


def by_command(database: Database, to: str | None) -> None:
    options = ("--no-create-schema", "--lock-timeout", "5") if to else ("--keep-schema", "--yes")
    command = ("migrate", "--to", to, "--no-create-roles") if to else ("uninstall",)
    done = invoke(*command, *options, dsn=database.dsn("app"))
    assert done.code == 0, done.err


def by_script(database: Database, to: str | None) -> None:
    at = migrate.current_dsn(database.dsn("app"))
    psql(database, migrate.sql(to or "base", start=at, data_loss=True, **OTHERS), "app")


def by_op(database: Database, to: str | None) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    engine = create_engine(database.dsn("app").replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    with engine.begin() as connection:
        op = Operations(MigrationContext.configure(connection))
        if to is None:
            migrate.downgrade(op, "base", data_loss=True, create_schema=False)
        else:
            migrate.upgrade(op, to, **OTHERS)


@pytest.mark.core
@pytest.mark.parametrize("given", first_of(["owned", "granted"]))
def test_installs_upgrades_and_leaves_with_neither(plain: Database, given: str) -> None:
    _there_and_back(plain, by_address, given)


@pytest.mark.thorough
@pytest.mark.parametrize("way", [by_command, by_script, by_op])
@pytest.mark.parametrize("given", ["owned", "granted"])
def test_and_so_do_the_other_ways(plain: Database, way: Way, given: str) -> None:
    _there_and_back(plain, way, given)


def _there_and_back(plain: Database, way: Way, given: str) -> None:
    if way is by_command:
        roles = invoke("migrate", "--roles-sql", "app", *(["--no-create-schema"] if given == "owned" else [])).out
    else:
        roles = migrate.roles_sql("app", create_schema=given != "owned")
    psql(plain, roles, SUPERUSER)
    psql(plain, roles, SUPERUSER)
    if given == "granted":
        plain.sql("create schema pgstate; grant usage, create on schema pgstate to app with grant option")
    before = dump(plain)
    way(plain, "0001")
    way(plain, migrate.HEAD)
    assert plain.sql("select agent, revision from pgstate.info()", "app") == [("admin", migrate.HEAD)]
    # an agent's login is made by the administrator, and let in by the installer
    plain.cluster.sql("create role ana login")
    plain.sql("select pgstate.create_agent('ana', 'ana'), pgstate.grant_access('ana', '**', 'write')", "app")
    assert plain.sql("select status from pgstate.put('a', '1')", "ana") == [("ok",)]
    way(plain, None)
    assert dump(plain) == before
    way(plain, migrate.HEAD)
    assert plain.sql("select count(*) from pgstate.agent") == [(1,)]


@pytest.mark.core
def test_the_same_schema_comes_of_it(plain: Database) -> None:
    psql(plain, migrate.roles_sql("app", create_schema=False), SUPERUSER)
    migrate.upgrade_dsn(plain.dsn("app"), **OTHERS)
    usual = Database(plain.cluster, plain.cluster.create_database())
    psql(usual, migrate.sql(), SUPERUSER)
    assert dump(plain, "--no-owner", "--no-privileges") == dump(usual, "--no-owner", "--no-privileges")


def test_what_is_missing_is_said(plain: Database) -> None:
    address = plain.dsn("app")
    with pytest.raises(errors.AccessDenied, match=r"permission denied for database.*--no-create-schema"):
        migrate.upgrade_dsn(address)
    with pytest.raises(Exception, match='there is no schema "pgstate" in this database') as missing:
        migrate.upgrade_dsn(address, create_schema=False)
    assert getattr(missing.value, "hint", None) == "Somebody who may: create schema pgstate authorization app"
    plain.sql("create schema pgstate; grant usage, create on schema pgstate to app")
    with pytest.raises(
        errors.AccessDenied, match="Its owner: grant usage, create on schema pgstate to app with grant option"
    ):
        migrate.upgrade_dsn(address, **OTHERS)
    plain.sql("alter schema pgstate owner to app")
    with pytest.raises(errors.AccessDenied, match="permission denied to create role.*--roles-sql"):
        migrate.upgrade_dsn(address)
    with pytest.raises(
        errors.AccessDenied,
        match='the role pgstate_owner is not there, or app is no member of it.*"pgstate migrate --roles-sql app" prints',
    ):
        migrate.upgrade_dsn(address, **OTHERS)
    assert plain.sql("select count(*) from pg_class where relnamespace = 'pgstate'::regnamespace") == [(0,)]
    psql(plain, migrate.roles_sql("app"), SUPERUSER)
    migrate.upgrade_dsn(address, **OTHERS)
    with pytest.raises(
        errors.AccessDenied, match="permission denied for database.*--no-create-schema .--keep-schema of"
    ):
        migrate.uninstall_dsn(address)


def test_a_name_of_a_login_is_only_a_name(plain: Database) -> None:
    name = """it's \\ "odd" """
    quoted = '"' + name.replace('"', '""') + '"'
    plain.cluster.sql(f"create role {quoted} login")
    psql(plain, migrate.roles_sql(name, create_schema=False), SUPERUSER)
    assert plain.sql(
        "select rolname from pg_roles r, pg_namespace n where n.nspname = 'pgstate' and r.oid = n.nspowner"
    ) == [(name,)]


def test_the_block_that_makes_roles_stands_once_in_what_is_frozen() -> None:
    """What create_roles=False cuts out of the first revision's file."""
    frozen = Path(_paths.frozen("0001", "tables")).read_text()
    assert frozen.count("do $roles$") == 1 and frozen.count("$roles$;") == 1
    block = frozen[frozen.index("do $roles$") : frozen.index("$roles$;")]
    assert "create role" in block and "create role" not in frozen.replace(block, "")
    for revision in REVISIONS[1:]:
        assert "create role" not in _paths.frozen(revision, "tables").read_text()
