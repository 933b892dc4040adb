"""README's snippets run as they stand."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
import textwrap
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

import pgstate
import pgstate.sync
from conftest import INSTALLER, Database
from pgstate import _guard
from pgstate.cli import app

ORDERS = "create table orders (id int primary key, item text, status text);"
README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def python(about: str) -> str:
    """The one Python snippet that this is in."""
    (found,) = [block for block in blocks("python") if about in block]
    return found


async def test_sql_snippets(admin: asyncpg.Connection, login_name: Callable[[str], str]) -> None:
    await admin.execute(ORDERS)
    for script in scripts(login_name):
        for statement in re.split(r";\s*\n", re.sub(r" *--.*", "", script)):
            if statement.strip():
                rows = await admin.fetch(statement)
                assert rows or "changes" in statement or statement in ("begin", "commit")
                # what a snippet says holds behind the others too
                assert "min_trust" not in statement or rows[0]["count"] == 0
    assert await admin.fetchval("select count(*) from pgstate.versions where key like 'research/%'") == 5


def scripts(login_name: Callable[[str], str]) -> list[str]:
    """The SQL snippets, with names for roles that no other test uses."""
    found = blocks("sql")
    assert len(found) == 9
    for name in ("writer_login", "app_server", "eve"):
        own = login_name(name)
        found = [script.replace(name, own) for script in found]
    return found


def test_sql_snippets_in_psql(database: Database, login_name: Callable[[str], str]) -> None:
    options = ("--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname", database.dsn())
    said = database.cluster.program("psql", *options, stdin="\n".join([ORDERS, *scripts(login_name)]))
    assert 'bat  | {"order": 8}' in said and "(1 row)" in said


def test_an_analyst_in_one_line(database: Database, login_name: Callable[[str], str]) -> None:
    (line,) = [line for line in README.splitlines() if line.startswith("psql ") and "create_reader" in line]
    reader = login_name("ana")
    program, address, *commands = shlex.split(line.replace("'ana'", f"'{reader}'").replace("ana'", f"{reader}'"))
    assert (program, address) == ("psql", "$PGSTATE_DSN") and commands[2:] == ["-c", f"\\password {reader}"]
    database.sql("select pgstate.put('research/a', '1'), pgstate.put('other', '2')", INSTALLER)
    # psql asks for the password on a terminal, of which there is none
    database.cluster.program("psql", "--no-psqlrc", "--dbname", database.dsn(), *commands[:2])
    (listed,) = re.findall(r"the views `([^`]+)` are theirs", README)
    for view in listed.split():
        database.sql(f"select * from pgstate.{view}", reader)
    assert database.sql("select key from pgstate.entries", reader) == [("research/a",)]


async def run(snippet: str) -> None:
    scope: dict[str, object] = {}
    source = f"async def main():\n{textwrap.indent(snippet, '    ')}"
    # not with this module's postponed annotations
    exec(compile(source, "README.md", "exec", dont_inherit=True), scope)
    await scope["main"]()  # type: ignore[operator]


async def test_python_snippet(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    snippet = blocks("python")[0]
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    await run(snippet)
    said = capsys.readouterr().out
    assert "1 {'title': 'owls'}" in said
    assert "research/findings ['hunts at night'] 1 admin" in said
    async with pgstate.connect(dsn) as state:
        assert await state.get("tasks/1") is None


async def test_credentials_snippet(
    dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    monkeypatch.setattr(_guard, "_resolved", OrderedDict())
    await run(python("credentials=vault"))
    assert capsys.readouterr().out.splitlines() == ["True", "connected with postgresql://app:$CRED{db}@db.internal/app"]


async def test_prompt_snippet(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    await run(python("pgstate.labels("))
    said = capsys.readouterr().out
    assert said.startswith("['role_tokens', 'override_phrases', 'invisible_characters']\n<data-")
    assert "&lt;&#124;im_start&#124;&gt;system" in said


async def test_detector_snippet(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    await run(python("pgstate.Verdict("))
    said = capsys.readouterr().out
    assert '"trust": "external", "labels": ["asks_for_tools"]' in said and "call the tool" in said


async def test_work_snippet(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    snippet = python("state.work(")
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    async with asyncio.timeout(30):
        await run(snippet)
    assert capsys.readouterr().out == "11 by the loop\n"
    async with pgstate.connect(dsn) as state:
        assert len(await state.list("tasks/done/*")) == 12
        assert await state.claims() == []


async def test_threads_snippet(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    snippet = python("state.thread(")
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    await run(snippet)
    latest, point = capsys.readouterr().out.splitlines()
    assert latest.split()[1:] == [point.split()[0], "2"] and "{'step': 1}" in point
    async with pgstate.connect(dsn) as state:
        assert [thread.key for thread in await state.threads()] == ["research/t-2"]


def test_synchronous_runs_snippet(
    dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    snippet = python("state.runs.worker, {")
    exec(compile(snippet, "README.md", "exec", dont_inherit=True), {})
    assert capsys.readouterr().out == "9\n"
    with pgstate.sync.connect(dsn) as state:
        assert [run.result for run in state.runs.list("counts/*")] == [8, 9]


async def test_runs_snippet(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    snippet = python("async with state.run(")
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    for _ in range(2):
        # the second time it is over, and a signal is refused
        await run(
            snippet.replace("    await state.runs.signal", "    if _ == 0: await state.runs.signal").replace(
                "async with", f"_ = {_}\nasync with", 1
            )
        )
        assert capsys.readouterr().out.endswith("approved by ana\n")
    async with pgstate.connect(dsn) as state:
        assert await state.get("research/count", as_=int) is not None
        (report,) = await state.runs.list("research/**")
        assert (report.state, report.steps) == ("done", 5)


async def test_typed_snippet(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    snippet = python("state.typed(")
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    async with asyncio.timeout(20):
        await run(snippet)
    said = capsys.readouterr().out
    assert "findings=['hunt at night', 'fly without a sound'], steps=2, best=0.5, notes={})" in said
    assert said.endswith("{'topic': FieldChange(old='owls', new='Owls')}\n")


async def test_langgraph_snippet(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    snippet = python("PgStateSaver(state, on_conflict")
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    async with asyncio.timeout(20):
        await run(snippet)
    said = capsys.readouterr().out.splitlines()
    assert said == ["{'text': 'owls hunt at night', 'approved': True}", "threads/draft%207 admin"]


async def test_search_snippet(
    superuser_dsn: str, dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    superuser = await asyncpg.connect(superuser_dsn)
    there = await superuser.fetchval("select exists (select from pg_available_extensions where name = 'vector')")
    if there:
        await superuser.execute("create extension vector")
    await superuser.close()
    if not there:
        pytest.skip("this PostgreSQL has no pgvector")
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    await run(python("Embedding("))
    key, score, words, distance = capsys.readouterr().out.split()
    assert (key, score.startswith("0.0")) == ("memory/ana/1", True)
    assert float(words) > 0 and float(distance) >= 0
    await run(python("PgStateStore("))
    assert capsys.readouterr().out == "[(2, 4), (1, 3)]\na bag of beef\n"


async def test_transactions_snippet(
    dsn: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    snippet = python("pgstate.orm.put(")
    await admin.execute(ORDERS)
    own = dsn.replace("postgresql://", "postgresql+asyncpg://")
    async with asyncio.timeout(20):
        await run(snippet.replace("postgresql+asyncpg://app@db.internal/app", own) + "\nawait engine.dispose()\n")
    assert capsys.readouterr().out == "['owl']\n"
    assert await admin.fetchval("select status from orders") == "shipped"
    assert await admin.fetchval("select count(*) from pgstate.entries where key like 'tasks/%'") == 0


@pytest.mark.thorough
def test_the_tests_snippet(tmp_path: Path) -> None:
    conftest, test = python("pytest_plugins"), python("pgstate_clock")
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_commands_and_names() -> None:
    (listed,) = re.findall(r"In the shell: `pgstate ([^`]+)`", README)
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    names |= {group.name for group in app.registered_groups}
    assert set(listed.split()) == names
