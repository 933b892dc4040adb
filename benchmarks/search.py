"""Search beside the same queries by hand on one plain table with the same indexes: `python -m benchmarks.search`."""

from __future__ import annotations

import json
import math
import random
from contextlib import AsyncExitStack

import asyncpg

import pgstate
from benchmarks._measure import Comparison, Effort, compare
from benchmarks._run import run
from benchmarks._server import AREAS, Server
from benchmarks._table import Report
from pgstate import Embedding, State

_ALL, _QUICK = 100_000, 10_000
_SMALL = 100  # entries of the small subtree
_FOLDER = 1000
_BATCH = 1000
_DIMS = 64
_WORDS = 5000

_RAW = f"""
create table public.raw (
  key text collate "C" primary key, value jsonb not null, words tsvector not null, vector public.vector({_DIMS}));
"""
_RAW_FILL = """
insert into public.raw (key, value, words, vector)
select k, v::jsonb, jsonb_to_tsvector('english', v::jsonb, '["string", "numeric"]'), e::public.vector
  from unnest($1::text[], $2::text[], $3::text[]) as u (k, v, e)
"""
_RAW_TEXT = """
select key, value, ts_rank_cd(words, q) as rank
  from public.raw, websearch_to_tsquery('english', $1) q
 where words @@ q and key >= $2 and key < $3 order by rank desc, key limit 10
"""
# of a jsonpath, or of @>, the planner knows how many rows pass less well, and sorts all that there are
_RAW_FILTER = """
select key, value from public.raw
 where key >= $1 and key < $2 and value -> 'n' = '7' order by key limit 10
"""
_RAW_VECTOR = """
select key, value, vector operator(public.<=>) $1::text::public.vector as distance
  from public.raw order by vector operator(public.<=>) $1::text::public.vector limit 10
"""
_RAW_HYBRID = """
with worded as (
  select key, row_number() over (order by ts_rank_cd(words, q) desc, key) as place
    from public.raw, websearch_to_tsquery('english', $1) q where words @@ q order by place limit 200
), near as (
  select key, row_number() over () as place
    from (select key from public.raw order by vector operator(public.<=>) $2::text::public.vector limit 200) n
)
select r.key, r.value, f.score
  from (select coalesce(w.key, n.key) as key,
               coalesce(1.0 / (60 + w.place), 0) + coalesce(1.0 / (60 + n.place), 0) as score
          from worded w full join near n using (key) order by score desc, key limit 10) f
  join public.raw r using (key) order by f.score desc, key
"""


async def measure(server: Server, quick: bool) -> Report:
    """Words, filters, vectors and both, in all entries and in a small subtree beside them."""
    effort = Effort(3, 0.5) if quick else Effort(7, 1.0)
    count = _QUICK if quick else _ALL
    report = Report(f"search: {count:,} entries of 24 words, and a subtree of {_SMALL}", "by hand, one table")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(server.database())
        actor = await database.agent("agent", [*(f"{subtree}/**" for subtree in AREAS), "docs/**"])
        raw = await asyncpg.connect(database.dsn)
        stack.push_async_callback(raw.close)
        await raw.execute("create extension vector")
        embedding = Embedding(lambda texts: [_vector(text) for text in texts], "random", batch=_BATCH)
        admin = await stack.enter_async_context(pgstate.connect(database.dsn, timeout=600, embed=embedding))
        state = await stack.enter_async_context(pgstate.connect(actor.dsn, agent=actor.name))
        await _fill(admin, raw, count)
        await raw.execute("vacuum analyze")
        # as widely as ours does by itself (sql/functions/search/_nearest_indexed.sql); for 200 of each kind by 200
        width = max(40, round(0.6 * math.sqrt(count)))
        near = await asyncpg.connect(database.dsn)
        stack.push_async_callback(near.close)
        for connection, widely in ((near, width), (raw, max(width, 200))):
            await connection.execute(f"set plan_cache_mode = force_custom_plan; set hnsw.ef_search = {widely}")
        await server.settle()
        comparisons = _comparisons(state, raw, near, count)
        await compare(comparisons, effort)
        sizes = await raw.fetch(
            "select c.relname, pg_total_relation_size(c.oid) / 1000000 as mb from pg_class c"
            " where c.oid in ('pgstate.search_doc'::regclass, 'public.raw'::regclass, 'pgstate.embedding'::regclass)"
        )
    for comparison in comparisons:
        report.add(comparison)
    report.notes.append(
        f"{effort}. As an agent with {len(AREAS) + 1} granted subtrees; by hand as the table's owner, without any "
        "check, on a connection of its own, with GIN on the words and HNSW on vectors "
        f"of {_DIMS} dimensions (ef_search {width}, as ours; for hybrid {max(width, 200)}). "
        "With indexes, in MB: " + ", ".join(f"{row['relname']} {row['mb']}" for row in sizes)
    )
    return report


