"""PgStateStore: LangGraph's interface in full, each fault that users of the reference report, and what is beyond it."""

from __future__ import annotations

import asyncio
import gc
import pickle
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypedDict

import asyncpg
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchItem,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore
from langgraph.store.postgres.aio import AsyncPostgresStore

import pgstate
import pgstate.sync
from conftest import Clock, Database
from integrations._checkpoints import at
from pgstate import State, errors
from pgstate.integrations.langgraph import PgStateSaver, PgStateStore, StoredItem, StoredSearchItem

NS = ("users", "ana")


class Held(TypedDict):
    held: list[Any]


@pytest.fixture
def store(state: State) -> PgStateStore:
    return PgStateStore(state)


@pytest.fixture
async def their_store(dsn: str) -> AsyncIterator[AsyncPostgresStore]:
    async with AsyncPostgresStore.from_conn_string(dsn) as store:
        await store.setup()
        yield store


async def test_items(store: PgStateStore) -> None:
    assert await store.aget(NS, "prefs") is None
    await store.aput(NS, "prefs", {"theme": "dark", "n": [1, 2.5, None, {"deep": True}]})
    item = await store.aget(NS, "prefs")
    assert isinstance(item, StoredItem)
    assert (item.namespace, item.key, item.version) == (NS, "prefs", 1)
    assert item.value == {"theme": "dark", "n": [1, 2.5, None, {"deep": True}]}
    assert item.created_at == item.updated_at
    await store.aput(NS, "prefs", {"theme": "light"})
    later = await store.aget(NS, "prefs")
    assert later is not None and later.created_at == item.created_at < later.updated_at
    assert later.value == {"theme": "light"}
    await store.adelete(NS, "prefs")
    await store.adelete(NS, "prefs")
    assert await store.aget(NS, "prefs") is None


async def test_one_that_python_cannot_read_keeps_no_other_from_being_found(
    store: PgStateStore, state: State, dsn: str
) -> None:
    await store.aput(NS, "good", {"n": 1})
    await store.aput(NS, "odd", {"n": 2})
    (odd,) = [entry.key for entry in await state.list("**") if entry.key.endswith("/odd")]
    connection = await asyncpg.connect(dsn)
    await connection.execute("select pgstate.put($1, jsonb_build_object('n', repeat('1', 5000)::numeric))", odd)
    await connection.close()
    found = {item.key: item.value for item in await store.asearch(NS)}
    assert found["good"] == {"n": 1}
    assert isinstance(found["odd"], pgstate.Unreadable)


async def test_batches_read_first_and_then_write(store: PgStateStore) -> None:
    await store.aput(("test", "foo"), "key1", {"data": "value1"})
    await store.aput(("test", "bar"), "key2", {"data": "value2"})
    results = await store.abatch(
        [
            GetOp(("test", "foo"), "key1"),
            PutOp(("test", "bar"), "key3", {"data": "value3"}),
            PutOp(("test", "bar"), "key3", {"data": "the last of two"}),
            SearchOp(("test",), {"data": "value1"}),
            SearchOp(("test",)),
            ListNamespacesOp(),
            GetOp(("test", "bar"), "key3"),
            PutOp(("test", "bar"), "key2", None),
            GetOp(("test", "bar"), "key2"),
        ]
    )
    got, put, again, found, everything, namespaces, unwritten, deleted, before = results
    assert isinstance(got, Item) and got.value == {"data": "value1"}
    assert [put, again, unwritten, deleted] == [None] * 4
    assert isinstance(found, list) and [item.key for item in found] == ["key1"]
    assert isinstance(everything, list) and len(everything) == 2
    assert namespaces == [("test", "bar"), ("test", "foo")]
    assert isinstance(before, Item)
    assert [(item.key, item.value["data"]) for item in await store.asearch(("test", "bar"))] == [
        ("key3", "the last of two")
    ]
    assert await store.abatch([]) == []


