"""Search by vectors that the application computes: with pgvector and without, exact and by its indexes."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from _cases import first_of
from _server import SUPERUSER, Cluster
from _sync import wait_until_blocked
from conftest import Clock, Database
from sql._caller import Caller, MakeAgent, refused, seconds
from sql.test_search import build, keys

MakeVectors = Callable[..., Awaitable[None]]


@pytest.fixture
async def inside(session: MakeAgent) -> Caller:
    """A superuser, who sees the index."""
    return await session(SUPERUSER)


@pytest.fixture
def pgvector(cluster: Cluster, database: Database) -> None:
    """pgvector in this test's database, where this server has it."""
    if not cluster.sql("select 1 from pg_available_extensions where name = 'vector'"):
        pytest.skip("this PostgreSQL has no pgvector")
    database.sql("create extension vector")


async def embed(caller: Caller, vectors: dict[str, list[list[float]]], model: str = "toy") -> dict[str, str]:
    """Stores vectors of entries that wait for them."""
    digests = {row["key"]: row["digest"] for row in await caller.rows("unembedded", "", 10000)}
    rows = [(key, chunk, vector) for key, given in vectors.items() for chunk, vector in enumerate(given)]
    stored = await caller.rows(
        "set_vectors",
        [r[0] for r in rows],
        [digests.get(r[0], "none") for r in rows],
        [r[1] for r in rows],
        [r[2] for r in rows],
        model,
    )
    return {row["key"]: row["status"] for row in stored}


async def nearest(caller: Caller, vector: list[float], pattern: str = "", **named: Any) -> list[str]:
    return [row["key"] for row in await caller.rows("search", pattern, vector=vector, **named)]


async def waiting(caller: Caller, pattern: str = "") -> dict[str, list[str]]:
    return {row["key"]: row["texts"] for row in await caller.rows("unembedded", pattern)}


@pytest.mark.core
async def test_without_pgvector_everything_else_works(root: Caller) -> None:
    with refused("PS050") as caught:
        await root("create_vectors", "v", 3, "toy")
    assert "create extension vector" in (caught.value.hint or "")
    await root("set_search", "k/**")
    await root("put", "k/1", "owl")
    assert await keys(root, "k/**", "owl") == ["k/1"]
    assert await keys(root, "k/**", "owl", vector=[1.0, 0.0]) == ["k/1"]
    assert await root.rows("vectors") == await root.rows("unembedded") == []
    await root.refuses("PS007", "search('k/**', vector => '{1,0}')", "set_search('k/**', vectors => 'v')")


@pytest.mark.core("every case")
@pytest.mark.usefixtures("pgvector")
@pytest.mark.parametrize("schema", ["public", "ext", "Hid den"])
async def test_pgvector_in_any_schema(root: Caller, inside: Caller, schema: str) -> None:
    if schema != "public":
        await inside.execute(f'create schema "{schema}"; alter extension vector set schema "{schema}"')
        with refused("PS050") as caught:
            await root("create_vectors", "v", 3, "toy")
        assert "grant usage on schema" in (caught.value.hint or "")
        await inside.execute(f'grant usage on schema "{schema}" to pgstate_owner')
    await root("create_vectors", "v", 3, "toy")
    await root("set_search", "k/**", vectors="v")
    await root.rows("put_many", ["k/1", "k/2"], ["one", "two"])
    assert await embed(root, {"k/1": [[1, 0, 0]], "k/2": [[0, 1, 0]]}) == {"k/1": "ok", "k/2": "ok"}
    assert await nearest(root, [0, 1, 0.1]) == ["k/2", "k/1"]


