"""Search by words, vectors and filters, and what is indexed for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pgstate import errors
from pgstate._areas._base import Area
from pgstate._calls import search
from pgstate._calls._run import Connection
from pgstate._json import decode, encode
from pgstate.types import FoundPage, SearchRule, Unembedded, VectorIndex

_FRESH = 64  # entries that a search embeds at most before it looks


class Search(Area):
    """search, set_search, drop_search, searches, vector indexes, embed."""

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
    ) -> FoundPage:
        """Entries that match a pattern and that the agent may read, best first: by a query as people type it (words,
        "a phrase", or, -not), by a vector, or by both; without either those that fit the filter, in key order.

        `filter` is an object of fields and what they are: `{"status": "open", "author.name": "ana", "tries":
        {"$gt": 3}, "$or": [{"tags[*]": "x"}, {"due": {"$exists": False}}]}`; operators are $eq $ne $gt $gte $lt $lte
        $in $nin $exists $contains $not, and types that differ never compare. `limit` is 1 to 10,000; `after` goes on
        behind a page (`page.after`). `mode` is text (ts_rank_cd), vector (distance), or hybrid (reciprocal rank fusion
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
        wanted = None if vector is None else [float(number) for number in vector]
        if wanted is None and embedding is not None and text is not None and mode != "text":
            if await self._embeds(full, vectors):
                await self._core.fill(full, self._agent, self._timeout, _FRESH)
                (wanted,) = await embedding([text])
                model = embedding.model
            elif mode is None:
                mode = "text"
        start = None if after is None else _moved(after, self._key)
        sent = None if mode == "vector" else text
        with self._to(f"search {full or 'everything'}", "read"):
            rows = await self._core.call(
                lambda c, left: search.search(
                    c, full, sent, fits, limit, start, mode, wanted, vectors, model, self._agent, timeout=left
                ),
                self._timeout,
            )
        more = _moved(rows[-1]["after"], lambda key: key[self._skip :]) if len(rows) >= limit else None
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
        entries are embedded for, with a vector for each match of `vector_fields`, or one for all of the value. What is
        there already is found meanwhile, slower, until any connected client has indexed it. Raises InvalidPattern,
        InvalidArgument, AccessDenied (needs admin on all of the subtree, the first one admin on everything, because all
        writes wait while the database begins to follow them), DatabaseError when another transaction that has written
        stays open.
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
        if model is None and self._core.embedding is None:
            raise errors.InvalidArgument("name the model: this client was connected without embed")
        named = self._core.embedding.model if model is None and self._core.embedding is not None else model or ""
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
        with self._to(f"search {full or 'everything'}", "read"):
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
                [[float(number) for number in vector] for vector in vectors],
                entry.model if model is None else model,
                self._agent,
                timeout=left,
            ),
            self._timeout,
        )
        return str(rows[0]["status"]) if rows else "stale"

    async def embed(self, pattern: str = "", *, limit: int | None = None) -> int:
        """Embeds entries under a pattern that wait for vectors of the client's model, all or at most `limit`, and
        returns how many. Connected clients do it by themselves now and then. Raises InvalidArgument without
        `connect(embed=...)`, InvalidPattern, AccessDenied, and what the embedding function raises."""
        if self._core.embedding is None:
            raise errors.InvalidArgument("this client was connected without embed")
        full = self._pattern(pattern)
        with self._to(f"search {full or 'everything'}", "read"):
            return await self._core.following("embed").fill(full, self._agent, self._timeout, limit)

    async def _alter(self, call: Any, name: str) -> None:
        # once: a second try of what may have happened would say that there is nothing to drop
        async def run(connection: Connection) -> None:
            await call(connection, name, self._agent, timeout=self._timeout)

        await self._core.once(run, self._timeout)


def _meet(subtree: str, pattern: str) -> bool:
    """Can both hold the same key? By the parts before the first wildcard."""
    stems = [text.split("*", 1)[0].split("?", 1)[0].removesuffix("/") for text in (subtree, pattern)]
    return stems[0].startswith(stems[1]) or stems[1].startswith(stems[0])


def _moved(after: str, move: Callable[[str], str]) -> str:
    """A place among results, which ends with a key, with that key as somebody else has it."""
    place, space, key = after.rpartition(" ")
    return place + space + move(key)
