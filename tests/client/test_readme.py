"""README's snippets run as they stand."""

from __future__ import annotations

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
    first, access = blocks("sql")
    for name in ("writer_login", "app_server", "ana"):
        access = access.replace(name, login_name(name))
    for script in (first, access):
        for statement in re.split(r";\s*\n", re.sub(r" *--.*", "", script)):
            if statement.strip():
                rows = await admin.fetch(statement)
                assert rows or "changes" in statement
    assert await admin.fetchval("select count(*) from pgstate.versions where key like 'research/%'") == 3


async def test_python_snippet(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = blocks("python")
    monkeypatch.setenv("PGSTATE_DSN", dsn)
    scope: dict[str, object] = {}
    exec(f"async def main():\n{textwrap.indent(snippet, '    ')}", scope)
    await scope["main"]()  # type: ignore[operator]
    said = capsys.readouterr().out
    assert "1 {'title': 'owls'}" in said
    assert "research/findings ['hunts at night'] 1 admin" in said
    async with pgstate.connect(dsn) as state:
        assert await state.get("tasks/1") is None


def test_commands_and_names() -> None:
    (listed,) = re.findall(r"In the shell: `pgstate ([^`]+)`", README)
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    names |= {group.name for group in app.registered_groups}
    assert set(listed.split()) <= names
