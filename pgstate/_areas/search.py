"""Search by words, vectors and filters, and what is indexed for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from pgstate import errors
from pgstate._areas.values import Values
from pgstate._bound import Queue, Single
from pgstate._calls import search
from pgstate._calls._run import Connection
from pgstate._core import NoLane, by_column
from pgstate._gather import Gatherer, Lane, Operation
from pgstate._json import decode, encode
from pgstate.types import UNSET, FoundPage, Row, SearchRule, Seconds, Unembedded, VectorIndex

_FRESH = 64  # entries that a search embeds at most before it looks


class Search(Values):
    """search, set_search, drop_search, searches, vector indexes, embed, put_embedded."""

    async def search(
        self,
        pattern: str = "",
        query: str | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        limit: int = 10,
        after: str | None = None,
        mode: Literal["text", "vector", "hybrid"] | None = None,
        vector: Sequence[float] | None = None,
        vectors: str | None = None,
        offset: int = 0,
        order: Literal["newest"] | None = None,
    ) -> FoundPage:
        """Entries that match a pattern and that the agent may read, best first: by a query as people type it (words,
        "a phrase", or, -not), by a vector, or by both; without either those that fit the filter, in key order.

        `filter` is an object of fields and what they are: `{"status": "open", "author.name": "ana", "tries":
        {"$gt": 3}, "$or": [{"tags[*]": "x"}, {"due": {"$exists": False}}]}`; operators are $eq $ne $gt $gte $lt $lte
        $in $nin $exists $contains $not, and types that differ never compare. `limit` is 1 to 10,000; `after` goes on
        behind a page (`page.after`), `offset` passes over as many. With `order` newest, where nothing else gives one,
        those written last come first. `mode` is text (ts_rank_cd), vector (distance), or hybrid (reciprocal rank fusion
        of both); unless given, what there is. With `connect(embed=...)` queries are embedded, and entries under the
        pattern that wait for their vectors too, up to 64 at a time. `vectors` names the vector index where the pattern
        reaches several.
        Raises InvalidPattern, InvalidArgument, AccessDenied when the pattern reaches nothing that the agent may read,
        VectorsUnavailable, and what the embedding function raises.
        """
        full = self._pattern(pattern)
        text = query if query is not None and query.strip() else None
        fits = None if filter is None else encode(filter)
        embedding, model = self._core.embedding, None
        wanted = None if vector is None else _numbers(vector)
        if wanted is None and embedding is not None and text is not None and mode != "text":
            if await self._embeds(full, vectors):
                await self._core.fill(full, self._agent, self._timeout, _FRESH)
                (wanted,) = await embedding([text])
                model = embedding.model
            elif mode is None:
                mode = "text"
        start = None if after is None else _moved(after, self._key)
        sent = None if mode == "vector" else text
        with self._to(f"search {full or 'everything'}", "read", full):
            rows = await self._core.call(
                lambda c, left: search.search(
                    c,
                    full,
                    sent,
                    fits,
                    limit,
                    start,
                    mode,
                    wanted,
                    vectors,
                    model,
                    self._agent,
                    offset,
                    order,
                    timeout=left,
                ),
                self._timeout,
            )
        last = rows[-1]["after"] if len(rows) >= limit else None
        more = None if last is None else _moved(last, lambda key: key[self._skip :])
        return FoundPage(rows, more, decode, self._skip)

    async def _embeds(self, pattern: str, vectors: str | None) -> bool:
        """Is anything embedded for searching? Then a query has to be embedded too."""
        if vectors is not None:
            return True
        rows = await self._core.call(lambda c, left: search.searches(c, self._agent, timeout=left), self._timeout)
        return any(row["vectors"] is not None and _meet(row["subtree"], pattern) for row in rows)

    async def set_search(
        self,
        subtree: str,
        *,
        fields: Sequence[str] = ("$",),
        config: str = "english",
        vectors: str | None = None,
        vector_fields: Sequence[str] | None = None,
    ) -> None:
        """Has what is written to a key, a subtree (research/**) or everything (**), named in full also in a namespace,
        indexed for `search`; for each key the nearest subtree decides, and alone.

        `fields` are paths whose strings and numbers are searched (title, author.name, items[*].text; "$" is all of the
        value), `config` is Postgres's text search configuration. `vectors` names a vector index (`create_vectors`) that
        entries are embedded for, with a vector for each match of `vector_fields`, or one for all of the value; an
        empty list leaves it to writers to give them, with `put_embedded`. What is
        there already is found meanwhile, slower, until any connected client has indexed it. Raises InvalidPattern,
        InvalidArgument, QuotaExceeded (100 rules of one who does not administer everything), AccessDenied (needs admin
        on all of the subtree, the first one admin on everything, because all writes wait while the database begins to
        follow them), DatabaseError when another transaction that has written stays open.
        """
        paths = None if vector_fields is None else list(vector_fields)
        await self._core.call(
            lambda c, left: search.set_search(
                c, subtree, list(fields), config, vectors, paths, self._agent, timeout=left
            ),
            self._timeout,
        )

    async def drop_search(self, subtree: str) -> None:
        """Takes away what `set_search` set for a key or subtree. Raises InvalidPattern, InvalidArgument when there is
        none, AccessDenied."""
        await self._alter(search.drop_search, subtree)

    async def searches(self) -> list[SearchRule]:
        """What is indexed for `search`, of what holds for keys within the acting agent's grants."""
        rows = await self._core.call(lambda c, left: search.searches(c, self._agent, timeout=left), self._timeout)
        return [SearchRule(**row) for row in rows]

    async def create_vectors(
        self,
        name: str,
        dims: int,
        *,
        model: str | None = None,
        distance: Literal["cosine", "l2", "inner_product"] = "cosine",
        method: Literal["hnsw", "ivfflat", "exact"] = "hnsw",
        type: Literal["vector", "halfvec"] | None = None,
        options: Mapping[str, int] | None = None,
    ) -> None:
        """Makes a vector index, which `set_search` names: it holds vectors of one model (that of `connect(embed=...)`
        unless given) with `dims` dimensions.

        `method` exact makes no index and compares every vector. `type` is that of the index: vector up to 2,000
        dimensions, halfvec up to 4,000. `options`: m, ef_construction (hnsw), lists (ivfflat). Asked again with the
        same settings it restores an index that went with the extension. Raises VectorsUnavailable without pgvector (it
        says what is missing), InvalidArgument, AccessDenied (needs admin on everything).
        """
        named = self._model(model)
        given = None if options is None else encode(options)
        await self._core.call(
            lambda c, left: search.create_vectors(
                c, name, dims, named, distance, method, type, given, self._agent, timeout=left
            ),
            self._timeout,
        )

    async def drop_vectors(self, name: str) -> None:
        """Removes a vector index that no `set_search` names, with its vectors. Raises InvalidArgument, AccessDenied."""
        await self._alter(search.drop_vectors, name)

    async def vectors(self) -> list[VectorIndex]:
        """The vector indexes of the installation."""
        rows = await self._core.call(lambda c, left: search.vectors(c, self._agent, timeout=left), self._timeout)
        return [VectorIndex(**row) for row in rows]

    async def unembedded(self, pattern: str = "", *, limit: int = 100, after: str | None = None) -> list[Unembedded]:
        """Entries under a pattern that the agent may read and write and whose vectors are missing, or were of an older
        text, in key order. `search` finds them by words. `limit` is 1 to 10,000. Raises InvalidPattern,
        InvalidArgument, AccessDenied."""
        full = self._pattern(pattern)
        start = None if after is None else self._key(after)
        with self._to(f"search {full or 'everything'}", "read", full):
            rows = await self._core.call(
                lambda c, left: search.unembedded(c, full, limit, start, self._agent, timeout=left), self._timeout
            )
        return [Unembedded(**{**row, "key": row["key"][self._skip :]}) for row in rows]

    async def set_vectors(
        self, entry: Unembedded, vectors: Sequence[Sequence[float]], *, model: str | None = None
    ) -> str:
        """Stores the vectors of an entry as `unembedded` gave it, one for each of its texts: "ok", "stale" when its
        text has changed meanwhile or they are there already (then nothing is stored), "denied" without read and write.
        Raises InvalidArgument."""
        count = len(vectors)
        rows = await self._core.call(
            lambda c, left: search.set_vectors(
                c,
                [self._key(entry.key)] * count,
                [entry.digest] * count,
                list(range(count)),
                [_numbers(vector) for vector in vectors],
                entry.model if model is None else model,
                self._agent,
                timeout=left,
            ),
            self._timeout,
        )
        return str(rows[0]["status"]) if rows else "stale"

    async def put_embedded(
        self,
        key: str,
        value: Any,
        vectors: Sequence[Sequence[float]],
        *,
        model: str | None = None,
        expect: int | None = None,
        ttl: Seconds | None = None,
    ) -> int:
        """`put`, with the vectors that the entry is found by, until its next version: in one statement, so that no
        search finds it by an older text. For subtrees whose `set_search` has `vector_fields=[]`. `model` is that of the
        vectors, of the client unless given. Calls that come together share a statement. Raises InvalidArgument, and
        what `put` raises."""
        (row,) = await self._put_embedded([("put", key, value, expect, ttl, vectors)], self._model(model))
        return int(row["version"] or 0)

    async def _put_embedded(
        self,
        writes: Sequence[tuple[str, str, Any, int | None, Seconds | None, Sequence[Sequence[float]]]],
        model: str,
    ) -> list[Row]:
        """Puts and deletes with their vectors, each by itself; raises the first error when all have been tried."""
        plain, given, prepared = [], [], []
        for op, key, value, expect, ttl, vectors in writes:
            text = None if op == "delete" else encode(value)
            args = self._arguments(op, key, text, expect, UNSET, ttl, None, None, None, None, None, None)
            numbers = [_numbers(vector) for vector in vectors]
            if text is not None and (detection := self._core.guard.detection) is not None:
                await detection.written(args[1], decode(text))
            size = len(args[1]) + len(text or "") + 16 * sum(map(len, numbers))
            if numbers:
                given.append((args[1], (args, numbers), size))
            else:
                plain.append((args[1], args, size))
            prepared.append((args, bool(numbers)))
        lengths = {len(vector) for _, (_, numbers), _ in given for vector in numbers}
        if len(lengths) > 1:
            raise errors.InvalidArgument("vectors of one model have one length")
        # an array is of one width: another would be refused with all that share the statement
        self._core.stats.writes += len(prepared)
        waiting = []
        if given:
            kind = f"embedded {model} {max(lengths)}"
            queue = self._core.queue(kind, self._agent, partial(self._write_embedded, model), lanes=2)
            waiting.append(_submitted(queue, given, self._timeout))
        if plain:
            waiting.append(_submitted(self._core.writer(self._agent), plain, self._timeout))
        done = [await waiting[0]] if len(waiting) == 1 else await asyncio.gather(*waiting)
        outcomes = iter(done[0] if given else ()), iter(done[-1] if plain else ())
        rows: list[Row] = []
        failed: Exception | None = None
        for args, embedded in prepared:
            row = next(outcomes[0 if embedded else 1])
            try:
                if isinstance(row, Exception):
                    raise row
                rows.append(self._written(row, args))
            except errors.AccessDenied as error:
                failed = failed or self._write_denied(error, args, reads=embedded)
            except errors.PgStateError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return rows

    async def _write_embedded(
        self, model: str, batch: Sequence[Operation], lane: Lane | NoLane, lock_timeout: str | None, left: float
    ) -> Sequence[Row]:
        columns = by_column([o.args[0] for o in batch])
        owners = [place for place, o in enumerate(batch, 1) for _ in o.args[1]]
        vectors = [vector for o in batch for vector in o.args[1]]
        rows = await self._core.once(
            lambda c: search.write_embedded(
                c, columns, owners, vectors, model, lane.id, lane.turn, lock_timeout, self._agent, timeout=left
            ),
            left,
        )
        if rows[0]["watched"]:
            self._core.wake([o.key for o, row in zip(batch, rows, strict=True) if row["status"] == "ok"], self._agent)
        return rows

    def _model(self, model: str | None) -> str:
        if model is None and self._core.embedding is None:
            raise errors.InvalidArgument("name the model: this client was connected without embed")
        return self._core.embedding.model if model is None and self._core.embedding is not None else model or ""

    async def embed(self, pattern: str = "", *, limit: int | None = None) -> int:
        """Embeds entries under a pattern that wait for vectors of the client's model, all or at most `limit`, and
        returns how many. Connected clients do it by themselves now and then. Raises InvalidArgument without
        `connect(embed=...)`, InvalidPattern, AccessDenied, and what the embedding function raises."""
        if self._core.embedding is None:
            raise errors.InvalidArgument("this client was connected without embed")
        full = self._pattern(pattern)
        with self._to(f"search {full or 'everything'}", "read", full):
            return await self._core.following("embed").fill(full, self._agent, self._timeout, limit)

    async def _alter(self, call: Any, name: str) -> None:
        # once: a second try of what may have happened would say that there is nothing to drop
        async def run(connection: Connection) -> None:
            await call(connection, name, self._agent, timeout=self._timeout)

        await self._core.once(run, self._timeout)


def _numbers(vector: Sequence[float]) -> list[float]:
    try:
        return [float(number) for number in vector]
    except (TypeError, ValueError, OverflowError) as error:
        raise errors.InvalidArgument(f"a vector is a sequence of finite numbers ({error})") from error


async def _submitted(
    queue: Gatherer | Queue | Single, sent: Sequence[tuple[str, Any, int]], timeout: float
) -> Sequence[Row | Exception]:
    if len(sent) > 1:
        return await queue.submit_all(sent, timeout)
    try:
        return [await queue.submit(*sent[0], timeout)]
    except errors.PgStateError as error:
        return [error]


def _meet(subtree: str, pattern: str) -> bool:
    """Can both hold the same key? By the parts before the first wildcard."""
    stems = [text.split("*", 1)[0].split("?", 1)[0].removesuffix("/") for text in (subtree, pattern)]
    return stems[0].startswith(stems[1]) or stems[1].startswith(stems[0])


def _moved(after: str, move: Callable[[str], str]) -> str:
    """A place among results, which ends with a key, with that key as somebody else has it."""
    place, space, key = after.rpartition(" ")
    return place + space + move(key)