def _vector(text: str) -> list[float]:
    """A direction for a text: near that of no other."""
    chance = random.Random(text)
    return [round(chance.gauss(0, 1), 4) for _ in range(_DIMS)]


async def _fill(admin: State, raw: asyncpg.Connection, count: int) -> None:
    """The same entries on both sides: words by Zipf's law, and in one of a hundred a word that ten have."""
    chance = random.Random(7)
    words = [f"word{n}" for n in range(_WORDS)]
    weights = [1 / (n + 1) for n in range(_WORDS)]
    await admin.create_vectors("bench", _DIMS)
    await admin.set_search("docs/**", vectors="bench", vector_fields=["text"])
    while (await admin.maintain()).more:
        pass
    await raw.execute(_RAW)
    keys = [f"docs/small/{n:05d}" for n in range(_SMALL)]
    keys += [f"docs/large/{n // _FOLDER:04d}/{n:06d}" for n in range(count)]
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        values = [
            {
                "title": " ".join(chance.choices(words, weights, k=4))
                + (f" rare{start // 1000}" if n % 100 == 0 else ""),
                "text": " ".join(chance.choices(words, weights, k=20)),
                "n": n,
            }
            for n in range(len(batch))
        ]
        await admin.put_many(zip(batch, values, strict=True))
        # the client does some of them by itself
        while await admin.unembedded("docs/**", limit=1):
            await admin.embed("docs/**")
        texts = [json.dumps(value) for value in values]
        await raw.execute(_RAW_FILL, batch, texts, [str(_vector(str(value["text"]))) for value in values])
    await raw.execute(
        "create index on public.raw using gin (words);"
        "create index on public.raw using hnsw (vector public.vector_cosine_ops)"
    )


def _comparisons(state: State, raw: asyncpg.Connection, near: asyncpg.Connection, count: int) -> list[Comparison]:
    everything, small = ("docs/", "docs0"), ("docs/small/", "docs/small0")
    rare = [f"rare{n}" for n in range(count // 1000)]
    queries = [_vector(f"query {n}") for n in range(100)]

    def words(label: str, pattern: str, query: list[str], span: tuple[str, str], wanted: float | None) -> Comparison:
        return Comparison(
            label,
            lambda n: state.search(pattern, query[n % len(query)], mode="text"),
            lambda n: raw.fetch(_RAW_TEXT, query[n % len(query)], *span),
            1,
            wanted,
        )

    return [
        words("a word in 10 entries", "docs/**", rare, everything, None),
        words("two words, one in 10 entries", "docs/**", [f"{word} or word4000" for word in rare], everything, None),
        words("a word in 1 % of the entries", "docs/**", ["word200", "word201", "word202"], everything, None),
        words("a word in half of the entries", "docs/**", ["word2"], everything, None),
        words("the same in the small subtree", "docs/small/**", ["word2"], small, None),
        Comparison(
            "a filter in the small subtree",
            lambda n: state.search("docs/small/**", filter={"n": 7}),
            lambda n: raw.fetch(_RAW_FILTER, *small),
        ),
        Comparison(
            "a filter that 0.1 % pass",
            lambda n: state.search("docs/large/**", filter={"n": 7}),
            lambda n: raw.fetch(_RAW_FILTER, "docs/large/", "docs/large0"),
        ),
        Comparison(
            "a vector",
            lambda n: state.search("docs/**", vector=queries[n % 100]),
            lambda n: near.fetch(_RAW_VECTOR, str(queries[n % 100])),
        ),
        Comparison(
            "hybrid",
            lambda n: state.search("docs/**", rare[n % len(rare)], vector=queries[n % 100]),
            lambda n: raw.fetch(_RAW_HYBRID, rare[n % len(rare)], str(queries[n % 100])),
        ),
    ]


if __name__ == "__main__":
    run([measure], __doc__)
