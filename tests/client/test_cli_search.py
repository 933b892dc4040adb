"""search and namespaces, in the shell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import pgstate
from client._cli import Result, invoke


@pytest.fixture
def pg(dsn: str) -> Callable[..., Result]:
    async def fill() -> None:
        async with pgstate.connect(dsn) as state:
            for n in (2, 0, 3, 1):
                await state.put(f"docs/{n % 2}/{n}", {"n": n, "text": "words"})

    asyncio.run(fill())
    return lambda *args, **more: invoke(*args, dsn=dsn, **more)


def keys(result: Result) -> list[str]:
    assert result.code == 0, result
    return [line.split("\t")[0] for line in result.out.splitlines()]


def test_pages_and_order(pg: Callable[..., Result]) -> None:
    newest = ["docs/1/1", "docs/1/3", "docs/0/0", "docs/0/2"]
    assert keys(pg("search", "docs/**", "--order", "newest")) == newest
    first = pg("search", "docs/**", "--order", "newest", "--limit", "2")
    assert keys(first) == newest[:2]
    assert "--offset 2" in first.err
    assert keys(pg("search", "docs/**", "--order", "newest", "--offset", "2", "--filter", '{"n": {"$gt": 0}}')) == [
        "docs/0/2"
    ]
    assert keys(pg("search", "docs/**", "--offset", "3")) == ["docs/1/3"]
    assert keys(pg("search", "docs/**", "words", "--offset", "3")) == ["docs/1/3"]
    wrong = pg("search", "docs/**", "--order", "oldest")
    assert wrong.code == 2 and "newest" in wrong.err


def test_namespaces(pg: Callable[..., Result]) -> None:
    assert keys(pg("namespaces")) == ["docs/0", "docs/1"]
    assert keys(pg("namespaces", "docs/**", "--matching", "**/1")) == ["docs/1"]
    assert keys(pg("namespaces", "--depth", "1")) == ["docs"]
    one = pg("namespaces", "--limit", "1", "--offset", "1")
    assert keys(one) == ["docs/1"]
    assert "--offset 2" in one.err
    assert keys(pg("namespaces", "none/**")) == []
