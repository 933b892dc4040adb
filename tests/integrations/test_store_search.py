"""PgStateStore's search by vectors, with all that the reference's index can be configured to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from langgraph.store.base import PutOp
from langgraph.store.postgres.aio import AsyncPostgresStore

from _cases import first_of
from conftest import Database
from integrations._letters import Letters
from pgstate import State, errors
from pgstate.integrations.langgraph import PgStateStore
from sql.test_vectors import pgvector

__all__ = ["pgvector"]
NS = ("test",)
DISTANCES, TYPES, INDEXES = ["cosine", "l2", "inner_product"], ["vector", "halfvec"], ["hnsw", "ivfflat", "flat"]
# each of them once
EACH = [("cosine", "vector", "hnsw"), ("l2", "halfvec", "ivfflat"), ("inner_product", "vector", "flat")]
MakeStore = Callable[..., Awaitable[PgStateStore]]


@pytest.fixture
def model() -> Letters:
    return Letters()


@pytest.fixture
def make_store(pgvector: None, state: State, model: Letters) -> MakeStore:
    """`await make_store(fields=["text"])`: a store with an index, set up."""

    async def make(**index: Any) -> PgStateStore:
        prefix = index.pop("prefix", "store")
        store = PgStateStore(state, prefix=prefix, index={"dims": 32, "embed": model, **index})
        await store.setup()
        return store

    return make


@pytest.fixture
async def store(make_store: MakeStore) -> PgStateStore:
    return await make_store(fields=["text"])


async def keys(store: PgStateStore, query: str, *namespace: str, **options: Any) -> list[str]:
    return [item.key for item in await store.asearch(namespace or NS, query=query, **options)]


async def test_the_nearest_come_first(store: PgStateStore) -> None:
    texts = {"1": "aaa", "2": "aab", "3": "bbb", "4": "zzz"}
    await asyncio.gather(*(store.aput(NS, key, {"text": text}) for key, text in texts.items()))
    assert await keys(store, "aaa") == ["1", "2", "3", "4"]
    found = await store.asearch(NS, query="aaa", limit=2)
    assert [item.score for item in found] == pytest.approx([1.0, 2 / 5**0.5], abs=1e-3)
    # filters narrow it, and do not count against the limit
    await store.aput(NS, "5", {"text": "aaa", "color": "red"})
    assert await keys(store, "zzz", filter={"color": "red"}, limit=1) == ["5"]
    assert await keys(store, "bbb", filter={"text": {"$in": ["aab", "bbb"]}}) == ["3", "2"]
    # an empty query asks for none
    assert [item.score for item in await store.asearch(NS, query="")] == [None] * 5


async def test_an_update_leaves_no_old_vectors(make_store: MakeStore, database: Database) -> None:
    store = await make_store(fields=["parts[*]"])
    await store.aput(NS, "k", {"parts": ["aaa", "bbb", "ccc"]})
    await store.aput(NS, "other", {"parts": ["ddd"]})
    assert await keys(store, "ccc") == ["k", "other"]
    # fewer of them
    await store.aput(NS, "k", {"parts": ["eee"]})
    assert database.sql("select count(*) from pgstate.embedding") == [(2,)]
    (first, second) = await store.asearch(NS, query="ccc")
    assert max(first.score or 0, second.score or 0) < 0.1
    # none at all, by what is written, by index=False, by other writers, by deletion
    await store.aput(NS, "k", {"parts": []})
    assert await keys(store, "eee") == ["other"]
    await store.aput(NS, "k", {"parts": ["eee"]})
    await store.aput(NS, "k", {"parts": ["eee"]}, index=False)
    assert await keys(store, "eee") == ["other"]
    await store.aput(NS, "k", {"parts": ["eee"]})
    database.sql("""select pgstate.put('store/test/k', '{"parts": ["fff"]}')""", "installer")
    assert await keys(store, "eee") == ["other"]
    assert (await store.aget(NS, "k")) is not None
    await store.adelete(NS, "other")
    assert await keys(store, "ddd") == []
    assert database.sql("select count(*) from pgstate.embedding") == [(0,)]


async def test_what_gets_vectors_is_said_by_each_item(make_store: MakeStore, model: Letters) -> None:
    store = await make_store(fields=["title", "meta.tags[*]", "parts[-1].text", "{a,b}"])
    value = {
        "title": "aaa",
        "meta": {"tags": ["bbb", "ccc"]},
        "parts": [{"text": "ddd"}, {"text": "eee"}],
        "a": "fff",
        "b": "ggg",
        "other": "hhh",
    }
    await store.aput(NS, "k", value)
    assert model.texts == ["aaa", "bbb", "ccc", "eee", "fff", "ggg"]
    await store.aput(NS, "l", value, index=["other", "parts[*].text"])
    assert model.texts[6:] == ["hhh", "ddd", "eee"]
    assert (await keys(store, "hhh"))[0] == "l"
    assert (await keys(store, "ccc"))[0] == "k"
    whole = await make_store(prefix="whole", name="whole")
    await whole.aput(NS, "k", {"n": 1, "x": [None]})
    assert model.texts[-1] == '{"n": 1, "x": [null]}'


async def test_calls_that_come_together_share_the_model_and_statements(
    store: PgStateStore, state: State, model: Letters
) -> None:
    before, calls = state.stats.statements, model.calls
    await asyncio.gather(*(store.aput(NS, str(n), {"text": f"text {n % 7}"}) for n in range(100)))
    assert state.stats.statements - before <= 2
    assert model.calls == calls + 1 and len(model.texts) == 7
    before, calls = state.stats.statements, model.calls
    await store.abatch([PutOp(NS, str(n), None if n % 2 else {"text": f"new {n}"}) for n in range(100)])
    assert state.stats.statements - before <= 4 and model.calls == calls + 1
    assert len(await keys(store, "new", limit=200)) == 50


async def test_paging_goes_to_the_end(store: PgStateStore) -> None:
    await store.abatch([PutOp(NS, f"{n:03}", {"text": "a" * n + "b" * (300 - n)}) for n in range(300)])
    pages = [await keys(store, "a", limit=7, offset=offset) for offset in range(0, 301, 7)]
    found = [key for page in pages for key in page]
    assert found == [f"{n:03}" for n in range(299, -1, -1)]
    assert await keys(store, "a", limit=1000) == found
    assert await keys(store, "a", offset=300) == []


@pytest.mark.parametrize("kind", first_of(INDEXES))
async def test_a_small_namespace_beside_a_large_one(
    make_store: MakeStore, state: State, database: Database, kind: str
) -> None:
    """Where an index is followed and filtered afterwards, the large one takes all the places."""
    store = await make_store(fields=["text"], ann_index_config={"kind": kind})
    while (await state.maintain()).more:
        pass
    assert database.sql("select count(*) from pgstate.search_build") == [(0,)], "until then vectors are compared"

    # each another vector: a graph of hnsw is in pieces where many are equal
    def text(n: int) -> str:
        return "aaaa" + "".join(letter * (n // 9**place % 9) for place, letter in enumerate("bcde"))

    await store.abatch([PutOp(("large",), str(n), {"text": text(n)}) for n in range(2300)])
    await store.abatch([PutOp(("small",), str(n), {"text": "zzz" + "y" * n}) for n in range(5)])
    database.sql("analyze pgstate.embedding")
    assert sorted(await keys(store, "aaaa", "small")) == ["0", "1", "2", "3", "4"]
    assert len(await keys(store, "zzz", "large", limit=100)) == 100
    everywhere = await store.asearch((), query="zzz", limit=6)
    scores = [item.score or 0.0 for item in everywhere]
    assert len(scores) == 6 and scores == sorted(scores, reverse=True)
    if kind == "flat":
        # the others find most of what is nearest in all that they hold, and promise no more
        assert [(item.namespace, item.key) for item in everywhere[:5]] == [(("small",), str(n)) for n in range(5)]
    # deep into the large one, and with a filter that few pass
    assert len(await keys(store, "aaaa", "large", limit=100, offset=2250)) == 50
    await store.aput(("large",), "rare", {"text": "zzz", "rare": True})
    assert await keys(store, "aaaa", "large", filter={"rare": True}) == ["rare"]


@pytest.mark.parametrize(
    ("distance", "type_", "kind"),
    first_of(sorted(itertools.product(DISTANCES, TYPES, INDEXES), key=lambda case: case not in EACH), len(EACH)),
)
async def test_every_kind_of_index(
    make_store: MakeStore, dsn: str, model: Letters, distance: Any, type_: Any, kind: Any
) -> None:
    """The reference ranks and scores the same. (Its flat cannot be set up.)"""
    options = {"hnsw": {"m": 8, "ef_construction": 32}, "ivfflat": {"nlist": 2}, "flat": {}}[kind]
    config = {"kind": kind, "vector_type": type_, **options}
    store = await make_store(fields=["text"], distance_type=distance, ann_index_config=config)
    await store.setup()
    theirs: Any = {
        "dims": 32,
        "embed": model,
        "fields": ["text"],
        "distance_type": distance,
        "ann_index_config": {"vector_type": type_},
    }
    async with AsyncPostgresStore.from_conn_string(dsn, index=theirs) as reference:
        await reference.setup()
        puts = [PutOp(NS, str(n), {"text": "abcdefgh"[: n % 8 + 1] * (n % 3 + 1) + "xyz" * n}) for n in range(12)]
        for some in (store, reference):
            await some.abatch(puts)
            await some.aput(NS, "alone", {"text": "q"})
        for query in ("abc", "xyz", "q", "dcba"):
            ours = await store.asearch(NS, query=query, limit=20)
            wanted = {item.key: item.score for item in await reference.asearch(NS, query=query, limit=20)}
            assert {item.key: item.score for item in ours} == pytest.approx(wanted, abs=2e-3)
            scores = [item.score or 0 for item in ours]
            assert scores == sorted(scores, reverse=True)


async def test_many_dimensions(pgvector: None, state: State) -> None:
    """An index on vector ends at 2,000: the reference fails to set itself up there."""
    store = PgStateStore(state, index={"dims": 3072, "embed": Letters(3072), "fields": ["text"]})
    await store.setup()
    assert [(index.type, index.dims, index.method) for index in await state.vectors()] == [("halfvec", 3072, "hnsw")]
    await store.aput(NS, "a", {"text": "aaa"})
    await store.aput(NS, "b", {"text": "bbb"})
    assert await keys(store, "b") == ["b", "a"]
    refused = PgStateStore(
        state, prefix="v", index={"dims": 3072, "embed": Letters(3072), "ann_index_config": {"vector_type": "vector"}}
    )
    with pytest.raises(errors.InvalidArgument, match="halfvec"):
        await refused.setup()


async def test_vectors_and_values_are_written_together(store: PgStateStore, state: State, database: Database) -> None:
    await store.aput(NS, "k", {"text": "aaa"}, expect=0)
    with pytest.raises(errors.VersionConflict):
        await store.aput(NS, "k", {"text": "bbb"}, expect=0)
    assert await keys(store, "aaa") == ["k"]
    assert [round((found.score or 0), 3) for found in await store.asearch(NS, query="aaa")] == [1.0]
    # neighbours of one that is refused are written all the same
    assert await state.claim("store/test/k") is not None
    with pytest.raises(errors.ClaimHeld):
        await store.abatch([PutOp(NS, key, {"text": "ccc"}) for key in "jkl"])
    assert await keys(store, "ccc") == ["j", "l", "k"]
    assert database.sql("select key, count(*) from pgstate.embedding group by key order by key") == [
        ("store/test/j", 1),
        ("store/test/k", 1),
        ("store/test/l", 1),
    ]


async def test_a_model_that_fails_or_makes_something_else(make_store: MakeStore, state: State) -> None:
    class Down(Exception):
        pass

    made: list[Any] = [Down("down")]

    async def embed(texts: list[str]) -> list[list[float]]:
        if isinstance(made[0], Exception):
            raise made[0]
        found: list[list[float]] = made[0]
        return found

    store = await make_store(embed=embed)
    with pytest.raises(Down):
        await store.aput(NS, "k", {"text": "aaa"})
    with pytest.raises(Down):
        await keys(store, "aaa")
    assert await store.aget(NS, "k") is None
    for wrong in ([[1.0] * 31], [], [[1.0] * 32] * 2, None, 5, [None], [0.5]):
        made[0] = wrong
        with pytest.raises(errors.InvalidArgument, match="32 dimensions"):
            await store.aput(NS, "k", {"text": "aaa"})
        with pytest.raises(errors.InvalidArgument, match="32 dimensions"):
            await keys(store, "aaa")
    made[0] = [[float("nan")] * 32]
    with pytest.raises(errors.InvalidArgument, match="finite"):
        await store.aput(NS, "k", {"text": "aaa"})
    assert await store.aget(NS, "k") is None
    made[0] = [[0.5] * 32]
    await store.aput(NS, "k", {"text": "aaa"})
    assert await keys(store, "aaa") == ["k"]


async def test_any_prefix_names_an_index(make_store: MakeStore, state: State) -> None:
    store = await make_store(prefix="größe/2")
    await store.aput(NS, "k", {"text": "aaa"})
    assert await keys(store, "aaa") == ["k"]
    assert [index.name for index in await state.vectors()] == ["gr__e_2"]


async def test_without_setup_it_says_what_is_missing(pgvector: None, state: State, model: Letters) -> None:
    store = PgStateStore(state, index={"dims": 32, "embed": model})
    with pytest.raises(errors.InvalidArgument, match="set_search"):
        await store.aput(NS, "k", {"text": "aaa"})
    with pytest.raises(errors.InvalidArgument, match="vector index"):
        await keys(store, "aaa")
    assert await store.aget(NS, "k") is None


async def test_an_index_for_another_model_is_refused(make_store: MakeStore, state: State, model: Letters) -> None:
    await make_store(model="letters-1")
    with pytest.raises(errors.InvalidArgument, match="other settings"):
        await make_store(model="letters-2")
    other = PgStateStore(state, index={"dims": 32, "embed": model, "model": "letters-2"})
    with pytest.raises(errors.InvalidArgument, match="letters-1"):
        await other.aput(NS, "k", {"text": "aaa"})


async def test_who_goes_by_the_index_of_before_is_told(make_store: MakeStore) -> None:
    """Another index takes the place of the first, with no vectors yet."""
    first = await make_store(name="one")
    await first.aput(NS, "k", {"text": "aaa"})
    second = await make_store(name="two", distance_type="l2")
    with pytest.raises(errors.InvalidArgument, match="vector index one"):
        await keys(first, "aaa")
    assert await keys(second, "aaa") == []
    await second.aput(NS, "k", {"text": "aaa"})
    assert await keys(second, "aaa") == ["k"]


@pytest.mark.parametrize(
    "config",
    [{"kind": "diskann"}, {"vector_type": "bit"}, {"kind": "hnsw", "lists": 3}],
)
def test_configurations_that_there_are_not(config: Any, model: Letters) -> None:
    with pytest.raises(errors.InvalidArgument, match="ann_index_config"):
        PgStateStore(None, index={"dims": 3, "embed": model, "ann_index_config": config})  # type: ignore[arg-type]


async def test_items_from_before_the_index(make_store: MakeStore, state: State) -> None:
    """They are found as soon as they are written again."""
    plain = PgStateStore(state)
    await plain.aput(NS, "k", {"text": "aaa"})
    store = await make_store(fields=["text"])
    assert await keys(store, "aaa") == []
    await store.aput(NS, "k", {"text": "aaa"})
    assert await keys(store, "aaa") == ["k"]
    # a store without an index of its own may write there too
    await plain.aput(NS, "k", {"text": "bbb"})
    assert await keys(store, "bbb") == []


@pytest.fixture
async def two(state: State, make_store: MakeStore) -> AsyncIterator[tuple[PgStateStore, PgStateStore]]:
    first = await make_store(prefix="agents/one", name="one")
    second = await make_store(prefix="agents/two", name="two", distance_type="l2")
    yield first, second


async def test_agents_find_their_own(two: tuple[PgStateStore, PgStateStore], state: State) -> None:
    for number, store in enumerate(two):
        await store.aput(NS, "k", {"text": "aaa", "of": number})
    await state.create_agent("one")
    await state.grant_access("one", "agents/one/**", "read")
    await state.grant_access("one", "agents/one/**", "write")
    own = PgStateStore(state.as_agent("one"), prefix="agents/one", index={**two[0].index_config})  # type: ignore[typeddict-item]
    await own.aput(NS, "l", {"text": "aab", "of": 0})
    assert [(item.key, item.value["of"]) for item in await own.asearch((), query="aaa")] == [("k", 0), ("l", 0)]
    theirs = PgStateStore(state.as_agent("one"), prefix="agents/two", index={**two[1].index_config})  # type: ignore[typeddict-item]
    with pytest.raises(errors.AccessDenied):
        await theirs.asearch((), query="aaa")
    with pytest.raises(errors.AccessDenied):
        await theirs.aput(NS, "k", {"text": "x"})
    with pytest.raises(errors.AccessDenied):
        await theirs.alist_namespaces()
    await state.grant_access("one", "agents/two/**", "write")
    with pytest.raises(errors.AccessDenied, match="takes read and write"):
        await theirs.aput(NS, "k", {"text": "x"})
    await theirs.aput(NS, "k", {"text": "x"}, index=False)


async def test_synchronous_search(store: PgStateStore, model: Letters) -> None:
    store.put(NS, "k", {"text": "aaa"})
    assert [item.key for item in store.search(NS, query="aaa")] == ["k"]
