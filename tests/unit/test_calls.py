"""The SQL of the API's functions, which stands in pgstate/_calls alone: each statement fits the schema as it is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

import pgstate
from pgstate._calls import (
    access,
    audit,
    claims,
    encryption,
    feed,
    history,
    policies,
    quarantine,
    runs,
    search,
    threads,
    values,
)

AREAS: list[ModuleType] = [
    access,
    audit,
    claims,
    encryption,
    feed,
    history,
    policies,
    quarantine,
    runs,
    search,
    threads,
    values,
]
DUMMIES: dict[str, Any] = {
    "str": "x", "str | None": None, "int": 1, "int | None": None, "float": 1.0, "bool": True, "timedelta": timedelta(1),
    "UUID | None": uuid4(), "UUID": uuid4(), "bool | None": None, "list[timedelta]": [timedelta(1)], "list[timedelta] | None": None, "datetime | None": None, "list[str]": ["x"], "timedelta | None": None, "list[str] | None": None, "list[int]": [0], "bytes | None": None, "list[bytes]": [b"x"], "list[bytes] | None": None, "list[bytes | None]": [None], "list[str | None]": [None], "list[str | None] | None": None, "list[float] | None": [1.0], "list[list[float]]": [[1.0]], "Sequence[Any]": [None] * 12, "Save": [[], [], [], *[None] * 15], "Sequence[tuple[str, Save]]": [("x", [[], [], [], *[None] * 15])], "list[Sequence[Any] | None]": [None] * 13, "Sequence[Sequence[Any] | None]": [None] * 12,
}  # fmt: skip


class Recorder:
    """In place of a connection: keeps the statement and the number of its arguments."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    async def fetch(self, sql: str, *args: object, timeout: float) -> list[Any]:
        assert timeout == 1.0
        self.sent.append((sql, len(args)))
        raise LookupError


def functions() -> list[Callable[..., Any]]:
    return [
        function
        for area in AREAS
        for _, function in inspect.getmembers(area, inspect.iscoroutinefunction)
        if function.__module__ == area.__name__
    ]


async def statements(function: Callable[..., Any]) -> list[tuple[str, int]]:
    recorder = Recorder()
    arguments = {
        name: recorder if name == "connection" else DUMMIES[parameter.annotation]
        for name, parameter in inspect.signature(function).parameters.items()
    }
    for expire in (False, True) if "expire" in arguments else (None,):
        if expire is not None:
            arguments["expire"] = expire
        with pytest.raises(LookupError):
            await function(**arguments)
    return recorder.sent


@pytest.mark.every_version
async def test_statements_fit_the_schema(admin: asyncpg.Connection) -> None:
    faults = []
    for function in functions():
        for sql, count in await statements(function):
            name = f"{function.__module__.split('.')[-1]}.{function.__name__}"
            try:
                prepared = await admin.prepare(sql)
            except asyncpg.PostgresError as error:
                faults.append((name, str(error)))
                continue
            parameters = [parameter.name for parameter in prepared.get_parameters()]
            columns = [attribute.type.name for attribute in prepared.get_attributes()]
            if len(parameters) != count:
                faults.append((name, f"{count} arguments for {len(parameters)} parameters"))
            if not columns:
                faults.append((name, "no result"))
            # values travel as text, so that codecs of a pool do not matter
            if {"json", "jsonb", "jsonb[]", "json[]"} & {*parameters, *columns}:
                faults.append((name, "JSON that is not text"))
    assert faults == []


async def test_every_function_that_agents_call_is_called(admin: asyncpg.Connection) -> None:
    sent = " ".join([sql for function in functions() for sql, _ in await statements(function)])
    called = set(re.findall(r"pgstate\.(\w+)\(", sent))
    there = {
        row["name"]
        for row in await admin.fetch(
            "select distinct p.proname as name from pg_proc p where p.pronamespace = 'pgstate'::regnamespace "
            "and p.proname !~ '^_' and has_function_privilege('pgstate_agent', p.oid, 'execute') "
            "and not exists (select from pg_type t where t.typtype in ('r', 'm') and t.typname = p.proname)"
        )
    }
    assert called <= there
    # put, merge and so on are what write_one and write_many do; key() and labels() are done by the client; matches()
    # is for SQL; me() is part of info(), wake_lane() of write_and_wake()
    assert there - called == {
        "claim_next", "fail", "put", "put_many", "merge", "merge_many", "delete", "delete_many", "complete", "key", "labels", "matches", "me", "wake_lane", *(there & {"prune"}),
    }  # fmt: skip


def test_sql_of_the_api_is_nowhere_else() -> None:
    package = Path(pgstate.__file__).parent
    found = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"(?i)\b(select|from|perform)\s+pgstate\.[a-z]\w+\s*\(", path.read_text())
        and path.parent.name != "_calls"
    ]
    assert found == []
