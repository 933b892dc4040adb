"""list: patterns, pages, and ranges that agree with what a pattern means."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _patterns import KEYS, PATTERNS, matches, some_keys, some_patterns
from conftest import Database
from sql._caller import Caller, MakeAgent


@pytest.mark.core
async def test_a_pattern_finds_what_it_means(root: Caller) -> None:
    await root("put", "zzz", 1)
    await root("delete", "zzz")
    await root.rows("put_many", KEYS, list(range(len(KEYS))))
    for pattern in PATTERNS:
        found = [r["key"] for r in await root.rows("list", pattern)]
        # byte order, whatever the database's own collation
        assert found == sorted(key for key in KEYS if matches(pattern, key)), pattern
    assert "a/b" in [r["key"] for r in await root.rows("list", "a/b/**")]
    assert "a/b-secret" not in [r["key"] for r in await root.rows("list", "a/b/**")]


@pytest.mark.core
async def test_patterns_that_are_none(root: Caller) -> None:
    for pattern in (
        "a//b",
        "/a",
        "a/",
        "a**",
        "**a",
        "a/**b",
        "***",
        "a/../b",
        ".",
        "a b",
        "ä",
        "[a]",
        "x" * 513,
        "a\n",
        None,
    ):
        with pytest.raises(Exception, match="pattern") as caught:
            await root("list", pattern)
        assert caught.value.sqlstate == "PS002", pattern  # type: ignore[attr-defined]
    await root.refuses("PS007", "list('', 0)", "list('', 100001)")
    await root.refuses("PS001", "list('', 1, 'a//b')")


@pytest.mark.core
async def test_pages_join_without_gap_or_overlap(agent: MakeAgent, root: Caller) -> None:
    await root.rows("put_many", KEYS, [1] * len(KEYS))
    # several ranges, one key among them, neighbours of a subtree left out
    alice = await agent("alice", "read a/**", "read b/a", "read x/a/b", "write ~")
    readable = [k for k in sorted(KEYS) if k == "a" or k.startswith("a/") or k in ("b/a", "x/a/b")]
    for caller, pattern, expected in (
        (root, "", sorted(KEYS)),
        (alice, "", readable),
        (alice, "**", readable),
        (alice, "**/b", [k for k in readable if matches("**/b", k)]),
        (alice, "a/b/**", ["a/b", "a/b/c", "a/b/c/d"]),
    ):
        for limit in (1, 2, 3, 100, None):
            found: list[str] = []
            while page := await caller.rows("list", pattern, limit, found[-1] if found else None):
                found += [r["key"] for r in page]
                assert limit is None or len(page) <= limit
                assert len({r["cursor"] for r in page}) == 1
            assert found == expected, (pattern, limit)
    assert [r["key"] for r in await alice.rows("list", "", 10, "a/b-secret")] == readable[
        readable.index("a/b-secret") + 1 :
    ]
    assert [r["key"] for r in await alice.rows("list", "", 2, "a/b/zzz")] == ["a/b0", "a/bb"]


@pytest.mark.core
async def test_a_listing_shows_only_what_may_be_read(agent: MakeAgent, root: Caller) -> None:
    await root.rows("put_many", KEYS, [1] * len(KEYS))
    alice = await agent("alice", "read a/b/**", "write b/**")
    assert [r["key"] for r in await alice.rows("list", "a/**")] == ["a/b", "a/b/c", "a/b/c/d"]
    assert [r["key"] for r in await alice.rows("list", "a/*")] == ["a/b"]
    said = await alice.refuses(
        "PS010", "list('b/**')", "list('b')", "list('nothing/here')", "list('a/b-secret')", "list('c/*')"
    )
    assert len(said) == 1
    nobody = await agent("empty")
    await root("revoke_access", "empty", "memory/{agent}/**", "read")
    assert await nobody.rows("list") == []
    await nobody.refuses("PS010", "list('**')", "list('*')", "list('memory/**')")


async def test_a_listing_carries_the_columns_and_a_cursor(root: Caller) -> None:
    await root("put", "a", {"x": 1}, ttl=None, priority=4)
    (row,) = await root.rows("list")
    listed, entry = dict(row), dict(await root("get", "a"))
    assert listed.pop("cursor") and entry.pop("status") == "ok"
    assert listed == entry
    changes = await root.rows("changes", row["cursor"])
    assert [c["op"] for c in changes] == ["bookmark"]


_CHECK = """
select p.pattern, k.key, pgstate._pattern_ranges(p.pattern) @> k.key,
       k.key ~ coalesce(pgstate._pattern_regex(p.pattern), '')
  from unnest(%s::text[]) p (pattern), unnest(%s::text[]) k (key)
"""
_CHECK_SET = """
select pgstate._patterns_ranges(%s::text[]) @> k.key and k.key ~ coalesce(pgstate._patterns_regex(%s::text[]), '')
  from unnest(%s::text[]) with ordinality k (key, n) order by n
"""


def test_ranges_and_regular_expressions_agree_with_the_meaning(database: Database, superuser_dsn: str) -> None:
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:

        @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.data())
        def check(data: Any) -> None:
            keys = sorted(data.draw(st.lists(some_keys, min_size=3, max_size=8)))
            # what ** may stand for includes nothing: the same keys without their first segments
            keys += [key.split("/", n)[-1] for key in keys for n in (1, 2)]
            patterns = data.draw(st.lists(some_patterns(keys).filter(bool), min_size=1, max_size=6))
            for pattern, key, inside, fits in connection.execute(_CHECK, (patterns, keys)):
                assert (inside and fits) == matches(pattern, key), (pattern, key, inside, fits)
            found = [row[0] for row in connection.execute(_CHECK_SET, (patterns, patterns, keys))]
            assert found == [any(matches(p, key) for p in patterns) for key in keys], (patterns, keys)

        check()
