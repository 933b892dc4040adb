"""PgStateStore beside LangGraph's AsyncPostgresStore: `python -m benchmarks.store`."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, PutOp
from langgraph.store.postgres.aio import AsyncPostgresStore

import pgstate
from benchmarks._least import Least, least
from benchmarks._measure import Comparison, Effort, compare
from benchmarks._run import run
from benchmarks._server import AREAS, Server
from benchmarks._table import Line, Report
from pgstate.integrations.langgraph import PgStateStore

_SIZES, _QUICK = (10_000, 100_000), (2000,)
_DIMS = 64
_CLUSTERS = 200
_USERS = 100
_BATCH = 500
_QUERIES = 50
_CONNECTIONS = 10
_NEAREST = 10
_PLAIN = 1000
# What any store that keeps versions writes, for items that exist: by the owner of our tables, without access control or
# protection against writing twice, whether somebody has claimed them or not.
_BY_HAND = """
with changed as (
  update pgstate.entry e
     set version = e.version + 1, value = i.value, writer = 'agent', via = 'agent', updated_at = now()
    from unnest($1::text[], $2::text[]::jsonb[]) i (key, value) where e.key = i.key collate "C"
  returning e.key, e.version, e.value
)
insert into pgstate.version (key, version, epoch, op, value, writer, via, at)
select key, version, 1, 'put', value, 'agent', 'agent', now() from changed
"""


# what any search reads that has no index for its filter, written for this one filter
_FILTER_BY_HAND = """
select e.key, e.value::text, e.created_at, e.updated_at from pgstate.entry e
 where e.key >= 'store/docs/' and e.key < 'store/docs0' and e.value @> '{"n": 77}' and e.live
   and (e.expires_at is null or e.expires_at > now())
 order by e.updated_at desc limit 10
