"""Vectors from the application's model: for queries, and for entries that wait for theirs."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from pgstate import errors
from pgstate._calls import search
from pgstate._in_thread import in_thread
from pgstate._source import Source, using
from pgstate.types import Row

EmbedFunction: TypeAlias = Callable[[list[str]], "Sequence[Sequence[float]] | Awaitable[Sequence[Sequence[float]]]"]

_PAGE = 100


class Embedding:
    """An embedding function and the name of its model, for `connect(embed=...)`.

    `function` takes a list of texts and returns a vector for each; async, or sync, which runs in a thread. `model` is
    the name that `create_vectors` was given: vectors of another model are refused by the database. `batch` is how many
    texts a call of the function gets at most.
    """

    def __init__(self, function: EmbedFunction, model: str, *, batch: int = 64) -> None:
        if not callable(function) or not model or batch < 1:
            raise errors.InvalidArgument("an embedding is a function, the name of its model, and a positive batch")
        self.function = function
        self.model = model
        self.batch = batch

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text. Raises InvalidArgument when the function returns anything else; its own errors
        pass."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), self.batch):
            part = list(texts[start : start + self.batch])
            made: Any
            if inspect.iscoroutinefunction(self.function):
                made = await self.function(part)
            else:
                made = await in_thread(self.function, part)
                if inspect.isawaitable(made):
                    made = await made
            try:
                vectors += [[float(number) for number in vector] for vector in made]
            except (TypeError, ValueError) as error:
                raise errors.InvalidArgument(
                    f"the embedding function returns no vectors of numbers: {error}"
                ) from error
            if len(vectors) != start + len(part):
                raise errors.InvalidArgument(
                    f"the embedding function was given {len(part)} texts and returned {len(vectors) - start} vectors"
                )
        return vectors


async def fill(
    source: Source, embedding: Embedding, pattern: str, agent: str | None, timeout: float, limit: int | None = None
) -> int:
    """Embeds entries that wait for vectors of this model, at most `limit`; returns how many. Those whose text changes
    meanwhile, or that the agent may only read, are passed over."""
    done = 0
    after: str | None = None
    while limit is None or done < limit:
        page = _PAGE if limit is None else min(_PAGE, limit - done)
        look = partial(search.unembedded, pattern=pattern, limit=page, after=after, agent=agent, timeout=timeout)
        rows = await using(source, look, timeout)
        done += await _embed(
            source, embedding, [row for row in rows if row["model"] == embedding.model], agent, timeout
        )
        if len(rows) < page:
            break
        after = rows[-1]["key"]
    return done


async def _embed(source: Source, embedding: Embedding, rows: Sequence[Row], agent: str | None, timeout: float) -> int:
    texts = [text for row in rows for text in row["texts"]]
    if not texts:
        return 0
    vectors = await embedding(texts)
    keys = [row["key"] for row in rows for _ in row["texts"]]
    digests = [row["digest"] for row in rows for _ in row["texts"]]
    chunks = [chunk for row in rows for chunk in range(len(row["texts"]))]
    if len({len(vector) for vector in vectors}) != 1:
        raise errors.InvalidArgument("the embedding function returns vectors of different lengths")
    stored = await using(
        source,
        lambda c: search.set_vectors(c, keys, digests, chunks, vectors, embedding.model, agent, timeout=timeout),
        timeout,
    )
    return sum(row["status"] == "ok" for row in stored)