@pytest.mark.core
@pytest.mark.usefixtures("pgvector")
async def test_the_index_comes_back_after_the_extension(root: Caller, inside: Caller) -> None:
    await root("create_vectors", "v", 3, "toy")
    await root("set_search", "k/**", vectors="v")
    await root("put", "k/1", "one")
    await embed(root, {"k/1": [[1, 0, 0]]})
    await inside.execute("drop extension vector cascade")
    await root.refuses("PS050", "search('k/**', vector => '{1,0,0}')", "search('k/**', 'one', vector => '{1,0,0}')")
    assert await keys(root, "k/**", "one") == ["k/1"]
    await root("put", "k/2", "two")
    await inside.execute("create extension vector")
    indexes = "select count(*) from pg_indexes where indexdef like '%hnsw%'"
    assert await inside.fetchval(indexes) == 0
    assert await nearest(root, [1, 0, 0]) == ["k/1"]
    await root("create_vectors", "v", 3, "toy")
    assert await inside.fetchval(indexes) == 1
    await root("create_vectors", "v", 3, "toy")
    await root.refuses(
        "PS007",
        "create_vectors('v', 4, 'toy')",
        "create_vectors('v', 3, 'other')",
        "create_vectors('v', 3, 'toy', 'l2')",
    )


@pytest.mark.core("every case")
@pytest.mark.usefixtures("pgvector")
@pytest.mark.parametrize("distance", first_of(["cosine", "l2", "inner_product"], 2))
@pytest.mark.parametrize("dims", first_of([3, 2001, 4001], 2))
async def test_distances_and_dimensions(root: Caller, distance: str, dims: int) -> None:
    if dims > 4000:
        await root.refuses(
            "PS007", f"create_vectors('v', {dims}, 'toy')", f"create_vectors('v', {dims}, 'toy', method => 'ivfflat')"
        )
    await root.refuses(
        "PS007", f"create_vectors('v', {dims + 2000}, 'toy', type => 'vector')"
    ) if dims == 2001 else None
    await root("create_vectors", "v", dims, "toy", distance, "exact" if dims > 4000 else "hnsw")
    (index,) = await root.rows("vectors")
    assert index["type"] == ("vector" if dims == 3 else "halfvec")
    await root("set_search", "k/**", vectors="v")
    pad = [0.0] * (dims - 3)
    vectors = {"k/1": [2, 0, 0], "k/2": [0.5, 0.5, 0], "k/3": [0, 0, 1], "k/4": [-1, 0.5, 0]}
    await root.rows("put_many", list(vectors), list(vectors))
    await embed(root, {key: [[*vector, *pad]] for key, vector in vectors.items()})
    query = [1.0, 0.25, 0.0]

    def score(vector: list[float]) -> float:
        dot = sum(a * b for a, b in zip(query, vector, strict=True))
        if distance == "inner_product":
            return dot
        return dot / math.hypot(*query) / math.hypot(*vector) if distance == "cosine" else -math.dist(query, vector)

    rows = await root.rows("search", vector=[*query, *pad])
    assert [row["key"] for row in rows] == sorted(vectors, key=lambda key: -score(vectors[key]))
    for row in rows:
        assert row["score"] == pytest.approx(score(vectors[row["key"]]), abs=2e-3 if dims > 3 else 1e-6)