"""


class _Model(Embeddings):
    """Vectors as those of texts are, around some centres, and known beforehand: it is stores that are measured."""

    def __init__(self) -> None:
        chance = random.Random(7)
        self._centres = [[chance.gauss(0, 1) for _ in range(_DIMS)] for _ in range(_CLUSTERS)]
        self._known: dict[str, list[float]] = {}

    def learn(self, text: str) -> str:
        """Makes the vector of a text."""
        chance = random.Random(text)
        centre = self._centres[chance.randrange(_CLUSTERS)]
        vector = [middle + chance.gauss(0, 0.6) for middle in centre]
        length = math.sqrt(sum(number * number for number in vector))
        self._known[text] = [number / length for number in vector]
        return text

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._known[text]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        return self.embed_query(text)


async def measure(server: Server, quick: bool) -> Report:
    """Items with vectors, written, read and searched; recall beside the time."""
    effort = Effort(3, 0.5) if quick else Effort(5, 1.0)
    report = Report(f"LangGraph's store: items of 250 bytes in {_USERS} namespaces", "AsyncPostgresStore")
    for count in _QUICK if quick else _SIZES:
        await _measure(server, count, effort, report)
    report.notes.append(
        f"{effort}. {_DIMS} dimensions, HNSW, searched on either side as widely (hnsw.ef_search) as ours does by "
        f"itself; {_CONNECTIONS} connections on either side; ours as an agent with {len(AREAS) + 1} granted subtrees. "
        "By hand: statements on one connection, without a client. Versions: what any store writes that keeps them, in "
        "one statement as the tables' owner. All that is promised: a function for this case alone (least.sql). "
        f"Recall: how many of the {_NEAREST} that are nearest were among the first {_NEAREST}, over {_QUERIES} queries"
    )
    return report


async def _measure(server: Server, count: int, effort: Effort, report: Report) -> None:
    model = _Model()
    index: Any = {"dims": _DIMS, "embed": model, "fields": ["text"]}
    queries = [model.learn(f"query {n}") for n in range(_QUERIES)]
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(server.database())
        actor = await database.agent("agent", [*(f"{subtree}/**" for subtree in AREAS), "store/**"])
        raw = await asyncpg.connect(database.dsn)
        stack.push_async_callback(raw.close)
        await raw.execute("create extension vector")
        admin = await stack.enter_async_context(pgstate.connect(database.dsn, timeout=600))
        await PgStateStore(admin, index=index).setup()
        while (await admin.maintain()).more:
            pass
        state = await stack.enter_async_context(
            pgstate.connect(actor.dsn, agent=actor.name, timeout=600, connections=_CONNECTIONS)
        )
        ours = PgStateStore(state, index=index)
        # what ours does by itself (sql/functions/search/_nearest_indexed.sql); pgvector's default finds less
        width = max(40, round(0.6 * math.sqrt(count)))
        settings: Any = {"min_size": 1, "max_size": _CONNECTIONS, "kwargs": {"options": f"-c hnsw.ef_search={width}"}}
        peer = await stack.enter_async_context(
            AsyncPostgresStore.from_conn_string(database.dsn, index=index, pool_config=settings)
        )
        await peer.setup()
        for number in range(0, count, _BATCH):
            puts = [_put(model, n) for n in range(number, min(number + _BATCH, count))]
            for store in (ours, peer):
                await store.abatch(puts)
        await raw.execute("vacuum analyze")
        await server.settle()
        comparisons = [*_comparisons(ours, peer, model, queries, count), *await _by_hand(raw, ours, peer, count)]
        if server.own:
            known = await stack.enter_async_context(least(database.dsn, actor.dsn, "store/least"))
            comparisons += _promised_by_hand(known, peer, count)
        await compare(comparisons, effort)
        for comparison in comparisons:
            report.add(comparison)
        nearest = [await _nearest(raw, model, query) for query in queries]
        recalls = [await _recall(store, queries, nearest) for store in (ours, peer)]
    report.lines.append(
        Line(
            f"{count:,}: recall of the vector search",
            f"{recalls[0]:.3f}",
            f"{recalls[1]:.3f}",
            f"{recalls[0] - recalls[1]:+.3f}",
            "at most 0.005 less",
            recalls[0] >= recalls[1] - 0.005,
        )
    )


def _put(model: _Model, n: int) -> PutOp:
    text = model.learn(f"item {n} " + "about this and that " * 8)
    value = {"text": text, "n": n, "color": ("red", "green", "blue")[n % 3], "author": {"name": f"user {n % 7}"}}
    return PutOp(("docs", f"user-{n % _USERS:03d}"), f"item-{n:06d}", value)


def _plain(n: int) -> PutOp:
    """One of the items without a vector."""
    return PutOp(("docs", f"user-{n % _USERS:03d}"), f"plain-{n % _PLAIN}", {"n": n, "text": "x" * 200}, index=False)


def _one(n: int) -> list[PutOp]:
    return [_plain(n)]


def _many(n: int) -> list[PutOp]:
    return [_plain(n * 64 + place) for place in range(64)]


def _rows(puts: Sequence[PutOp]) -> tuple[list[str], list[str]]:
    return ["/".join(("store", *put.namespace, put.key)) for put in puts], [json.dumps(put.value) for put in puts]


def _beside(
    label: str, peer: BaseStore, own: Callable[[list[PutOp]], Awaitable[Any]], puts: Callable[[int], list[PutOp]]
) -> Comparison:
    return Comparison(label, lambda n: own(puts(n)), lambda n: peer.abatch(puts(n)))


async def _by_hand(raw: asyncpg.Connection, ours: BaseStore, peer: BaseStore, count: int) -> list[Comparison]:
    for store in (ours, peer):
        await store.abatch([_plain(n) for n in range(_PLAIN)])

    async def write(puts: Sequence[PutOp]) -> None:
        await raw.execute(_BY_HAND, *_rows(puts))

    return [
        Comparison(
            f"{count:,}: a filter that 0.1 % pass; by hand",
            lambda n: raw.fetch(_FILTER_BY_HAND),
            lambda n: peer.asearch(("docs",), filter={"n": {"$eq": 77}}),
        ),
        _beside(f"{count:,}: a batch of 64 puts without", peer, ours.abatch, _many),
        _beside(f"{count:,}: put without; by hand, versions and no more", peer, write, _one),
        _beside(f"{count:,}: a batch of 64; by hand, versions and no more", peer, write, _many),
    ]


def _promised_by_hand(known: Least, peer: BaseStore, count: int) -> list[Comparison]:
    async def write(puts: Sequence[PutOp]) -> None:
        ((key,), (value,)) = _rows(puts)
        await known.run("select least.put($1, $2::text::jsonb, $3, $4)", key, value)

    async def write_many(puts: Sequence[PutOp]) -> None:
        await known.run("select least.put_many($1, $2::text[]::jsonb[], $3, $4)", *_rows(puts))

    return [
        _beside(f"{count:,}: put without; by hand, all that is promised", peer, write, _one),
        _beside(f"{count:,}: a batch of 64; by hand, all that is promised", peer, write_many, _many),
    ]


def _comparisons(
    ours: BaseStore, peer: BaseStore, model: _Model, queries: Sequence[str], count: int
) -> list[Comparison]:
    def namespace(n: int) -> tuple[str, str]:
        return ("docs", f"user-{n % _USERS:03d}")

    def both(label: str, call: Any, tasks: int = 1, wanted: float | None = 1.0) -> Comparison:
        return Comparison(f"{count:,}: {label}", lambda n: call(ours, n), lambda n: call(peer, n), tasks, wanted)

    def put(store: BaseStore, n: int) -> Any:
        again = _put(model, n * 7919 % count)
        return store.aput(again.namespace, again.key, {**(again.value or {}), "again": n})

    def put_plain(store: BaseStore, n: int) -> Any:
        plain = _plain(n)
        return store.aput(plain.namespace, plain.key, plain.value or {}, index=False)

    def get(store: BaseStore, n: int) -> Any:
        item = n * 7919 % count
        return store.aget(namespace(item), f"item-{item:06d}")

    def search(**options: Any) -> Any:
        return lambda store, n: store.asearch(("docs",), **options)

    return [
        both("put with a vector", put),
        both("put with a vector, 64 tasks", put, 64),
        both("put without", put_plain),
        both("put without, 64 tasks", put_plain, 64),
        both("get", get),
        both("get, 64 tasks", get, 64),
        both("the latest of a namespace", lambda store, n: store.asearch(namespace(n))),
        both("a filter in a namespace", lambda store, n: store.asearch(namespace(n), filter={"color": "red"})),
        both("a filter that 0.1 % pass", search(filter={"n": {"$eq": 77}})),
        both("vectors", lambda store, n: store.asearch(("docs",), query=queries[n % _QUERIES])),
        both(
            "vectors and a filter that a third passes",
            lambda store, n: store.asearch(("docs",), query=queries[n % _QUERIES], filter={"color": "red"}),
        ),
        both("vectors in a namespace", lambda store, n: store.asearch(namespace(n), query=queries[n % _QUERIES])),
        both("vectors, 16 tasks", lambda store, n: store.asearch(("docs",), query=queries[n % _QUERIES]), 16),
        both("list_namespaces", lambda store, n: store.alist_namespaces(prefix=("docs",))),
    ]


async def _nearest(raw: asyncpg.Connection, model: _Model, query: str) -> set[str]:
    """The items that are nearest, by comparing all."""
    async with raw.transaction():
        await raw.execute("set local enable_indexscan = off")
        rows = await raw.fetch(
            "select key from public.store_vectors"
            " order by embedding operator(public.<=>) $1::text::public.vector limit $2",
            str(model.embed_query(query)),
            _NEAREST,
        )
    return {row["key"] for row in rows}


async def _recall(store: BaseStore, queries: Sequence[str], nearest: Sequence[set[str]]) -> float:
    hits = 0
    for query, wanted in zip(queries, nearest, strict=True):
        hits += len(wanted & {item.key for item in await store.asearch(("docs",), query=query, limit=_NEAREST)})
    return hits / (len(queries) * _NEAREST)


if __name__ == "__main__":
    run([measure], __doc__)
