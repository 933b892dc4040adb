"""How a store's items get vectors: LangGraph's index configuration, with what its PostgresStore adds to it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict
from weakref import WeakKeyDictionary

from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig, ensure_embeddings, get_text_at_path, tokenize_path
from langgraph.store.base.embed import EmbeddingsLambda

from pgstate import State, errors

Vectors: TypeAlias = list[list[float]]
_Waiting: TypeAlias = list[tuple[Sequence[str], asyncio.Future[Vectors]]]
_METHODS: dict[str, Literal["hnsw", "ivfflat", "exact"]] = {"hnsw": "hnsw", "ivfflat": "ivfflat", "flat": "exact"}
_OPTIONS = {"m": "m", "ef_construction": "ef_construction", "nlist": "lists"}


class AnnIndexConfig(TypedDict, total=False):
    """The vector index: `kind` is hnsw (with m and ef_construction), ivfflat (with nlist) or flat, which compares every
    vector; `vector_type` is vector up to 2,000 dimensions, halfvec up to 4,000."""

    kind: Literal["hnsw", "ivfflat", "flat"]
    vector_type: Literal["vector", "halfvec"]
    m: int
    ef_construction: int
    nlist: int


class StoreIndexConfig(IndexConfig, total=False):
    """LangGraph's IndexConfig (dims, embed, fields) and PostgresStore's additions. `model` names the model of `embed`:
    vectors of two models are never compared. `name` is that of the vector index, by the store's prefix unless given."""

    distance_type: Literal["cosine", "l2", "inner_product"]
    ann_index_config: AnnIndexConfig
    model: str
    name: str


class Index:
    """A store's index configuration at work."""

    def __init__(self, config: StoreIndexConfig, prefix: str) -> None:
        ann = dict(config.get("ann_index_config") or {})
        kind, self._type = ann.pop("kind", "hnsw"), ann.pop("vector_type", None)
        if kind not in _METHODS or self._type not in (None, "vector", "halfvec") or not ann.keys() <= _OPTIONS.keys():
            raise errors.InvalidArgument(
                "ann_index_config has kind (hnsw, ivfflat, flat), vector_type (vector, halfvec), m, ef_construction, "
                "and nlist"
            )
        self._method = _METHODS[str(kind)]
        self._options = {_OPTIONS[name]: value for name, value in ann.items()}
        self._dims = config["dims"]
        self._distance = config.get("distance_type", "cosine")
        plain = re.sub(r"\W", "_", prefix.lower(), flags=re.ASCII)
        self.name = config.get("name") or re.sub(r"^(?![a-z])", "v", plain)[:63]
        self._embeddings = ensure_embeddings(config.get("embed"))
        self.model = config.get("model") or _model_of(config.get("embed")) or "unnamed"
        self._fields = self._paths(config.get("fields") or ["$"])
        # texts of calls that come together are embedded in one call; by event loop
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, _Waiting] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    @staticmethod
    def _paths(fields: Sequence[str]) -> list[str | list[str]]:
        return [field if field == "$" else tokenize_path(field) for field in fields]

    async def prepare(self, state: State, subtree: str) -> None:
        """Makes the vector index, and lets what is written below be found by it. Can be done again."""
        await state.create_vectors(
            self.name,
            self._dims,
            model=self.model,
            distance=self._distance,
            method=self._method,
            type=self._type,  # type: ignore[arg-type]
            options=self._options,  # type: ignore[arg-type]
        )
        # words are not asked for, and vectors come with the items
        await state.set_search(subtree, fields=[], config="simple", vectors=self.name, vector_fields=[])

    def texts(self, value: Mapping[str, Any], fields: Literal[False] | list[str] | None) -> list[str]:
        """What is embedded of a value: what its fields select, or those of the store."""
        if fields is False:
            return []
        paths = self._fields if fields is None else self._paths(fields)
        return [text for path in paths for text in get_text_at_path(value, path)]

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """A vector for each text. Raises InvalidArgument when the model makes others than it should."""
        if not texts:
            return []
        loop = asyncio.get_running_loop()
        waiting = self._waiting.get(loop)
        if waiting is None:
            waiting = self._waiting[loop] = []
            loop.call_soon(self._start, loop)
        made: asyncio.Future[Vectors] = loop.create_future()
        waiting.append((texts, made))
        return await made

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        work: Coroutine[Any, Any, None] = self._embed(self._waiting.pop(loop))
        task = loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _embed(self, waiting: _Waiting) -> None:
        try:
            distinct = list(dict.fromkeys(text for texts, _ in waiting for text in texts))
            vectors = self._checked(await self._embeddings.aembed_documents(distinct), len(distinct))
            by_text = dict(zip(distinct, vectors, strict=True))
        except Exception as error:
            for _, made in waiting:
                if not made.done():
                    made.set_exception(error)
        else:
            for texts, made in waiting:
                if not made.done():
                    made.set_result([by_text[text] for text in texts])

    def _checked(self, made: Any, count: int) -> Vectors:
        try:
            vectors = [list(vector) for vector in made]
        except TypeError:
            vectors = []
        if len(vectors) != count or any(len(vector) != self._dims for vector in vectors):
            raise errors.InvalidArgument(
                f"the embedding function was given {count} texts, and has to return a vector of "
                f"{self._dims} dimensions for each"
            )
        return vectors

    async def embed_query(self, query: str) -> list[float]:
        """The vector of what is searched for. Raises InvalidArgument as `embed` does."""
        if isinstance(self._embeddings, EmbeddingsLambda):
            # asked for one, LangGraph's wrapper of a function takes the first of whatever that returns
            made: Any = await self._embeddings.aembed_documents([query])
        else:
            made = [await self._embeddings.aembed_query(query)]
        return self._checked(made, 1)[0]


def _model_of(embed: Any) -> str | None:
    """The model's name, where it is known: a provider string, or what LangChain's classes call it."""
    if isinstance(embed, str):
        return embed
    if isinstance(embed, Embeddings):
        for name in ("model", "model_name", "model_id"):
            if isinstance(known := getattr(embed, name, None), str):
                return known
    return None