@pytest.mark.core
@pytest.mark.usefixtures("pgvector")
async def test_vectors_are_of_the_text_as_it_is(root: Caller, clock: Clock) -> None:
    await root("create_vectors", "v", 3, "toy")
    await root("set_search", "k/**", vectors="v", vector_fields=["title", "tags[*]"])
    one = {"title": "one", "tags": ["a", "b"], "n": 1}
    await root.rows("put_many", ["k/1", "k/2", "k/none"], [one, {"title": "two"}, {"n": 5}])
    assert await waiting(root) == {"k/1": ["one", "a", "b"], "k/2": ["two"]}
    x, y, z = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
    await root.refuses(
        "PS007",
        "set_vectors(array['k/2', 'k/2'], array_fill((select digest from pgstate.unembedded('k/2')), array[2]), '{0,1}', '{{1,0,0},{1,0,0}}', 'toy')",
    )
    assert await embed(root, {"k/1": [x, y, z], "k/2": [x], "k/none": [x]}) == {
        "k/1": "ok",
        "k/2": "ok",
        "k/none": "stale",
    }
    # of several the nearest counts, and the entry comes once
    assert await nearest(root, y) == ["k/1", "k/2"]
    # another version of the same text keeps them
    await root("put", "k/1", {**one, "n": 2})
    assert await waiting(root) == {}
    assert (await root.rows("search", vector=z))[0]["version"] == 2
    # fewer texts: none is left over
    await root("put", "k/1", {"title": "one", "tags": ["a"]})
    assert await nearest(root, z) == ["k/2"]
    assert await waiting(root) == {"k/1": ["one", "a"]}
    await embed(root, {"k/1": [y, y]})
    assert [(row["key"], row["score"]) for row in await root.rows("search", vector=z)] == [("k/1", 0), ("k/2", 0)]
    await root("merge", "k/2", {"title": "other"}, "merge")
    assert await nearest(root, x) == ["k/1"]
    await root("put", "k/1", {"n": 1})
    assert await nearest(root, x) == []
    assert await waiting(root) == {"k/2": ["other"]}
    await embed(root, {"k/2": [x]})
    await root("put", "k/2", {"title": "other"}, ttl=seconds(10))
    assert await nearest(root, x) == ["k/2"]
    await clock.advance(11)
    assert await nearest(root, x) == []
    await root("put", "k/2", {"title": "other"})
    await root("delete", "k/2")
    assert await nearest(root, x) == []
    assert await waiting(root) == {}
    await root("put", "k/2", {"title": "other"})
    assert await waiting(root) == {"k/2": ["other"]}


@pytest.mark.core
@pytest.mark.usefixtures("pgvector")
async def test_what_waits_is_listed_in_key_order(root: Caller, agent: MakeAgent, inside: Caller) -> None:
    await root("create_vectors", "v", 3, "toy")
    await root("set_search", "**", vectors="v")
    names = [f"{folder}/{n:03}" for folder in ("a", "b", "c") for n in range(200)]
    await root.rows("put_many", names, ["text"] * 600)
    alice = await agent("alice", "read a/**", "write a/**", "read b/**", "read c/**", "write c/**")
    for analyzed in (False, True):
        if analyzed:
            await inside.execute("analyze")
        found: list[str] = []
        while page := await alice.rows("unembedded", "", 70, found[-1] if found else None):
            found += [row["key"] for row in page]
        # of what it may only read it is not asked
        assert found == [name for name in names if name[0] != "b"]


@pytest.mark.core
@pytest.mark.usefixtures("pgvector")
async def test_vectors_that_come_too_late_are_not_stored(root: Caller, session: MakeAgent, inside: Caller) -> None:
    await root("create_vectors", "v", 3, "toy")
    await root("set_search", "k/**", vectors="v")
    await root("put", "k/1", "old")
    (row,) = await root.rows("unembedded")
    arguments = (["k/1"], [row["digest"]], [0], [[1.0, 0.0, 0.0]], "toy")
    await root("put", "k/1", "new")
    assert (await root("set_vectors", *arguments))["status"] == "stale"
    await root("put", "k/1", "old")
    # a writer under way is waited for, and then it is decided
    writer = await session()
    transaction = writer.transaction()
    await transaction.start()
    await writer("put", "k/1", "newer")
    late = asyncio.create_task(root("set_vectors", *arguments))
    await wait_until_blocked(inside.connection, root.pid)
    await transaction.commit()
    assert (await late)["status"] == "stale"
    assert await nearest(root, [1, 0, 0]) == []
    # and a writer that comes while vectors are stored takes them away again
    await root("put", "k/1", "old")
    storing = writer.transaction()
    await storing.start()
    assert (await writer("set_vectors", *arguments))["status"] == "ok"
    write = asyncio.create_task(root("put", "k/1", "newest"))
    await wait_until_blocked(inside.connection, root.pid)
    await storing.commit()
    await write
    assert await inside.fetchval("select count(*) from pgstate.embedding") == 0
    assert await waiting(root) == {"k/1": ["newest"]}


