"""`PgStateStore`: LangGraph's store as pgstate's entries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Literal, cast
from weakref import WeakKeyDictionary

from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    NamespacePath,
    NotProvided,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)

from pgstate import Entry, Found, State, Version, errors, ops
from pgstate import Result as Outcome
from pgstate._calls._run import outcome_error
from pgstate.integrations.langgraph._context import run_async, run_sync
from pgstate.integrations.langgraph._index import Index, StoreIndexConfig
from pgstate.integrations.langgraph._names import Names
from pgstate.integrations.langgraph._opening import Opening
from pgstate.integrations.langgraph._room import Room
from pgstate.integrations.langgraph._stored import StoredItem, StoredSearchItem
from pgstate.sync._bridge import AnyState
from pgstate.types import told

# results of one statement
_PAGE, _NAMESPACES = 10_000, 100_000


class PgStateStore(BaseStore):
    """LangGraph's store on pgstate: `builder.compile(store=PgStateStore(state))`.

    An item is an entry under `prefix` (`pgstate.key(prefix, *namespace, key)`), with all that holds for entries:
    grants, versions, history, the feed, policies. Labels of namespaces and keys are any text, 512 bytes together once
    quoted. Sync and async methods may be called from any thread and loop, sync ones on the state's own loop too; those
    take a state that was made with an address, or one of `pgstate.sync`.

    Filters are those of `State.search`: fields are paths (`author.name`, `tags[*]`; `\\.` is a dot within a name),
    types that differ never compare, and besides LangGraph's operators there are $in $nin $exists $contains $not $and
    $or. With `index` (LangGraph's IndexConfig, and PostgresStore's additions to it) items get vectors in the statement
    that writes them, and `search(query=...)` finds the nearest; what has none is not found so. Without `index`, or
    without a query, the items written last come first.

    `ttl` is LangGraph's TTLConfig. Times to live are exact, in minutes that need not be whole; what has expired is
    never returned and needs no sweeping. Reading lets an item live on for as long again, unless `refresh_ttl` says
    otherwise, where the agent may write it.

    Beyond LangGraph's interface: `put(..., expect=version)` writes only what nobody else has changed, and `history` has
    all versions. A batch reads first and then writes, each in few statements.
    """

    supports_ttl = True

    def __init__(
        self,
        state: AnyState,
        *,
        prefix: str = "store",
        index: StoreIndexConfig | None = None,
        ttl: TTLConfig | None = None,
    ) -> None:
        super().__init__()
        self._opening: Opening[PgStateStore] = Opening.of(state)
        self._names = Names(prefix)
        self.index_config = index
        self.ttl_config = ttl
        self._index = None if index is None else Index(index, prefix)
        # of the loops that this runs on: that of its state, a synchronous one's after a fork another
        self._rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, Room] = WeakKeyDictionary()

    @classmethod
    def from_conn_string(
        cls, conn_string: str, *, pipeline: bool = False, pool_config: Any = None, **options: Any
    ) -> Opening[PgStateStore]:
        """As that of LangGraph's stores: `with PgStateStore.from_conn_string(dsn) as store:`, or `async with`,
        connects, and closes the connections at the end. `options` are those of PgStateStore; `pipeline` and
        `pool_config` have no effect."""
        return Opening.at(conn_string, lambda opening: cls._opened(opening, **options))

    @classmethod
    def _opened(cls, opening: Opening[PgStateStore], **options: Any) -> PgStateStore:
        store = cls(cast(State, None), **options)
        store._opening = opening
        return store

    def setup(self) -> Any:
        """Migrates the database, if this store was made with an address and there is need, and makes the vector index
        of `index`, which takes admin. Can be done again. To be awaited, except in `with` and with a state of
        `pgstate.sync`."""
        if self._opening._synchronous:
            self._opening.setup()
            return run_sync(self._opening.state, self._prepare)
        return self._setup()

    async def _setup(self) -> None:
        await self._opening.setup()
        await run_async(self._opening.state, self._prepare)

    async def _prepare(self, state: State) -> None:
        if self._index is not None:
            await self._index.prepare(state, f"{self._names.prefix}/**")

    # what PostgresStore has besides, for those who come from there

    def sweep_ttl(self) -> Any:
        """0, as nothing that has expired is left to be swept. To be awaited as `setup` is."""
        return self._at_once(int)

    def start_ttl_sweeper(self, sweep_interval_minutes: int | None = None) -> Any:
        """Has no effect: a Future, or when awaited a Task, that is done at once."""
        return self._at_once(_done if self._opening._synchronous else _done_task)

    def stop_ttl_sweeper(self, timeout: float | None = None) -> Any:
        """True. To be awaited as `setup` is."""
        return self._at_once(lambda: True)

    def _at_once(self, make: Callable[[], Any]) -> Any:
        async def later() -> Any:
            return make()

        return make() if self._opening._synchronous else later()

    # LangGraph's interface: all of it is a batch, and its own checks refuse dots

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """As `abatch`."""
        asked = list(ops)
        return run_sync(self._opening.state, lambda state: self._batch(state, asked))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Runs operations: what reads first, then what writes; of several that write one item the last. Returns a
        result for each. Raises the first error, when all have been tried."""
        asked = list(ops)
        return await run_async(self._opening.state, lambda state: self._batch(state, asked))

    def get(self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None) -> StoredItem | None:
        """As `aget`."""
        return cast(StoredItem | None, self.batch([GetOp(namespace, str(key), self._refresh(refresh_ttl))])[0])

    async def aget(self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None) -> StoredItem | None:
        """The item, None if there is none or it has expired."""
        return cast(StoredItem | None, (await self.abatch([GetOp(namespace, str(key), self._refresh(refresh_ttl))]))[0])

    # a list of another type to a type checker, which lets a caller put what else there is into it
    def search(  # type: ignore[override]
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[StoredSearchItem]:
        """As `asearch`."""
        op = SearchOp(namespace_prefix, filter, limit, offset, query, self._refresh(refresh_ttl))
        return cast(list[StoredSearchItem], self.batch([op])[0])

    async def asearch(  # type: ignore[override]
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[StoredSearchItem]:
        """Items in a namespace and those below it: the nearest to a query first, or those written last."""
        op = SearchOp(namespace_prefix, filter, limit, offset, query, self._refresh(refresh_ttl))
        return cast(list[StoredSearchItem], (await self.abatch([op]))[0])

    def put(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
        expect: int | None = None,
    ) -> None:
        """As `aput`."""
        put = self._keyed(PutOp(namespace, str(key), value, index, self._ttl(ttl)))
        run_sync(self._opening.state, lambda state: self._write(state, [put], expect))

    async def aput(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
        expect: int | None = None,
    ) -> None:
        """Stores an item. `index`: False for no vectors, or the fields that get some. `ttl` is in minutes. `expect` is
        the version that the item must be at (`item.version`), 0 for none yet; else VersionConflict is raised, with
        what it is at."""
        put = self._keyed(PutOp(namespace, str(key), value, index, self._ttl(ttl)))
        await run_async(self._opening.state, lambda state: self._write(state, [put], expect))

    def delete(self, namespace: tuple[str, ...], key: str) -> None:
        """As `adelete`."""
        self.batch([PutOp(namespace, str(key), None)])

    async def adelete(self, namespace: tuple[str, ...], key: str) -> None:
        """Deletes an item. Its history stays."""
        await self.abatch([PutOp(namespace, str(key), None)])

    def list_namespaces(
        self,
        *,
        prefix: NamespacePath | None = None,
        suffix: NamespacePath | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[tuple[str, ...]]:
        """As `alist_namespaces`."""
        op = ListNamespacesOp(_conditions(prefix, suffix), max_depth, limit, offset)
        return cast(list[tuple[str, ...]], self.batch([op])[0])

    async def alist_namespaces(
        self,
        *,
        prefix: NamespacePath | None = None,
        suffix: NamespacePath | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[tuple[str, ...]]:
        """Namespaces that have items; "*" stands for one label. Costs what it returns."""
        op = ListNamespacesOp(_conditions(prefix, suffix), max_depth, limit, offset)
        return cast(list[tuple[str, ...]], (await self.abatch([op]))[0])

    # beyond it

    def history(
        self, namespace: tuple[str, ...], key: str, *, limit: int | None = 100, before: int | None = None
    ) -> list[Version]:
        """As `ahistory`."""
        full = self._names.key(namespace, key)
        return run_sync(self._opening.state, lambda state: state.history(full, limit=limit, before=before))

    async def ahistory(
        self, namespace: tuple[str, ...], key: str, *, limit: int | None = 100, before: int | None = None
    ) -> list[Version]:
        """Versions of an item, the newest first, with who wrote them and when."""
        full = self._names.key(namespace, key)
        return await run_async(self._opening.state, lambda state: state.history(full, limit=limit, before=before))

    async def _batch(self, state: State, asked: Sequence[Op]) -> list[Result]:
        results: list[Result] = [None] * len(asked)
        gets = [(place, op) for place, op in enumerate(asked) if isinstance(op, GetOp)]
        # first, for what it refuses: a coroutine that nobody awaits warns
        writes = dict(self._keyed(op) for op in asked if isinstance(op, PutOp))
        reads: list[Any] = [self._get(state, [op for _, op in gets])] if gets else []
        places: list[int | None] = [None] if gets else []
        for place, op in enumerate(asked):
            if isinstance(op, SearchOp):
                reads.append(self._search(state, op))
                places.append(place)
            elif isinstance(op, ListNamespacesOp):
                reads.append(self._list_namespaces(state, op))
                places.append(place)
        done = [await reads[0]] if len(reads) == 1 else await asyncio.gather(*reads)
        for at, result in zip(places, done, strict=True):
            if at is None:
                for (place, _), item in zip(gets, result, strict=True):
                    results[place] = item
            else:
                results[at] = result
        if writes:
            await self._write(state, list(writes.items()), None)
        return results

    async def _get(self, state: State, gets: Sequence[GetOp]) -> list[Item | None]:
        keys = [self._names.key(op.namespace, op.key) for op in gets]
        found = [await state.get(keys[0])] if len(keys) == 1 else await state.get_many(keys)
        await self._touch(state, [entry for op, entry in zip(gets, found, strict=True) if op.refresh_ttl])
        return [None if entry is None else StoredItem(**self._known(entry)) for entry in found]

    async def _search(self, state: State, op: SearchOp) -> list[SearchItem]:
        below = self._names.below(op.namespace_prefix)
        asked: dict[str, Any] = {"order": "newest"}
        if op.query and self._index is not None:
            asked = {"vector": await self._index.embed_query(op.query), "vectors": self._index.name, "mode": "vector"}
        found: list[Found] = []
        while (left := op.limit - len(found)) > 0:
            count = min(left, _PAGE)
            async with self._room():
                page = await state.search(
                    f"{below}/*/**", filter=op.filter, limit=count, offset=op.offset + len(found), **asked
                )
            found += page
            if len(page) < count:
                break
        if op.refresh_ttl:
            await self._touch(state, found)
        scored = "vector" in asked
        return [StoredSearchItem(**self._known(one), score=one.score if scored else None) for one in found]

    async def _list_namespaces(self, state: State, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        patterns = [self._names.pattern(condition) for condition in op.match_conditions or ()]
        found: list[str] = []
        while (left := op.limit - len(found)) > 0:
            count = min(left, _NAMESPACES)
            async with self._room():
                page = await state.namespaces(
                    f"{self._names.prefix}/*/**",
                    matching=[pattern for pattern in patterns if pattern is not None],
                    depth=None if op.max_depth is None else op.max_depth + self._names.prefix.count("/") + 1,
                    limit=count,
                    offset=op.offset + len(found),
                )
            found += page
            if len(page) < count:
                break
        return [self._names.namespace(key) for key in found]

    def _room(self) -> AbstractAsyncContextManager[None]:
        return self._rooms.setdefault(asyncio.get_running_loop(), Room()).place()

    def _keyed(self, op: PutOp) -> tuple[str, PutOp]:
        return self._names.key(op.namespace, op.key), op

    async def _write(self, state: State, keyed: Sequence[tuple[str, PutOp]], expect: int | None) -> None:
        if self._index is not None and any(op.value is not None and op.index is not False for _, op in keyed):
            await self._write_embedded(state, self._index, keyed, expect)
        elif len(keyed) == 1:
            ((key, op),) = keyed
            if op.value is None:
                await state.delete(key)
            else:
                await state.put(key, dict(op.value), expect=expect, ttl=_span(op.ttl))
        else:
            puts = [
                (key, dict(op.value)) if op.ttl is None else ops.put(key, dict(op.value), ttl=_span(op.ttl))
                for key, op in keyed
                if op.value is not None
            ]
            deletes = [key for key, op in keyed if op.value is None]
            done = await asyncio.gather(state.put_many(puts), state.delete_many(deletes))
            for outcome in [*done[0], *done[1]]:
                _check(outcome)

    async def _write_embedded(
        self, state: State, index: Index, keyed: Sequence[tuple[str, PutOp]], expect: int | None
    ) -> None:
        texts = [[] if op.value is None else index.texts(op.value, op.index) for _, op in keyed]
        vectors = iter(await index.embed([text for several in texts for text in several]))
        await state._put_embedded(
            [
                (
                    "delete" if op.value is None else "put",
                    key,
                    None if op.value is None else dict(op.value),
                    expect,
                    _span(op.ttl),
                    [next(vectors) for _ in several],
                )
                for (key, op), several in zip(keyed, texts, strict=True)
            ],
            index.model,
        )

    async def _touch(self, state: State, entries: Sequence[Entry[Any] | Found | None]) -> None:
        keys = [entry.key for entry in entries if entry is not None and entry.expires_at is not None]
        if keys:
            await state.touch(*keys)

    def _known(self, entry: Entry[Any] | Found) -> dict[str, Any]:
        namespace, key = self._names.item(entry.key)
        created: datetime = entry.created_at
        return {
            "namespace": namespace,
            "key": key,
            "value": told(entry),
            "version": entry.version,
            "created_at": created,
            "updated_at": entry.updated_at,
        }

    def _refresh(self, refresh_ttl: bool | None) -> bool:
        return refresh_ttl if refresh_ttl is not None else (self.ttl_config or {}).get("refresh_on_read", True)

    def _ttl(self, ttl: float | NotProvided | None) -> float | None:
        return (self.ttl_config or {}).get("default_ttl") if isinstance(ttl, NotProvided) else ttl


def _conditions(prefix: NamespacePath | None, suffix: NamespacePath | None) -> tuple[MatchCondition, ...]:
    given: list[tuple[Literal["prefix", "suffix"], NamespacePath | None]] = [("prefix", prefix), ("suffix", suffix)]
    return tuple(MatchCondition(kind, path) for kind, path in given if path)


def _done() -> Future[None]:
    done: Future[None] = Future()
    done.set_result(None)
    return done


def _done_task() -> asyncio.Task[None]:
    return asyncio.create_task(asyncio.sleep(0))


def _span(minutes: float | None) -> timedelta | None:
    return None if minutes is None else timedelta(minutes=minutes)


def _check(outcome: Outcome) -> None:
    if outcome.code is not None:
        raise outcome_error(outcome.code, outcome.message)
    if outcome.status == "held":
        raise errors.ClaimHeld(f"{outcome.key} is claimed: wait for its end", outcome.key)
