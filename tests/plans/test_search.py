"""A search touches what it finds and no more: a small subtree beside a large one, whoever asks."""

from __future__ import annotations

import json

import pytest

from _server import SUPERUSER
from conftest import Database
from sql._caller import Caller, MakeAgent
from sql.test_search import build

SMALL, LARGE = 2_000, 20_000
RATIO, MARGIN = 1.5, 60
CALLS = {
    "words in a small subtree": "search('k/small/**', 'owl')",
    "words that a large subtree has in all entries": "search('k/small/**', 'crow')",
    "a word in few entries, everywhere": "search('', 'rare')",
    "a word in no entry": "search('', 'none')",
    "two words": "search('', 'rare crow')",
    "a phrase": "search('', '\"rare owl\"')",
    "a filter in a small subtree": "search('k/small/**', filter => '{\"n\": {\"$lt\": 10}}')",
    "a filter in a small subtree, newest first": "search('k/small/**', filter => '{\"n\": 3}', \"order\" => 'newest')",
    "a filter in a subtree of many, newest first": "search('k/many/**', filter => '{\"n\": 3}', \"order\" => 'newest')",
    "a page of everything": "search('', \"limit\" => 20)",
    "what waits for vectors": "unembedded('')",
}


async def _buffers(caller: Caller, call: str) -> int:
    for _ in range(3):
        plan = await caller.fetchval(f"explain (analyze, buffers, format json) select * from pgstate.{call}")
    top = json.loads(plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


@pytest.mark.thorough
@pytest.mark.parametrize("grants", [1, 200])
@pytest.mark.parametrize("analyzed", [False, True])
async def test_cost_does_not_grow_with_the_rest(
    root: Caller, agent: MakeAgent, session: MakeAgent, grants: int, analyzed: bool
) -> None:
    caller = await agent("alice", "read k/**", *(f"read more/{n}/**" for n in range(grants - 1)))
    await root("set_search", "k/**")
    await build(root)
    superuser = await session(SUPERUSER)
    small = [f"k/small/{n:02}" for n in range(40)]
    await root.rows("put_many", small, [{"text": "rare owl" if n < 5 else "owl crow", "n": n} for n in range(40)])
    many = [f"k/many/{n:03}" for n in range(900)]
    await root.rows("put_many", many, [{"text": "owl", "n": n} for n in range(900)])
    touched, count = [], 0
    for size in (SMALL, LARGE):
        while count < size:
            # in the order of keys between many and what lies under it
            names = [f"k/many-large/{n // 100:03}/{n:05}" for n in range(count, count + 1000)]
            await root.rows("put_many", names, [{"text": f"crow number {n}", "n": n} for n in range(1000)])
            count += 1000
        await superuser.execute("vacuum" + " analyze" * analyzed)
        touched.append({name: await _buffers(caller, call) for name, call in CALLS.items()})
    grown = {
        name: (touched[0][name], touched[1][name])
        for name in CALLS
        if touched[1][name] > touched[0][name] * RATIO + MARGIN
    }
    assert grown == {}, f"buffers at {SMALL} and {LARGE} entries"


@pytest.mark.parametrize("key", ["format('k/flat/%s', n)", "format('k/deep/%s/%s', n % 100, n)"])
async def test_lists_of_namespaces_cost_what_they_return(root: Caller, session: MakeAgent, key: str) -> None:
    superuser = await session(SUPERUSER)
    patterns = ("", "**", "k/**", "k/deep/**", "k/flat/**", "k/*/**", "k/deep/none/**")
    calls = [f"namespaces('{pattern}')" for pattern in patterns]
    touched, count = [], 0
    for size in (SMALL, 5 * LARGE):
        await superuser.execute(
            "insert into pgstate.entry (key, parent, version, live, value, writer, via, created_at, updated_at)"
            " select k.key, regexp_replace(k.key, '/[^/]*$', ''), 1, true, '1', 'a', 'a', now(), now()"
            f" from generate_series($1::int, $2) n, lateral (select {key} as key) k",
            count,
            size - 1,
        )
        count = size
        await superuser.execute("vacuum analyze pgstate.entry")
        touched.append([await _buffers(root, call) for call in calls])
    grown = {call: (few, many) for call, few, many in zip(calls, *touched, strict=True) if many > few * RATIO + MARGIN}
    assert grown == {}, f"buffers at {SMALL} and {5 * LARGE} entries"


async def test_the_latest_of_a_subtree_in_a_table_that_is_small(root: Caller, session: MakeAgent) -> None:
    superuser = await session(SUPERUSER)
    await root.rows("put_many", [f"k/small/{n:02}" for n in range(20)], [1] * 20)
    touched = []
    for size in (200, 2_000):
        # the first of them are written again
        await root.rows("put_many", [f"k/other/{n:04}" for n in range(size)], ["x" * 200] * size)
        await superuser.execute("vacuum analyze")
        touched.append(await _buffers(root, "search('k/small/**', \"order\" => 'newest')"))
    assert touched[1] < touched[0] * RATIO + MARGIN, f"buffers among 200 and 2,000 entries: {touched}"


async def test_newest_first_of_many_reads_no_values_of_others(
    root: Caller, agent: MakeAgent, session: MakeAgent
) -> None:
    superuser = await session(SUPERUSER)
    alice = await agent("alice", "read k/**")
    await superuser.execute("""
        insert into pgstate.entry (key, parent, version, live, value, writer, via, created_at, updated_at)
        select format('k/%s', n), 'k', 1, true, jsonb_build_object('n', n), 'a', 'a', now(), now() from generate_series(1, 8000) n
        union all
        select format('other/%s', n), 'other', 1, true, jsonb_build_object('n', 3, 'text', text), 'a', 'a', now(), now()
          from generate_series(1, 40) n, lateral (select string_agg(md5((n * i)::text), '') as text from generate_series(1, 500) i) t;
    """)
    await superuser.execute("vacuum analyze pgstate.entry")
    pages = await superuser.fetchval("select pg_relation_size('pgstate.entry') / current_setting('block_size')::int")
    touched = await _buffers(alice, "search('k/**', filter => '{\"n\": 3}', \"order\" => 'newest')")
    assert touched < pages + MARGIN, f"buffers of {pages} pages: {touched}"


@pytest.mark.core
async def test_only_what_a_filter_lets_pass_is_taken_apart_into_words(
    root: Caller, session: MakeAgent, database: Database
) -> None:
    names = [f"k/{n:02}" for n in range(40)]
    await root.rows("put_many", names, [{"text": "owl", "n": n} for n in range(40)])
    database.sql(f"alter database {database.name} set track_functions = 'all'")
    counted = await session()
    taken = "select coalesce(sum(calls), 0) from pg_stat_xact_user_functions where funcname = '_words'"
    for call, count in (("'owl'", 40), ("""'owl', filter => '{"n": {"$lt": 3}}'""", 3)):
        async with counted.transaction():
            before = await counted.fetchval(taken)
            found = await counted.fetch(f"""select key from pgstate.search('k/**', {call}, "limit" => 100)""")
            assert [row["key"] for row in found] == names[:count]
            assert await counted.fetchval(taken) - before == count