@pytest.mark.core
@pytest.mark.usefixtures("pgvector")
async def test_two_models_are_never_mixed(root: Caller) -> None:
    await root("create_vectors", "v", 3, "toy")
    await root("create_vectors", "w", 2, "other")
    await root("set_search", "k/**", vectors="v")
    await root("set_search", "m/**", vectors="w")
    await root.rows("put_many", ["k/1", "m/1"], ["one", "two"])
    (row,) = await root.rows("unembedded", "k/**")
    with refused("PS007") as caught:
        await root("set_vectors", ["k/1"], [row["digest"]], [0], [[1.0, 0.0, 0.0]], "other")
    assert "toy" in str(caught.value) and "other" in str(caught.value)
    for vector in ([1.0, 0.0], [0.0, 0.0, 0.0], [1.0, math.nan, 0.0], [1.0, math.inf, 0.0]):
        with refused("PS007"):
            await root("set_vectors", ["k/1"], [row["digest"]], [0], [vector], "toy")
    await embed(root, {"k/1": [[1, 0, 0]]})
    await embed(root, {"m/1": [[0, 1]]}, "other")
    await root.refuses(
        "PS007",
        "search('', vector => '{1,0,0}')", "search('k/**', vector => '{1,0,0}', model => 'other')", "search('k/**', vector => '{1,0}')",
        "search('k/**', vector => '{0,0,0}')", "search('k/**', vector => '{1,NaN,0}')", "search('k/**', vector => '{1,null,0}')",
        "search('k/**', vector => '{{1,0,0}}')", "search('', vector => '{1,0}', vectors => 'v')", "drop_vectors('v')", "drop_vectors('none')",
    )  # fmt: skip
    assert await nearest(root, [1, 0, 0], model="toy") == ["k/1"]
    assert await nearest(root, [0, 1], vectors="w") == ["m/1"]
    # to another model: what was embedded counts no more, once it is built
    await root("set_search", "k/**", vectors="w")
    await build(root)
    assert await waiting(root) == {"k/1": ["one"]}
    await embed(root, {"k/1": [[1, 0]]}, "other")
    assert await nearest(root, [1, 0]) == ["k/1", "m/1"]
    await root("drop_vectors", "v")
    assert [row["name"] for row in await root.rows("vectors")] == ["w"]


@pytest.mark.core
@pytest.mark.usefixtures("pgvector")
async def test_hybrid_is_the_sum_of_reciprocal_ranks(root: Caller) -> None:
    await root("create_vectors", "v", 2, "toy")
    await root("set_search", "k/**", vectors="v")
    texts = {"k/a": "owl owl", "k/b": "owl", "k/c": "crow", "k/d": "owl", "k/e": "eagle"}
    await root.rows("put_many", list(texts), [{"text": text, "n": n} for n, text in enumerate(texts.values())])
    assert await keys(root, "k/**", "owl", vector=[1.0, 0.0]) == ["k/a", "k/b", "k/d"]  # no vectors yet
    await embed(root, {"k/a": [[0, 1]], "k/b": [[1, 0]], "k/c": [[1, 0.1]], "k/e": [[-1, 0]]})
    rows = await root.rows("search", "k/**", "owl", vector=[1.0, 0.0])
    assert {row["key"]: row["score"] for row in rows} == pytest.approx(
        {"k/b": 1 / 62 + 1 / 61, "k/a": 1 / 61 + 1 / 63, "k/c": 1 / 62, "k/d": 1 / 63, "k/e": 1 / 64}
    )
    assert [row["key"] for row in rows] == ["k/b", "k/a", "k/c", "k/d", "k/e"]
    found = {row["key"]: (row["text_rank"], row["distance"]) for row in rows}
    assert found["k/c"][0] is None and found["k/d"][1] is None and None not in found["k/b"]
    # what the filter leaves out takes no rank
    rows = await root.rows("search", "k/**", "owl", {"n": {"$ne": 1}}, vector=[1.0, 0.0])
    assert {row["key"]: row["score"] for row in rows} == pytest.approx(
        {"k/a": 1 / 61 + 1 / 62, "k/c": 1 / 61, "k/d": 1 / 62, "k/e": 1 / 63}
    )
    assert await keys(root, "k/**", "owl", vector=[1.0, 0.0], mode="text") == ["k/a", "k/b", "k/d"]
    assert await keys(root, "k/**", "owl", vector=[1.0, 0.0], mode="vector") == ["k/b", "k/c", "k/a", "k/e"]