async def test_what_comes_together_shares_statements(store: PgStateStore, state: State) -> None:
    await store.aput(NS, "first", {})
    before = state.stats.statements
    await asyncio.gather(*(store.aput(NS, str(n), {"n": n}) for n in range(100)))
    assert state.stats.statements - before <= 3
    before = state.stats.statements
    items = await asyncio.gather(*(store.aget(NS, str(n)) for n in range(100)))
    assert state.stats.statements - before <= 3
    assert [item and item.value for item in items] == [{"n": n} for n in range(100)]
    before = state.stats.statements
    await store.abatch([PutOp(NS, str(n), None if n % 2 else {"n": -n}) for n in range(100)])
    assert state.stats.statements - before <= 2
    assert len(await store.asearch(NS, limit=100, filter={"n": {"$lt": 0}})) == 49


async def test_a_burst_of_searches_waits_before_its_time_runs(
    store: PgStateStore, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes a connection: the last of thousands would have waited for one too long, and writes behind them."""
    under_way: list[int] = [0]

    def count(name: str) -> None:
        real = getattr(State, name)

        async def counted(*args: Any, **options: Any) -> Any:
            under_way.append(under_way[-1] + 1)
            try:
                return await real(*args, **options)
            finally:
                under_way.append(under_way[-1] - 1)

        monkeypatch.setattr(State, name, counted)

    count("search")
    count("namespaces")
    await store.aput(NS, "first", {})
    searches = [store.asearch(NS, filter={}) for _ in range(50)] + [
        store.abatch([SearchOp(NS)] * 5 + [ListNamespacesOp()] * 5) for _ in range(5)
    ]
    found, namespaces = await asyncio.gather(
        asyncio.gather(*searches), asyncio.gather(*(store.alist_namespaces() for _ in range(50)))
    )
    assert [item.key for item in found[0]] == ["first"] and namespaces == [[NS]] * 50
    assert 1 < max(under_way) <= 32


async def test_a_burst_of_searches_ends_where_none_is_answered(
    store: PgStateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each after the other would take its whole time."""
    asked = 0
    waiting = asyncio.Event()

    async def search(*args: Any, **options: Any) -> list[Any]:
        nonlocal asked
        asked += 1
        await waiting.wait()
        raise errors.Timeout("no answer in time")

    await store.aput(NS, "first", {})
    with monkeypatch.context() as patch:
        patch.setattr(State, "search", search)
        searches = [asyncio.create_task(store.asearch(NS)) for _ in range(100)]
        while asked < 32:
            await asyncio.sleep(0)
        # until the others wait too
        await asyncio.sleep(0)
        waiting.set()
        done = await asyncio.gather(*searches, return_exceptions=True)
    assert {type(one) for one in done} == {errors.Timeout}
    assert asked == 32
    # who comes later asks
    assert [item.key for item in await store.asearch(NS)] == ["first"]


@pytest.mark.parametrize("label", ["a.b", "a/b", "ключ", "50%", "*", "..", "a b", "%2E", "x\n", 'q"\\'])
async def test_labels_and_keys_are_any_text(store: PgStateStore, label: str) -> None:
    await store.aput(("top", label), label, {"n": 1})
    await store.aput(("top", label, "sub"), "", {"n": 2})
    item = await store.aget(("top", label), label)
    assert item is not None and (item.namespace, item.key) == (("top", label), label)
    assert sorted((item.namespace, item.key) for item in await store.asearch(("top", label))) == [
        (("top", label), label),
        (("top", label, "sub"), ""),
    ]
    assert await store.alist_namespaces(prefix=("top", label) if label != "*" else None) == [
        ("top", label),
        ("top", label, "sub"),
    ]


async def test_a_label_with_a_dot_is_no_path(store: PgStateStore) -> None:
    await store.aput(("a.b",), "k", {"n": 1})
    await store.aput(("a", "b"), "k", {"n": 2})
    assert [item.value for item in await store.asearch(("a.b",))] == [{"n": 1}]
    assert [item.value for item in await store.asearch(("a",))] == [{"n": 2}]
    # an item is not in the namespace of its own name
    await store.aput(("a",), "b", {"n": 3})
    assert [item.value for item in await store.asearch(("a", "b"))] == [{"n": 2}]


@pytest.mark.one_database
@pytest.mark.parametrize("namespace", [(), ("",), ("a", ""), ("a", 1)])
async def test_bad_namespaces(store: PgStateStore, namespace: Any) -> None:
    with pytest.raises(InvalidNamespaceError):
        await store.aput(namespace, "k", {})
    with pytest.raises(InvalidNamespaceError):
        await store.abatch([PutOp(namespace, "k", {})])
    if namespace:
        with pytest.raises(InvalidNamespaceError):
            await store.asearch(namespace)
        with pytest.raises(InvalidNamespaceError):
            await store.alist_namespaces(suffix=namespace)


DOCS = {
    "a": {"n": 9, "name": "red apple", "tags": ["x", "y"], "author": {"name": "ana", "age": 30}},
    "b": {"n": 10, "name": "red car", "tags": [], "author": {"name": "bob", "age": 4}},
    "c": {"n": 100, "name": "green apple", "score": 4.5, "a.b": 1},
    "d": {"n": "11", "name": None},
}
FILTERS: list[tuple[dict[str, Any], str]] = [
    # the reference compares these as texts
    ({"n": {"$gt": 9}}, "bc"),
    ({"n": {"$gte": 10, "$lt": 100}}, "b"),
    ({"n": {"$lte": 9.0}}, "a"),
    ({"n": {"$gt": "1"}}, "d"),
    ({"n": 10}, "b"),
    ({"n": {"$ne": 10}}, "acd"),
    ({"name": {"$eq": None}}, "d"),
    ({"n": {"$in": [9, "11"]}}, "ad"),
    ({"author.name": "ana"}, "a"),
    ({"author": {"age": {"$lt": 10}}}, "b"),
    ({"author": {"name": "bob"}}, "b"),
    ({"tags[*]": "x"}, "a"),
    ({"$or": [{"score": {"$gt": 4}}, {"author.age": 4}]}, "bc"),
    ({"$and": [{"n": {"$gt": 9}}, {"score": {"$exists": False}}]}, "b"),
    ({"$not": {"n": {"$gt": 9}}}, "ad"),
    ({"score": {"$exists": True}}, "c"),
    (r"a\.b", "c"),  # type: ignore[list-item]
]


@pytest.mark.one_database
@pytest.mark.parametrize(("filter", "wanted"), FILTERS, ids=[str(filter) for filter, _ in FILTERS])
async def test_filters(store: PgStateStore, filter: Any, wanted: str) -> None:
    await store.abatch([PutOp(NS, key, value) for key, value in DOCS.items()])
    asked = filter if isinstance(filter, dict) else {filter: 1}
    assert "".join(sorted(item.key for item in await store.asearch(("users",), filter=asked))) == wanted


async def test_a_filter_with_an_unknown_operator(store: PgStateStore) -> None:
    with pytest.raises(errors.InvalidArgument, match="nearly"):
        await store.asearch(NS, filter={"n": {"$nearly": 3}})


async def test_the_latest_come_first_and_pages_go_on(store: PgStateStore) -> None:
    for n in range(7):
        await store.aput(NS, f"k{n}", {"n": n})
    await store.aput(NS, "k2", {"n": 20})
    order = ["k2", "k6", "k5", "k4", "k3", "k1", "k0"]
    assert [item.key for item in await store.asearch(NS)] == order
    pages = [await store.asearch(NS, limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [[item.key for item in page] for page in pages] == [order[:3], order[3:6], order[6:], []]
    assert await store.asearch(NS, limit=0) == []
    assert [item.score for item in await store.asearch(NS, query="no index, so no ranks")] == [None] * 7


async def test_more_than_one_statement_may_return(store: PgStateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from pgstate.integrations.langgraph import _store

    monkeypatch.setattr(_store, "_PAGE", 3)
    await store.abatch([PutOp(NS, str(n), {"n": n}) for n in range(8)])
    assert len({item.key for item in await store.asearch(NS, limit=100)}) == 8
    assert len(await store.asearch(NS, limit=7)) == 7


async def test_more_namespaces_than_one_statement_may_return(
    store: PgStateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pgstate.integrations.langgraph import _store

    await store.abatch([PutOp(("a", str(n), "b"), "k", {"n": n}) for n in range(8)])
    # the database has a limit of its own
    assert len(await store.alist_namespaces(limit=1_000_000)) == 8
    monkeypatch.setattr(_store, "_NAMESPACES", 3)
    every = [("a", str(n)) for n in range(8)]
    assert await store.alist_namespaces(limit=100, max_depth=2) == every
    assert await store.alist_namespaces(limit=5, offset=2, max_depth=2) == every[2:7]


@pytest.mark.filterwarnings("error")
async def test_a_batch_that_is_refused_reads_nothing(store: PgStateStore, state: State) -> None:
    before = state.stats.statements
    with pytest.raises(InvalidNamespaceError):
        await store.abatch([GetOp(NS, "k"), SearchOp(NS), PutOp(("",), "k", {})])
    gc.collect()
    assert state.stats.statements == before


async def test_namespaces(store: PgStateStore) -> None:
    paths = ["a/b/c", "a/b/d", "a/b/d/e", "a-b/c", "b/x/c", "b/y/c/d", "c"]
    for path in paths:
        for key in ("1", "2"):
            await store.aput(tuple(path.split("/")), key, {})

    async def listed(**options: Any) -> list[str]:
        return ["/".join(found) for found in await store.alist_namespaces(**options)]

    assert sorted(await listed()) == sorted(paths)
    assert await listed(prefix=("a",)) == ["a/b/c", "a/b/d", "a/b/d/e"]
    assert await listed(prefix=("a", "b", "d")) == ["a/b/d", "a/b/d/e"]
    assert await listed(prefix=("*", "b")) == ["a/b/c", "a/b/d", "a/b/d/e"]
    assert sorted(await listed(suffix=("c",))) == ["a-b/c", "a/b/c", "b/x/c", "c"]
    assert sorted(await listed(suffix=("*", "d"))) == ["a/b/d", "b/y/c/d"]
    assert await listed(prefix=("b",), suffix=("c",)) == ["b/x/c"]
    assert await store.alist_namespaces(max_depth=0) == [()]
    assert sorted(await listed(max_depth=1)) == ["a", "a-b", "b", "c"]
    assert sorted(await listed(max_depth=2)) == ["a-b/c", "a/b", "b/x", "b/y", "c"]
    assert sorted(await listed(max_depth=3, prefix=("a",))) == ["a/b/c", "a/b/d"]
    everything = await listed()
    assert await listed(limit=3) + await listed(limit=100, offset=3) == everything
    assert await listed(limit=0) == []
    assert await listed(prefix=("none",)) == []
    op = ListNamespacesOp((MatchCondition("prefix", ()), MatchCondition("suffix", ("c",))), None, 1, 1)
    assert len((await store.abatch([op]))[0]) == 1  # type: ignore[arg-type]
    await store.adelete(("c",), "1")
    assert "c" in await listed()
    await store.adelete(("c",), "2")
    assert "c" not in await listed()


async def test_the_reference_lists_the_same_namespaces(store: PgStateStore, their_store: AsyncPostgresStore) -> None:
    paths = [("a",), ("a", "b"), ("a", "b", "c"), ("a", "x", "c"), ("ab", "c"), ("b", "a", "b"), ("z", "y", "x", "w")]
    for some in (store, their_store):
        await some.abatch([PutOp(path, "k", {"n": 1}) for path in paths])
    for prefix in (None, ("a",), ("a", "*"), ("*", "a"), ("a", "*", "c")):
        for suffix in (None, ("c",), ("*", "c"), ("b",)):
            for depth in (None, 1, 2, 3):
                asked: Any = {"prefix": prefix, "suffix": suffix, "max_depth": depth}
                ours = await store.alist_namespaces(**asked)
                assert sorted(ours) == sorted(await their_store.alist_namespaces(**asked)), asked
                assert len(set(ours)) == len(ours)


async def test_namespaces_cost_what_they_return(store: PgStateStore, database: Database) -> None:
    await store.abatch([PutOp(("big",), str(n), {"n": n}) for n in range(2000)])
    await store.aput(("small",), "k", {})

    def reads() -> int:
        return int(
            database.sql("select sum(idx_tup_fetch)::bigint from pg_stat_all_tables where relname = 'entry'")[0][0]
        )

    database.sql("select pg_stat_force_next_flush()")
    async with pgstate.connect(database.dsn("installer"), connections=1) as other:
        before = reads()
        for _ in range(3):
            assert await PgStateStore(other).alist_namespaces() == [("big",), ("small",)]
    for _ in range(6000):
        if reads() > before:
            break
        await asyncio.sleep(0.01)
    assert 0 < reads() - before < 500


async def test_times_to_live_are_exact(state: State, clock: Clock) -> None:
    store = PgStateStore(state, ttl={"default_ttl": 5, "refresh_on_read": True})
    await store.aput(NS, "half", {"n": 1})
    await store.aput(NS, "quarter", {"n": 2}, ttl=2.5)
    await store.aput(NS, "for ever", {"n": 3}, ttl=None)
    half = await state.get("store/users/ana/half")
    assert half is not None and half.expires_at == half.updated_at + timedelta(seconds=300)
    await clock.advance(100)
    assert await store.aget(NS, "quarter", refresh_ttl=False) is not None
    await clock.advance(50)
    # not swept yet, and gone everywhere
    assert await store.aget(NS, "quarter") is None
    assert {item.key for item in await store.asearch(NS, refresh_ttl=False)} == {"half", "for ever"}
    await clock.advance(100)
    assert await store.aget(NS, "half") is not None  # lives on from here
    await clock.advance(250)
    assert [item.key for item in await store.asearch(NS, filter={"n": 1})] == ["half"]  # and from here
    await clock.advance(250)
    assert await store.aget(NS, "half", refresh_ttl=False) is not None
    await clock.advance(50)
    assert await store.aget(NS, "half") is None
    assert await store.alist_namespaces() == [NS]
    assert [item.key for item in await store.asearch(NS)] == ["for ever"]
    await store.adelete(NS, "for ever")
    assert await store.alist_namespaces() == []


async def test_reading_makes_no_version_and_the_past_knows(state: State, clock: Clock) -> None:
    store = PgStateStore(state, ttl={"default_ttl": 1})
    await store.aput(NS, "k", {"n": 1})
    await clock.advance(40)
    await store.aget(NS, "k")
    await clock.advance(40)  # it would be gone
    cursor = await state.cursor()
    await store.aget(NS, "k")
    assert [version.op for version in await store.ahistory(NS, "k")] == ["put"]
    past = await state.get("store/users/ana/k", as_of=cursor)
    assert past is not None and past.value == {"n": 1}
    entry = await state.get("store/users/ana/k")
    assert entry is not None and entry.expires_at is not None
    assert entry.expires_at - entry.updated_at > timedelta(seconds=140)
    # a write gives another time to live, and later reads go by that
    await store.aput(NS, "k", {"n": 2}, ttl=2)
    await clock.advance(100)
    await store.aget(NS, "k")
    await clock.advance(110)
    assert await store.aget(NS, "k", refresh_ttl=False) is not None
    await clock.advance(10)
    assert await store.aget(NS, "k") is None


async def test_refresh_on_read_may_be_off(state: State, clock: Clock) -> None:
    store = PgStateStore(state, ttl={"default_ttl": 1, "refresh_on_read": False})
    await store.aput(NS, "k", {})
    await clock.advance(50)
    assert await store.aget(NS, "k") is not None and await store.asearch(NS)
    await clock.advance(10)
    assert await store.aget(NS, "k") is None and await store.asearch(NS) == []


async def test_who_may_only_read_lets_nothing_live_on(state: State, clock: Clock) -> None:
    await state.create_agent("reader")
    await state.grant_access("reader", "store/**", "read")
    await PgStateStore(state).aput(NS, "k", {"n": 1}, ttl=1)
    store = PgStateStore(state.as_agent("reader"))
    await clock.advance(50)
    assert [item.value for item in await store.asearch(())] == [{"n": 1}]
    with pytest.raises(errors.AccessDenied):
        await store.aput(NS, "k", {})
    with pytest.raises(errors.AccessDenied):
        await store.abatch([PutOp(NS, "k", {}), PutOp(NS, "l", {})])
    await clock.advance(10)
    assert await store.aget(NS, "k") is None


async def test_versions_compare_and_set_and_history(store: PgStateStore) -> None:
    await store.aput(NS, "k", {"n": 1}, expect=0)
    item = await store.aget(NS, "k")
    assert isinstance(item, StoredItem)
    await store.aput(NS, "k", {"n": 2}, expect=item.version)
    with pytest.raises(errors.VersionConflict) as caught:
        await store.aput(NS, "k", {"n": 3}, expect=item.version)
    assert caught.value.version == 2 and caught.value.current is not None
    (found,) = await store.asearch(NS)
    assert isinstance(found, StoredSearchItem) and found.version == 2
    await store.adelete(NS, "k")
    history = await store.ahistory(NS, "k")
    assert [(version.op, version.value) for version in history] == [
        ("delete", None),
        ("put", {"n": 2}),
        ("put", {"n": 1}),
    ]
    assert [version.version for version in await store.ahistory(NS, "k", limit=1, before=3)] == [2]


async def test_eight_writers_lose_nothing(dsn: str, store: PgStateStore) -> None:
    async def add(own: PgStateStore) -> None:
        for _ in range(5):
            while True:
                item = await own.aget(NS, "n")
                assert isinstance(item, StoredItem)
                try:
                    await own.aput(NS, "n", {"n": item.value["n"] + 1}, expect=item.version)
                except errors.VersionConflict:
                    continue
                break

    await store.aput(NS, "n", {"n": 0})
    async with pgstate.connect(dsn, connections=2) as one, pgstate.connect(dsn, connections=2) as two:
        await asyncio.gather(*(add(PgStateStore(own)) for own in [one, two] * 4))
    item = await store.aget(NS, "n")
    assert item is not None and item.value == {"n": 40}


async def test_synchronous_calls_from_anywhere(store: PgStateStore, dsn: str) -> None:
    def use(own: PgStateStore, key: str) -> None:
        own.put(NS, key, {"n": 1})
        item = own.get(NS, key)
        assert isinstance(item, StoredItem) and item.value == {"n": 1}
        own.put(NS, key, {"n": 2}, expect=item.version)
        assert [found.value for found in own.search(NS, filter={"n": 2})] == [{"n": 2}]
        assert own.list_namespaces(prefix=("users",)) == [NS]
        assert len(own.history(NS, key)) == 2
        assert own.batch([GetOp(NS, key), PutOp(NS, key, None)])[0] is not None
        own.delete(NS, key)
        assert own.get(NS, key) is None

    # on the loop of the state itself, where the reference deadlocks or refuses
    use(store, "on the loop")
    with ThreadPoolExecutor(1) as threads:
        threads.submit(use, store, "in a thread that the loop waits for").result()
    await asyncio.to_thread(use, store, "in a thread")
    with pgstate.sync.connect(dsn) as sync:
        use(PgStateStore(sync), "a synchronous state")
        await PgStateStore(sync).aput(NS, "k", {"n": 7})
    item = await store.aget(NS, "k")
    assert item is not None and item.value == {"n": 7}


async def test_by_an_address(database: Database, dsn: str) -> None:
    async with PgStateStore.from_conn_string(dsn, ttl={"default_ttl": 5}) as store:
        await store.setup()
        await store.aput(NS, "k", {"n": 1})

    def synchronous() -> Any:
        with PgStateStore.from_conn_string(dsn) as store:
            store.setup()
            item = store.get(NS, "k")
            return item and item.value

    assert await asyncio.to_thread(synchronous) == {"n": 1}


async def test_what_it_takes_to_expire_with_the_reference_has_no_effect(dsn: str) -> None:
    async with PgStateStore.from_conn_string(dsn, ttl={"default_ttl": 5}) as store:
        await (await store.start_ttl_sweeper())
        assert await store.sweep_ttl() == 0
        assert await store.stop_ttl_sweeper(timeout=1)

    def synchronous() -> None:
        with PgStateStore.from_conn_string(dsn, ttl={"default_ttl": 5}) as store:
            store.start_ttl_sweeper(sweep_interval_minutes=1).result(timeout=1)
            assert store.sweep_ttl() == 0
            assert store.stop_ttl_sweeper()

    await asyncio.to_thread(synchronous)


async def test_stores_with_prefixes_of_their_own(state: State) -> None:
    one, two = PgStateStore(state, prefix="memory/ana"), PgStateStore(state, prefix="memory/a")
    await one.aput(NS, "k", {"n": 1})
    await two.aput(NS, "k", {"n": 2})
    assert [item.value for item in await one.asearch(())] == [{"n": 1}]
    assert await two.alist_namespaces(max_depth=1) == [("users",)]
    assert [entry.key for entry in await state.list("memory/**")] == [
        "memory/a/users/ana/k",
        "memory/ana/users/ana/k",
    ]


async def test_a_change_is_watched_like_any_other(store: PgStateStore, state: State) -> None:
    async with state.watch("store/users/**") as changes:
        await store.aput(NS, "k", {"n": 1})
        change = await anext(changes)
    assert (change.key, change.value) == ("store/users/ana/k", {"n": 1})


async def test_a_claimed_item_is_not_written(store: PgStateStore, state: State) -> None:
    await store.aput(NS, "k", {"n": 1})
    assert await state.claim("store/users/ana/k") is not None
    with pytest.raises(errors.ClaimHeld):
        await store.aput(NS, "k", {"n": 2})
    with pytest.raises(errors.ClaimHeld):
        await store.abatch([PutOp(NS, "k", {"n": 2}), PutOp(NS, "l", {"n": 2})])
    assert await store.aget(NS, "l") is not None


@pytest.fixture
def run_graph() -> Callable[[PgStateStore], Any]:
    from langgraph.config import get_store
    from langgraph.graph import END, START, StateGraph
    from typing_extensions import TypedDict

    class Words(TypedDict):
        word: str

    def remember(state: Words) -> Words:
        store = get_store()
        # a plain node: it runs in a thread, and calls the synchronous methods
        store.put(NS, state["word"], {"word": state["word"]})
        return {"word": ",".join(sorted(item.key for item in store.search(NS)))}

    def run(store: PgStateStore) -> Any:
        builder = StateGraph(Words)
        builder.add_node("remember", remember)
        builder.add_edge(START, "remember")
        builder.add_edge("remember", END)
        return builder.compile(store=store)

    return run


async def test_in_a_graph(store: PgStateStore, run_graph: Callable[[PgStateStore], Any]) -> None:
    graph = run_graph(store)
    assert await graph.ainvoke({"word": "owl"}) == {"word": "owl"}
    assert graph.invoke({"word": "bat"}) == {"word": "bat,owl"}


async def test_items_in_the_state_of_a_graph(store: PgStateStore, state: State) -> None:
    """They come back from its checkpoints as they were, as the reference's do, whichever saver keeps those."""
    theirs = InMemoryStore()
    theirs.put(NS, "k", {"n": 1})
    await store.aput(NS, "k", {"n": 1})
    await store.aput(NS, "k", {"n": 2})
    held = [await store.aget(NS, "k"), *await store.asearch(NS), theirs.get(NS, "k"), *theirs.search(NS)]
    builder = StateGraph(Held)
    builder.add_node("stay", lambda _: {})
    builder.add_edge(START, "stay")
    for saver in (PgStateSaver(state), InMemorySaver()):
        graph = builder.compile(checkpointer=saver)
        await graph.ainvoke({"held": held}, at("t"))
        found = (await graph.aget_state(at("t"))).values["held"]
        assert list(map(type, found)) == [StoredItem, StoredSearchItem, Item, SearchItem]
        assert found == held
        assert [item.version for item in found[:2]] == [2, 2]
    assert pickle.loads(pickle.dumps(held)) == held
