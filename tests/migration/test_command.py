"""`pgstate migrate` and `pgstate uninstall`: what they say before and after, and what they exit with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from client._cli import ROOT, invoke, lines
from conftest import INSTALLER, Database
from migration._catalogue import REVISIONS, dump, psql
from pgstate import migrate


def test_says_what_it_will_do_and_what_it_did(empty: Callable[[], Database]) -> None:
    database = empty()
    done = invoke("migrate", "--to", "0002", dsn=database.dsn())
    assert (done.code, done.out) == (0, "applied 0001, 0002\n")
    assert done.err.splitlines() == [
        "apply 0001: The blackboard: entries, versions, claims, grants and the change feed.",
        "apply 0002: Reading the past, going back to it, and policies.",
    ]
    again = invoke("migrate", "--to", "0002", dsn=database.dsn())
    assert (again.code, again.out, again.err) == (0, "nothing to do, the schema is at 0002\n", "")
    back = invoke("migrate", "--downgrade", "--to", "0001", "--data-loss", dsn=database.dsn())
    assert (back.code, back.out) == (0, "undid 0002\n")
    assert back.err == "undo 0002: Reading the past, going back to it, and policies.\n"
    (row,) = lines(invoke("migrate", "--json", dsn=database.dsn()).out)
    assert row == {"applied": REVISIONS[1:], "revision": migrate.HEAD}
    (row,) = lines(invoke("migrate", "--downgrade", "--to", "0002", "--json", dsn=database.dsn()).out)
    assert row == {"undone": REVISIONS[:1:-1], "revision": "0002"}


def test_check_and_dry_run_change_nothing(empty: Callable[[], Database]) -> None:
    database = empty()
    before = dump(database)
    checked = invoke("migrate", "--check", dsn=database.dsn())
    assert (checked.code, checked.out) == (1, "pgstate is not installed\n")
    assert f"the database is not at revision {migrate.HEAD}: pgstate migrate brings it there" in checked.err
    would = invoke("migrate", "--dry-run", dsn=database.dsn())
    assert would.code == 0
    assert "apply 0001: The blackboard" in would.out and "Makes the schema pgstate, the roles" in would.out
    assert f"apply {migrate.HEAD}" in would.out
    rows = lines(invoke("migrate", "--dry-run", "--json", dsn=database.dsn()).out)
    assert [(row["revision"], row["down"]) for row in rows] == [(revision, False) for revision in REVISIONS]
    assert dump(database) == before
    migrate.upgrade_dsn(database.dsn())
    before = dump(database)
    assert invoke("migrate", "--check", dsn=database.dsn()).code == 0
    assert lines(invoke("migrate", "--check", "--json", dsn=database.dsn()).out) == [
        {"current": migrate.HEAD, "target": migrate.HEAD, "there": True}
    ]
    assert invoke("migrate", "--check", "--to", "0002", dsn=database.dsn()).code == 1
    assert invoke("migrate", "--dry-run", dsn=database.dsn()).out == f"nothing to do, the schema is at {migrate.HEAD}\n"
    assert (
        f"undo {migrate.HEAD}" in invoke("migrate", "--dry-run", "--downgrade", "--to", "0002", dsn=database.dsn()).out
    )
    assert dump(database) == before


def test_a_dry_run_tells_what_going_back_loses(database: Database) -> None:
    back = ("migrate", "--downgrade", "--to", "0005")
    assert "loses" not in invoke(*back, "--dry-run", dsn=database.dsn()).out
    database.sql("select pgstate.create_agent('alice'); select pgstate.suspend_agent('alice')", INSTALLER)
    before = dump(database)
    refused = invoke(*back, dsn=database.dsn())
    (lost,) = re.findall(r"loses: (.*?)\. Nothing", refused.err)
    assert refused.code != 0 and "suspended agents" in lost
    would = invoke(*back, "--dry-run", dsn=database.dsn())
    assert would.code == 0 and f"  loses: {lost}\n" in would.out
    assert "this is refused without --data-loss" in would.err
    assert "refused" not in invoke(*back, "--dry-run", "--data-loss", dsn=database.dsn()).err
    rows = lines(invoke(*back, "--dry-run", "--json", dsn=database.dsn()).out)
    assert {row["revision"]: row["losses"] for row in rows if row["losses"]} == {"0006": [lost]}
    assert dump(database) == before


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "0001"), f"the schema is at {migrate.HEAD}, after 0001: --downgrade goes back"),
        (("--downgrade",), "--downgrade goes back to a revision: name it with --to"),
        (("--downgrade", "--to", "0999"), "no revision 0999; there are 0001"),
        (("--from", "0001"), "--from goes with --sql"),
        (("--sql", "--from", "0999"), "no revision 0999"),
    ],
)
def test_usage(dsn: str, arguments: tuple[str, ...], said: str) -> None:
    done = invoke("migrate", *arguments, dsn=dsn)
    assert done.code == 2
    assert said in done.err


def test_a_loss_is_an_error_and_a_sentence(database: Database) -> None:
    database.sql("select pgstate.put('a', '1')", INSTALLER)
    done = invoke("migrate", "--downgrade", "--to", "base", dsn=database.dsn())
    assert done.code == 1
    assert f"going back from revision {migrate.HEAD} to base loses: " in done.err
    assert "entries (1), versions (1). Nothing was changed. --data-loss" in done.err
    assert database.sql("select value from pgstate.entries") == [(1,)]


def test_back_is_not_forth(empty: Callable[[], Database]) -> None:
    done = invoke("migrate", "--downgrade", "--to", "0002", dsn=empty().dsn())
    assert (done.code, done.err) == (
        2,
        "error: pgstate is not installed, before 0002: without --downgrade it goes there\n",
    )


@pytest.mark.thorough
def test_scripts_from_one_revision_to_another(empty: Callable[[], Database]) -> None:
    database = empty()
    for arguments, revision in [
        (("--to", "0001"), "0001"),
        (("--from", "0001", "--to", "0002"), "0002"),
        (("--from", "0002"), migrate.HEAD),
        (("--from", migrate.HEAD, "--to", "0002"), "0002"),
        (("--revision", "0002:head"), migrate.HEAD),
        (("--from", "head", "--to", "0001", "--data-loss"), "0001"),
        (("--from", "0001", "--to", "base"), None),
    ]:
        psql(database, invoke("migrate", "--sql", *arguments).out)
        assert migrate.current_dsn(database.dsn()) == revision


def test_uninstalling_needs_a_word(database: Database, login_name: Callable[[str], str]) -> None:
    login = login_name("ana")
    database.sql(f"select pgstate.create_agent('ana', '{login}'), pgstate.put('a', '1')", INSTALLER)
    database.sql("create view public.mine as select key from pgstate.entries")
    shown = invoke("uninstall", dsn=database.dsn())
    assert shown.code == 2
    assert "nothing was removed: --yes does it" in shown.err
    facts = {line[:24].strip(): line[24:].strip() for line in shown.out.splitlines()}
    assert (facts["agents"], facts["entries"], facts["versions"]) == ("2", "1", "1")
    assert facts["logins that stay"] == login
    assert facts["yours, which goes along"] in ("view public.mine", "view mine")
    # the template that tests clone uses them
    assert facts["roles that stay"].startswith("pgstate_agent, pgstate_api, pgstate_owner, pgstate_reader (other")
    assert facts["roles"] == "none"
    assert database.sql("select value from pgstate.entries") == [(1,)]
    (row,) = lines(invoke("uninstall", "--yes", "--json", dsn=database.dsn()).out)
    assert (row["removed"], row["entries"], row["logins"]) == (True, 1, [login])
    assert database.sql("select to_regnamespace('pgstate'), to_regclass('public.mine')") == [(None, None)]
    gone = invoke("uninstall", "--yes", dsn=database.dsn())
    assert gone.code == 1
    assert "this database has no pgstate" in gone.err


def test_alembic_in_a_checkout_tells_where_a_database_is(database: Database) -> None:
    command = [sys.executable, "-m", "alembic", "current"]
    environment = {**os.environ, "PGSTATE_DSN": database.dsn()}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{migrate.HEAD} (head)\n"), done.stderr