@pytest.fixture
async def many(pgvector: None, root: Caller, inside: Caller) -> MakeVectors:
    """`await many(count, folder, method)`: entries with vectors, more than are compared one by one."""

    async def make(counts: dict[str, int], method: str = "hnsw") -> None:
        await root("create_vectors", "v", 4, "toy", "l2", method, None, {"lists": 20} if method == "ivfflat" else None)
        await root("set_search", "k/**", vectors="v")
        await build(root)
        chance = random.Random(1)
        for folder, count in counts.items():
            for start in range(0, count, 1000):
                names = [f"{folder}/{n:05}" for n in range(start, min(start + 1000, count))]
                await root.rows("put_many", names, [{"text": f"owl {n}", "n": n % 100} for n in range(len(names))])
                rows = await root.rows("unembedded", f"{folder}/**", 1000)
                vectors = [[chance.random() for _ in range(4)] for _ in rows]
                await root.rows(
                    "set_vectors",
                    [r["key"] for r in rows],
                    [r["digest"] for r in rows],
                    [0] * len(rows),
                    vectors,
                    "toy",
                )
        if method == "ivfflat":
            await inside.execute("reindex index pgstate.embedding_1_idx")
        await inside.execute("analyze")

    return make


async def by_hand(inside: Caller, vector: list[float], like: str, more: str = "true") -> list[str]:
    rows = await inside.fetch(
        "select m.key from pgstate.embedding m join pgstate.entry e using (key) where m.key like $2 and " + more
        + " order by m.vector::public.vector(4) operator(public.<->) $1::real[]::public.vector(4), m.key",
        vector, like,
    )  # fmt: skip
    return [row["key"] for row in rows]


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["hnsw", "ivfflat", "exact"])
async def test_small_subtrees_beside_large_ones(many: MakeVectors, root: Caller, inside: Caller, method: str) -> None:
    await many({"k/large": 6000, "k/small": 12}, method)
    query = [0.5, 0.5, 0.5, 0.5]
    for pattern in ("k/small/**", "k/s*/*", "k/**/0000?"):
        expected = await by_hand(inside, query, "k/small/%")
        found = await nearest(root, query, pattern, limit=100)
        assert [key for key in found if "small" in key] == [
            key for key in expected if pattern != "k/**/0000?" or key[-2] == "0"
        ]
    # a filter that hardly anything passes, too
    rare = "(e.value ->> 'n') = '7'"
    assert await nearest(root, query, "k/**", filter={"n": 7}, limit=1000) == await by_hand(inside, query, "k/%", rare)


