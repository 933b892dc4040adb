"""README's snippets run as they stand."""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

import pgstate
from pgstate.cli import app

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


async def test_sql_snippets(admin: asyncpg.Connection, login_name: Callable[[str], str]) -> None:
    first, access, policies = blocks("sql")
    for name in ("writer_login", "app_server", "ana"):
        access = access.replace(name, login_name(name))
    for script in (first, access, policies):
        for statement in re.split(r";\s*\n", re.sub(r" *--.*", "", script)):
            if statement.strip():
                rows = await admin.fetch(statement)
                assert rows or "changes" in statement
    assert await admin.fetchval("select count(*) from pgstate.versions where key like 'research/%'") == 3


async def run(snippet: str) -> None:
    scope: dict[str, object] = {}
    source = f"async def main():\n{textwrap.indent(snippet, '    ')}"
    # not with this module's postponed annotations
    exec(compile(source, "README.md", "exec", dont_inherit=True), scope)
    await scope["main"]()  # type: ignore[operator]


async def test_python_snippet(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    snippet, _, _ = blocks("python")
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    await run(snippet)
    said = capsys.readouterr().out
    assert "1 {'title': 'owls'}" in said
    assert "research/findings ['hunts at night'] 1 admin" in said
    async with pgstate.connect(dsn) as state:
        assert await state.get("tasks/1") is None


async def test_work_snippet(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _, snippet, _ = blocks("python")
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    async with asyncio.timeout(30):
        await run(snippet)
    assert capsys.readouterr().out == "11 by the loop\n"
    async with pgstate.connect(dsn) as state:
        assert len(await state.list("tasks/done/*")) == 12
        assert await state.claims() == []


async def test_typed_snippet(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, snippet = blocks("python")
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    async with asyncio.timeout(20):
        await run(snippet)
    said = capsys.readouterr().out
    assert "findings=['hunt at night', 'fly without a sound'], steps=2, best=0.5, notes={})" in said
    assert said.endswith("{'topic': FieldChange(old='owls', new='Owls')}\n")


def test_commands_and_names() -> None:
    (listed,) = re.findall(r"In the shell: `pgstate ([^`]+)`", README)
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    names |= {group.name for group in app.registered_groups}
    assert set(listed.split()) <= names
