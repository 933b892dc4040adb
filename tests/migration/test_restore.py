"""Dumps restored and clusters upgraded with PostgreSQL's own programs: everything is there, and work goes on."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from _cases import first_of
from _server import SUPERUSER, Cluster
from conftest import INSTALLER, Database, clone, prepare
from migration._catalogue import REVISIONS
from migration._estate import fill, goes_on
from pgstate import _postmaster, doctor, errors, migrate

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
Restore = Callable[[Database, Database, Path], None]


def _plain(old: Database, new: Database, folder: Path) -> None:
    text = old.cluster.program("pg_dump", "--dbname", old.dsn(SUPERUSER))
    new.cluster.program("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--dbname", new.dsn(SUPERUSER), stdin=text)  # fmt: skip


def _custom(old: Database, new: Database, folder: Path, *options: str) -> None:
    old.cluster.program("pg_dump", "--format=custom", "--file", str(folder / "dump"), "--dbname", old.dsn(SUPERUSER))
    new.cluster.program("pg_restore", "--exit-on-error", *options, "--dbname", new.dsn(SUPERUSER), str(folder / "dump"))


def _parallel(old: Database, new: Database, folder: Path) -> None:
    _custom(old, new, folder, "--jobs=2")


def _in_sections(old: Database, new: Database, folder: Path) -> None:
    for section in ("pre-data", "data", "post-data"):
        _custom(old, new, folder, f"--section={section}")


def _one_transaction(old: Database, new: Database, folder: Path) -> None:
    _custom(old, new, folder, "--single-transaction")


def roles(old: Cluster, new: Cluster) -> None:
    """The roles of a cluster in another, as people do it: one that is there already is told, and no harm."""
    text = old.program("pg_dumpall", "--roles-only", "--dbname", old.dsn())
    new.program("psql", "--no-psqlrc", "--quiet", "--output=/dev/null", "--dbname", new.dsn(), stdin=text)


@pytest.mark.core
@pytest.mark.parametrize("restore", first_of([_plain, _parallel, _custom, _in_sections, _one_transaction], 2))
async def test_into_another_cluster(
    database: Database, login_name: Callable[[str], str], new_cluster: Callable[..., Cluster], tmp_path: Path, restore: Restore
) -> None:  # fmt: skip
    estate = await fill(database, login_name)
    other = new_cluster(database.cluster.major)
    roles(database.cluster, other)
    restored = Database(other, other.create_database(owner=INSTALLER))
    restore(database, restored, tmp_path)
    await goes_on(restored, estate, migrates=restore is not _parallel)


async def test_without_the_roles(database: Database, new_cluster: Callable[..., Cluster]) -> None:
    """Who let pg_restore go on over a thousand errors is told what it takes."""
    other = new_cluster(database.cluster.major)
    restored = Database(other, other.create_database())
    text = database.cluster.program("pg_dump", "--dbname", database.dsn(SUPERUSER))
    other.program(
        "psql", "--no-psqlrc", "--quiet", "--output=/dev/null", "--dbname", restored.dsn(SUPERUSER), stdin=text
    )
    said = r"pgstate_owner.* does not exist: .*restored where its roles were not.* \(pg_dumpall --roles-only\)"
    with pytest.raises(errors.SchemaError, match=said):
        await migrate.upgrade_async(restored.dsn(SUPERUSER))
    with pytest.raises(errors.SchemaError, match=said):
        await doctor.examine(restored.dsn(SUPERUSER))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--schema-only", r"without what was in its tables.*pg_dump --data-only.* or drop schema pgstate cascade"),
        ("--no-owner", r"are those of postgres, and not of pgstate_owner, as after a restore with --no-owner"),
    ],
)
def test_half_of_it(database: Database, option: str, said: str) -> None:
    """As dumps are restored for a rehearsal: told by name, and a migration changes nothing."""
    restored = Database(database.cluster, database.cluster.create_database(owner=INSTALLER))
    try:
        text = database.cluster.program("pg_dump", option, "--dbname", database.dsn(SUPERUSER))
        quiet = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
        restored.cluster.program("psql", *quiet, "--dbname", restored.dsn(SUPERUSER), stdin=text)
        for run in (
            migrate.upgrade_dsn,
            functools.partial(migrate.downgrade_dsn, revision=REVISIONS[-2]),
            *[migrate.plan_dsn] * (option == "--schema-only"),
        ):
            with pytest.raises(errors.SchemaError, match=said):
                run(restored.dsn(SUPERUSER))
        # the same for who runs the script
        script = migrate.sql(start=REVISIONS[-2])
        done = subprocess.run(
            [database.cluster.bindir / "psql", *quiet, "--dbname", restored.dsn(SUPERUSER)],
            input=script, env=_postmaster.environment(), capture_output=True, text=True,
        )  # fmt: skip
        assert re.search(said, done.stderr, re.S), done.stderr
        # as it says
        restored.sql("drop schema pgstate cascade")
        assert migrate.upgrade_dsn(restored.dsn()) == REVISIONS
    finally:
        restored.drop()


def _numbers(database: Database) -> list[tuple[Any, ...]]:
    return database.sql(
        "select (select max(seq) from pgstate.version), pg_sequence_last_value('pgstate.version_seq'),"
        " (select max(id) from pgstate.thread), pg_sequence_last_value('pgstate.thread_id_seq'),"
        " (select max(id) from pgstate.audit), pg_sequence_last_value('pgstate.audit_id_seq')"
    )


@pytest.mark.core
@pytest.mark.parametrize("first", ["migrate", "put"])
def test_sequences_that_did_not_come_along(database: Database, first: str) -> None:
    """Logical replication brings rows, and leaves sequences as they were made."""
    save = (
        "select status, id is not null from pgstate.save_checkpoint('t/{}', '{{a}}', '{{json}}', array['1']::bytea[])"
    )
    database.sql(f"select pgstate.put('k', '1'); {save.format(1)}; select pgstate.create_agent('one')", INSTALLER)
    # what retention has let go of is known to no table
    database.sql("update pgstate.install set identity = 'elsewhere:1', horizon = '1', horizon_epoch = 1")
    sequences = "select format('alter sequence %s restart', oid::regclass) from pg_class where relkind = 'S' and relnamespace = 'pgstate'::regnamespace"  # fmt: skip
    for (statement,) in database.sql(sequences):
        database.sql(statement)
    assert _numbers(database)[0][1::2] == (None, None, None)
    if first == "migrate":
        migrate.upgrade_dsn(database.dsn())
    database.sql("select pgstate.put('k', '2')", INSTALLER)
    assert database.sql(save.format(2), INSTALLER) == [("ok", True)]
    database.sql("select pgstate.create_agent('two')", INSTALLER)
    seq, drawn, *others = _numbers(database)[0]
    assert seq == drawn and others[::2] == others[1::2]
    assert database.sql("select count(*), count(distinct seq) from pgstate.version") == [(4, 4)]
    # above all that was let go of
    ((version,),) = database.sql("select version from pgstate.put('new', '1')", INSTALLER)
    assert version > 10**10
    # what is in step is left alone
    before = _numbers(database)
    migrate.upgrade_dsn(database.dsn())
    assert _numbers(database) == before


@pytest.mark.thorough
def test_by_logical_replication(new_cluster: Callable[..., Cluster]) -> None:
    cluster = new_cluster(settings={"wal_level": "logical"})
    prepare(cluster)
    old = clone(cluster)
    new = Database(cluster, cluster.create_database(owner=INSTALLER))
    old.sql("select pgstate.put('k' || n, '1') from generate_series(1, 20) n; select pgstate.create_agent('one')", INSTALLER)  # fmt: skip
    old.sql("create publication everything for all tables")
    text = cluster.program("pg_dump", "--schema-only", "--no-publications", "--dbname", old.dsn(SUPERUSER))
    cluster.program("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--dbname", new.dsn(SUPERUSER), stdin=text)  # fmt: skip
    # in one server the slot cannot be made by the subscription, which would wait for itself
    old.sql("select pg_create_logical_replication_slot('ours', 'pgoutput')")
    new.sql(f"create subscription ours connection '{old.dsn(SUPERUSER)}' publication everything with (create_slot = false, slot_name = 'ours')")  # fmt: skip
    old.sql("select pgstate.put('k1', '2'), pgstate.delete('k2')", INSTALLER)
    while new.sql("select 1 from pg_subscription_rel where srsubstate <> 'r'"):
        pass
    while new.sql("select key, version from pgstate.version where version = 2 order by key") != [("k1", 2), ("k2", 2)]:
        pass
    found = {finding.check for finding in asyncio.run(doctor.examine(new.dsn(SUPERUSER)))}
    assert {"restored", "sequences"} <= found
    new.sql("drop subscription ours")
    migrate.upgrade_dsn(new.dsn())
    assert not {"restored", "sequences"} & {
        finding.check for finding in asyncio.run(doctor.examine(new.dsn(SUPERUSER)))
    }
    assert new.sql("select version from pgstate.put('k2', '3')", INSTALLER) == [(3,)]
    new.sql("select pgstate.create_agent('two')", INSTALLER)
    assert new.sql("select count(*), count(distinct seq) from pgstate.version") == [(23, 23)]


@pytest.mark.core
async def test_into_another_database_of_the_same_cluster(
    database: Database, login_name: Callable[[str], str], tmp_path: Path
) -> None:
    estate = await fill(database, login_name)
    restored = Database(database.cluster, database.cluster.create_database(owner=INSTALLER))
    try:
        _parallel(database, restored, tmp_path)
        await goes_on(restored, estate, migrates=False)
        # the first goes on as it was
        assert database.sql("select count(*) from pgstate.changes($1)".replace("$1", f"'{estate.cursors[1]}'"), INSTALLER) > [(9,)]  # fmt: skip
        assert database.sql("select epoch from pgstate.info()", INSTALLER) == [(1,)]
    finally:
        restored.drop()


@pytest.mark.core("every case")
@pytest.mark.parametrize("migrates", first_of([False, True]))
async def test_back_into_the_same_database(
    database: Database, login_name: Callable[[str], str], tmp_path: Path, migrates: bool
) -> None:
    """Nothing tells it by its cluster and its name: what was written since the dump is undone all the same."""
    estate = await fill(database, login_name)
    database.cluster.program("pg_dump", "--format=custom", "--file", str(tmp_path / "dump"), "--dbname", database.dsn(SUPERUSER))  # fmt: skip
    database.sql("select pgstate.put('a/late', '1'), pgstate.put('gone', '2')", INSTALLER)
    ((late,),) = database.sql("select pgstate.cursor()", INSTALLER)
    estate.cursors.append(late)
    options = ("--clean", "--if-exists", "--exit-on-error")
    database.cluster.program("pg_restore", *options, "--dbname", database.dsn(SUPERUSER), str(tmp_path / "dump"))
    await goes_on(database, estate, migrates=migrates)


def test_tokens_from_after_the_dump_never_write(database: Database, tmp_path: Path) -> None:
    """The sequence of tokens has gone back too, and a worker of before may still be there."""
    database.sql("select pgstate.put('t', '1')", INSTALLER)
    dump = str(tmp_path / "dump")
    database.cluster.program("pg_dump", "--format=custom", "--file", dump, "--dbname", database.dsn(SUPERUSER))
    claim = "select token from pgstate.claim('t', '1 hour')"
    ((stale,),) = database.sql(claim, INSTALLER)
    options = ("--clean", "--if-exists", "--exit-on-error", "--dbname", database.dsn(SUPERUSER))
    database.cluster.program("pg_restore", *options, dump)
    ((token,),) = database.sql(claim, INSTALLER)
    assert token > stale
    assert database.sql(f"select status from pgstate.put('t', '2', token => {stale})", INSTALLER) == [("stale",)]
    assert database.sql(f"select status from pgstate.put('t', '3', token => {token})", INSTALLER) == [("ok",)]


@pytest.mark.parametrize("first", ["cursor()", "expire()"])
def test_tokens_from_before_a_promotion_never_write(database: Database, first: str) -> None:
    """Of a standby that had not heard of the last ones: the sequence there is behind."""
    database.sql("select pgstate.put('t', '1')", INSTALLER)
    claim = "select token from pgstate.claim('t', '1 hour')"
    ((stale,),) = database.sql(claim, INSTALLER)
    database.sql("delete from pgstate.claim; select setval('pgstate.claim_token_seq', 1, false)")
    database.sql("update pgstate.install set timeline = '00000000'")
    ((before,),) = database.sql("select epoch from pgstate.install")
    # who reads first does not keep its later writes from looking
    with psycopg.connect(database.dsn(INSTALLER), autocommit=True) as connection:
        connection.execute(f"select pgstate.{first}")
        ((token,),) = connection.execute(claim).fetchall()
    assert token > stale
    assert database.sql(f"select status from pgstate.put('t', '2', token => {stale})", INSTALLER) == [("stale",)]
    assert database.sql("select epoch, timeline > '00000000' from pgstate.install") == [(before, True)]
    # once
    assert database.sql("select nextval('pgstate.claim_token_seq')") == [(token + 1,)]


def test_the_same_dump_twice_into_the_same_database(database: Database, tmp_path: Path) -> None:
    """As a copy for rehearsals is refreshed: what the first copy has come to is undone, and its cursors are refused."""
    database.sql("select pgstate.put('k', '1')", INSTALLER)
    dump = str(tmp_path / "dump")
    database.cluster.program("pg_dump", "--format=custom", "--file", dump, "--dbname", database.dsn(SUPERUSER))
    cursors = []
    for number in (2, 3):
        options = ("--clean", "--if-exists", "--exit-on-error", "--dbname", database.dsn(SUPERUSER))
        database.cluster.program("pg_restore", *options, dump)
        # at another time than the one before: epochs are told apart by the second
        second = "select extract(epoch from clock_timestamp())::int"
        began = database.sql(second)
        while database.sql(second) == began:
            pass
        database.sql(f"select pgstate.put('k', '{number}')", INSTALLER)
        cursors += database.sql("select pgstate.cursor()", INSTALLER)[0]
        for cursor in cursors[:-1]:
            for read in (f"changes('{cursor}')", f"list_as_of(cursor => '{cursor}')"):
                with pytest.raises(psycopg.Error, match="belongs to another history") as caught:
                    database.sql(f"select pgstate.{read}", INSTALLER)
                assert caught.value.sqlstate == "PS021"
    assert database.sql(f"select count(*) from pgstate.changes('{cursors[-1]}')", INSTALLER) == [(1,)]


@pytest.mark.thorough
@pytest.mark.core
async def test_without_a_superuser(
    database: Database, login_name: Callable[[str], str], new_cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    """As the role that installed, once it inherits the rights of the owners, into a schema that they may create in."""
    estate = await fill(database, login_name)
    inherit = "" if database.cluster.major < 16 else " with inherit true"
    granting = f"grant pgstate_owner, pgstate_api to {INSTALLER}{inherit}"
    database.sql(granting, INSTALLER)
    dump = ("--format=custom", "--schema=pgstate", "--schema=public", "--file", str(tmp_path / "dump"))
    database.cluster.program("pg_dump", *dump, "--dbname", database.dsn())
    other = new_cluster(database.cluster.major)
    roles(database.cluster, other)
    restored = Database(other, other.create_database(owner=INSTALLER))
    restored.sql(
        "create schema pgstate; grant usage, create on schema pgstate to pgstate_owner, pgstate_api;"
        "grant usage on schema pgstate to pgstate_agent, pgstate_reader",
        INSTALLER,
    )
    ours = ("--exit-on-error", "--schema=pgstate", "--schema=public")
    other.program("pg_restore", *ours, "--dbname", restored.dsn(), str(tmp_path / "dump"))
    await goes_on(restored, estate, migrates=True)


def test_the_commands_in_the_readme(database: Database, new_cluster: Callable[..., Cluster], tmp_path: Path) -> None:
    database.sql("select pgstate.put('k', '1')", INSTALLER)
    (script,) = [block for block in re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S) if "pg_dumpall" in block]
    other = new_cluster(database.cluster.major)
    for written, meant in (
        ("postgresql://postgres@old.internal/app", database.dsn(SUPERUSER)),
        ("postgresql://postgres@old.internal", database.cluster.dsn()),
        ("postgresql://postgres@new.internal/app", other.dsn("app")),
        ("postgresql://postgres@new.internal", other.dsn()),
        ("postgresql://admin@new.internal/app", other.dsn("app", INSTALLER)),
    ):
        assert written in script
        script = script.replace(written, shlex.quote(meant))
    script = script.replace("--owner admin", f"--owner {INSTALLER}")
    path = f"{database.cluster.bindir}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ex"], input=script, cwd=tmp_path, env={**_postmaster.environment(), "PATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    restored = Database(other, "app")
    assert restored.sql("select (pgstate.get('k')).value, epoch > 1 from pgstate.info()", INSTALLER) == [(1, True)]


@pytest.fixture
def two_majors(request: pytest.FixtureRequest, new_cluster: Callable[..., Cluster]) -> tuple[Cluster, Cluster]:
    """An old server with a migrated database, and an empty new one."""
    old = new_cluster(16)
    prepare(old)
    # what pg_upgrade asks for: as the old one
    return old, new_cluster(18, initdb=("--no-data-checksums",))


@pytest.mark.thorough
async def test_from_16_to_18(
    two_majors: tuple[Cluster, Cluster], login_name: Callable[[str], str], tmp_path: Path
) -> None:
    old, new = two_majors
    database = clone(old)
    estate = await fill(database, login_name)
    roles(old, new)
    restored = Database(new, new.create_database(owner=INSTALLER))
    # the newer program dumps the older server, as PostgreSQL's documentation says
    text = new.program("pg_dump", "--dbname", database.dsn(SUPERUSER))
    new.program("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--dbname", restored.dsn(SUPERUSER), stdin=text)  # fmt: skip
    await goes_on(restored, estate, migrates=True)


def pg_upgrade(old: Cluster, new: Cluster, *options: str) -> str:
    for cluster in (old, new):
        cluster.stop()
    folder = new.home / "upgrade"
    folder.mkdir()
    _postmaster.give(folder, _postmaster.server_uid())
    command: list[Any] = [
        new.bindir / "pg_upgrade", "--old-bindir", old.bindir, "--new-bindir", new.bindir, "--old-datadir", old.data,
        "--new-datadir", new.data, "--username", SUPERUSER, "--no-sync", *options,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env=_postmaster.environment(), capture_output=True, text=True, timeout=300,
        **_postmaster.as_user(_postmaster.server_uid()),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.thorough
@pytest.mark.parametrize("option", ["--copy", "--link"])
async def test_pg_upgrade(two_majors: tuple[Cluster, Cluster], login_name: Callable[[str], str], option: str) -> None:
    old, new = two_majors
    database = clone(old)
    estate = await fill(database, login_name)
    checked = pg_upgrade(old, new, option, "--check")
    assert "Clusters are compatible" in checked
    shutil.rmtree(new.home / "upgrade")
    pg_upgrade(old, new, option)
    new.start()
    upgraded = Database(new, database.name)
    ((relations,),) = upgraded.sql("select count(*) from pg_class where relnamespace = 'pgstate'::regnamespace")
    assert relations > 20
    await goes_on(upgraded, estate, migrates=option == "--link")
    # and it is a database like any other: a revision down and up
    before = upgraded.sql(
        "select key, version, op, value, writer, via, at, expires_at, created, seq from pgstate.versions order by seq",
        INSTALLER,
    )
    with pytest.raises(errors.DataLoss, match=r"threads \(2\), checkpoints \(2\)"):
        await asyncio.to_thread(migrate.downgrade_dsn, upgraded.dsn(), "0002")
    down = functools.partial(migrate.downgrade_dsn, upgraded.dsn(), "0002", data_loss=True)
    assert await asyncio.to_thread(down) == REVISIONS[:1:-1]
    assert await migrate.upgrade_async(upgraded.dsn()) == REVISIONS[2:]
    assert (
        upgraded.sql(
            "select key, version, op, value, writer, via, at, expires_at, created, seq from pgstate.versions order by seq",
            INSTALLER,
        )
        == before
    )