@pytest.mark.parametrize(
    ("method", "count"), [("exact", 200), ("hnsw", 200), pytest.param("hnsw", 2500, marks=pytest.mark.thorough)]
)
async def test_the_nearest_may_have_expired(
    many: MakeVectors, root: Caller, inside: Caller, method: str, count: int
) -> None:
    """Their vectors are there until somebody clears up, and take no place."""
    await many({"k/some": count}, method)
    query = [0.5, 0.5, 0.5, 0.5]
    expected = await by_hand(inside, query, "k/%")
    gone = expected[:25] + expected[30:60]
    await inside.execute(
        "update pgstate.entry set expires_at = pgstate._now() - interval '1 s' where key = any ($1::text[])", gone
    )
    left = [key for key in expected if key not in gone]
    assert await nearest(root, query, "k/**", limit=10) == left[:10]
    assert await nearest(root, query, "k/**", limit=10, offset=10) == left[10:20]


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["ivfflat", "hnsw"])
async def test_pages_go_on_beyond_what_the_index_searches_at_once(
    many: MakeVectors, root: Caller, inside: Caller, method: str
) -> None:
    await many({"k/large": 5500}, method)
    query = [0.1, 0.9, 0.5, 0.5]
    settings = "select current_setting('hnsw.iterative_scan') || current_setting('hnsw.ef_search') || current_setting('ivfflat.probes')"
    before = await root.fetchval(settings)
    async with root.transaction():
        found: list[str] = []
        after = None
        for _ in range(12):
            page = await root.rows("search", "k/**", limit=100, after=after, vector=query)
            assert len(page) == 100
            found += [row["key"] for row in page]
            after = page[-1]["after"]
        assert await root.fetchval(settings) == before
    assert len(set(found)) == 1200
    exact = await by_hand(inside, query, "k/%")
    assert len(set(found[:100]) & set(exact[:100])) >= 90
    # and the last page is the last entry's
    found, after = [], None
    while page := await root.rows("search", "k/**", "owl", limit=1500, after=after, vector=query):
        found += [row["key"] for row in page]
        after = page[-1]["after"]
    assert len(found) == len(set(found)) == 5500


async def test_what_is_found_nearer_later_ends_no_pages(many: MakeVectors, root: Caller, inside: Caller) -> None:
    """A wider search of the graph finds more; so does any search after a write."""
    await many({"k/some": 200})
    await inside.execute("alter table pgstate.embedding set (autovacuum_enabled = off)")
    await inside.execute("update pg_class set reltuples = 2000 where relname = 'embedding_1_idx'")
    query = [0.5, 0.5, 0.5, 0.5]
    first = await root.rows("search", "k/*/**", limit=10, vector=query)
    near = {f"k/near/{n}": [query] for n in range(30)}
    await root.rows("put_many", list(near), list(near))
    assert set((await embed(root, near)).values()) == {"ok"}
    rest: list[str] = []
    after = first[-1]["after"]
    while page := await root.rows("search", "k/*/**", limit=10, vector=query, after=after):
        assert len(page) == 10
        rest += [row["key"] for row in page]
        after = page[-1]["after"]
    assert sorted([*(row["key"] for row in first), *rest]) == sorted(await by_hand(inside, query, "k/some/%"))


@pytest.mark.usefixtures("pgvector")
@pytest.mark.parametrize("type_", ["vector", "halfvec"])
@pytest.mark.parametrize("distance", ["cosine", "l2", "inner_product"])
async def test_vectors_that_have_no_distance_are_refused(root: Caller, distance: str, type_: str) -> None:
    """One too short for its squares would be the nearest to everything; beyond the longest a distance is no number."""
    await root("create_vectors", "v", 2, "toy", distance, "hnsw", type_)
    await root("set_search", "k/**", vectors="v", vector_fields=[])
    short, tiny, long, huge = {
        "vector": ("1e-16", "1e-30", "1e16", "1e20"),
        "halfvec": ("1e-4", "1e-9", "65504", "65505"),
    }[type_]
    put = "write_embedded(array['put'], array['k/%s'], array['1']::jsonb[], owners => '{1}', vectors => array[[0,-%s]]::real[], model => 'toy')"
    wrong = [huge, tiny] if distance == "cosine" else [huge]
    await root.refuses("PS007", *(put % ("wrong", number) for number in wrong))
    await root.refuses("PS007", *(f"search('k/**', vector => array[0,{number}]::real[])" for number in wrong))
    for key, number in (("short", short), ("long", long)):
        assert await root.fetchval(f"select status from pgstate.{put % (key, number)}") == "ok"
        assert await root.fetchval(f"select status from pgstate.{put % ('plain', 1)}") == "ok"
    for vector in ("1,0.5", f"{long},{long}", f"{short},0"):
        rows = await root.fetch(f"select * from pgstate.search('k/**', vector => '{{{vector}}}', \"limit\" => 1)")
        while len(rows) < 3:
            more = await root.fetch(
                f"select * from pgstate.search('k/**', vector => '{{{vector}}}', after => $1)", rows[-1]["after"]
            )
            assert more
            rows += more
        assert all(math.isfinite(row["score"]) for row in rows)


async def buffers(caller: Caller) -> int:
    """What a search by vector touches."""
    call = "explain (analyze, buffers, format json) select * from pgstate.search('k/**', vector => '{0.2,0.9,0.4,0.5}')"
    for _ in range(2):
        (top,) = json.loads(await caller.fetchval(call))
    return int(top["Plan"]["Shared Hit Blocks"] + top["Plan"]["Shared Read Blocks"])


async def test_a_rule_that_changes_elsewhere_slows_nobody_down(many: MakeVectors, root: Caller, inside: Caller) -> None:
    await many({"k/some": 500})
    await inside.execute("alter table pgstate.embedding set (autovacuum_enabled = off)")
    await inside.execute("update pg_class set reltuples = 2000 where relname = 'embedding_1_idx'")

    async def scans() -> int:
        for _ in range(2):
            await nearest(root, [0.2, 0.9, 0.4, 0.5], "k/*/**")
        await root.fetchval("select pg_stat_force_next_flush()")
        return int(
            await inside.fetchval("select idx_scan from pg_stat_all_indexes where indexrelname = 'embedding_1_idx'")
        )

    before = await scans()
    await root("set_search", "elsewhere/**")
    assert await inside.fetchval("select count(*) from pgstate.search_build") == 1
    assert await scans() == before + 2


@pytest.mark.thorough
async def test_a_larger_graph_is_searched_more_widely(many: MakeVectors, root: Caller, inside: Caller) -> None:
    await many({"k/large": 4000})
    await inside.execute("alter table pgstate.embedding set (autovacuum_enabled = off)")

    async def touched(rows: int) -> int:
        await inside.execute("update pg_class set reltuples = $1 where relname = 'embedding_1_idx'", rows)
        return await buffers(root)

    few, some, many_more = [await touched(rows) for rows in (512, 100_000, 1_000_000_000)]
    assert few < some < many_more
    # a size that is not known yet is none, and who asks for more gets more
    assert await touched(-1) == few
    await root.execute("set hnsw.ef_search = 1000")
    assert await touched(512) == many_more


@pytest.mark.thorough
async def test_more_lists_are_looked_at_where_there_are_more(many: MakeVectors, root: Caller, inside: Caller) -> None:
    await many({"k/large": 4000}, "ivfflat")

    async def touched(lists: int) -> int:
        await inside.execute("update pgstate.vector_index set options = jsonb_build_object('lists', $1::int)", lists)
        return await buffers(root)

    assert await touched(20) < await touched(400)


@pytest.mark.thorough
async def test_the_index_is_used_by_who_reads_all_of_it(
    many: MakeVectors, root: Caller, agent: MakeAgent, inside: Caller
) -> None:
    await many({"k/large": 5500, "k/hidden": 100})
    scans = "select coalesce(pg_stat_get_numscans('pgstate.embedding_1_idx'::regclass), 0)"
    some = await agent("some", "read k/large/**")
    every = await agent("every", "read k/**")
    query = [0.5, 0.5, 0.5, 0.5]
    for caller, used in ((some, False), (every, True)):
        await inside.execute("select pg_stat_reset()")
        assert len(await nearest(caller, query, "k/large/**")) == 10
        await caller.execute("select pg_stat_force_next_flush()")
        await caller.execute("select 1")
        assert (await inside.fetchval(scans) > 0) == used


@pytest.mark.core
@pytest.mark.usefixtures("pgvector")
async def test_a_dump_brings_words_and_vectors_along(root: Caller, database: Database, cluster: Cluster) -> None:
    await root("create_vectors", "v", 3, "toy")
    await root("set_search", "k/**", vectors="v")
    await build(root)
    await root.rows("put_many", ["k/1", "k/2"], ["one owl", "two owls"])
    await embed(root, {"k/1": [[1, 0, 0]]})
    dump = cluster.program("pg_dump", "-d", database.dsn(SUPERUSER))
    copy = Database(cluster, cluster.create_database())
    try:
        cluster.program("psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", copy.dsn(SUPERUSER), stdin=dump)
        call = "select json_agg(key) from pgstate.search('k/**', {}, agent => 'admin')"
        assert copy.sql(call.format("'owl'"), "installer") == [(["k/1", "k/2"],)]
        assert copy.sql(call.format("vector => '{1,0,0}'"), "installer") == [(["k/1"],)]
        copy.sql("select pgstate.put('k/3', '\"three owls\"')", "installer")
        assert copy.sql(call.format("'owl'"), "installer") == [(["k/1", "k/2", "k/3"],)]
        assert json.dumps(copy.sql("select key from pgstate.unembedded()", "installer")) == '[["k/2"], ["k/3"]]'
    finally:
        copy.drop()


@pytest.mark.usefixtures("pgvector")
async def test_no_older_snapshot_keeps_the_right_to_store_vectors(root: Caller, agent: MakeAgent) -> None:
    await root("create_vectors", "v", 3, "toy")
    await root("set_search", "a/**", vectors="v", vector_fields=["$"])
    alice = await agent("alice", "read a/**", "write a/**")
    await root("put", "a/1", "owl")
    await alice.execute("begin isolation level repeatable read")
    assert list(await waiting(alice)) == ["a/1"]
    await root("revoke_access", "alice", "a/**", "write")
    with refused("40001"):
        await embed(alice, {"a/1": [[1.0, 0.0, 0.0]]})
    await alice.execute("rollback")
    assert list(await waiting(root)) == ["a/1"]


async def test_vectors_that_are_given_count_towards_a_quota(
    pgvector: None, root: Caller, agent: MakeAgent, database: Database
) -> None:
    await root("create_vectors", "toy", 250, "toy", method="exact")
    await root("set_search", "k/**", [], vectors="toy", vector_fields=[])
    alice = await agent("alice", "read k/**", "write k/**")

    async def put(key: str, count: int) -> None:
        vectors = [[1.0] * 250] * count
        await alice.rows("write_embedded", ["put"], [key], [1], owners=[1] * count, vectors=vectors, model="toy")

    async def used() -> int:
        (row,) = await root.rows("quotas")
        return int(row["used_bytes"])

    await put("k/0", 2)
    await root("set_quota", "alice", bytes=10_000)
    assert 2000 < await used() < 2200
    # again and again in the same place
    for _ in range(20):
        await put("k/1", 3)
    for count in (5, 1000):
        with refused("PS060"):
            await put("k/2", count)
    assert 5000 < await used() < 5300
    await put("k/2", 4)
    with refused("PS060"):
        await put("k/3", 1)
    await alice("delete", "k/0")
    await put("k/3", 1)
    # those of others, and of nobody, are not its own
    await root("put", "k/2", 1)
    await put("k/4", 4)
    assert database.sql("select key, count(*) from pgstate.embedding group by key order by key") == [
        ("k/1", 3),
        ("k/3", 1),
        ("k/4", 4),
    ]
