"""Search through the client and the shell, with an embedding function of the application's."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from _cases import first_of
from client._bound import KINDS, opened
from client._cli import Result, invoke, lines
from client.conftest import Connect
from conftest import Database
from pgstate import Embedding, Found, FoundPage, SearchRule, State, VectorIndex, _core, errors
from sql.test_vectors import pgvector

__all__ = ["pgvector"]

WORDS = ("owl", "eagle", "mouse", "night")


class Model:
    """A vector says which of the words a text has. Counts its calls and texts."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    async def __call__(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(texts)
        return self.vectors(texts)

    @staticmethod
    def vectors(texts: list[str]) -> list[list[float]]:
        return [[float(word in text.lower()) for word in WORDS] + [0.1] for text in texts]


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
async def birds(pgvector: None, connect: Connect, model: Model) -> State:
    """A client that embeds, with a few notes."""
    state = await connect(embed=Embedding(model, "toy", batch=3))
    await state.create_vectors("notes", 5)
    await state.set_search("notes/**", vectors="notes", vector_fields=["text"])
    await state.put_many(
        [
            ("notes/1", {"text": "An owl at night", "n": 1, "author": {"name": "ana"}}),
            ("notes/2", {"text": "The eagle and the mouse", "n": 2, "author": {"name": "bob"}}),
            ("notes/deep/3", {"text": "Mouse", "n": 3}),
            ("other/4", {"text": "an owl elsewhere", "n": 4}),
        ]
    )
    return state


async def test_words_filters_and_pages(state: State) -> None:
    await state.put_many([(f"k/{n:02}", {"text": "owl " * (n % 3 + 1), "n": n, "odd": bool(n % 2)}) for n in range(10)])
    for indexed in (False, True):
        if indexed:
            await state.set_search("k/**", fields=["text"])
            while (await state.maintain()).more:
                pass
        found = await state.search("k/**", "owls", filter={"n": {"$gte": 2}, "odd": True}, limit=2)
        assert isinstance(found, FoundPage)
        assert [entry.key for entry in found] == ["k/05", "k/07"]
        assert found[0].score is not None and found[0].text_rank == pytest.approx(found[0].score)
        assert (found[0].distance, found[0].writer, found[0].version, found[0].value["n"]) == (None, "admin", 1, 5)
        assert [entry.key for entry in found[0:1]] == ["k/05"] and isinstance(found[0], Found)
        more = await state.search("k/**", "owls", filter={"n": {"$gte": 2}, "odd": True}, limit=2, after=found.after)
        assert [entry.key for entry in more] == ["k/03", "k/09"]
        assert more.after is not None
        assert len(await state.search("k/**", "owls", filter={"n": {"$gte": 2}, "odd": True}, after=more.after)) == 0
        assert found[0].updated_at.tzinfo is not None and isinstance(repr(found), str)
        with pytest.raises(AttributeError):
            _ = found[0].priority
    listed = await state.search("k/**", filter={"odd": True}, limit=3)
    assert [entry.key for entry in listed] == ["k/01", "k/03", "k/05"]
    assert (listed[0].score, listed.after) == (None, "k/05")
    assert [e.key for e in await state.search("k/**", filter={"odd": True}, after=listed.after)] == ["k/07", "k/09"]
    (rule,) = await state.searches()
    assert isinstance(rule, SearchRule)
    assert (rule.subtree, rule.fields, rule.config, rule.vectors, rule.ready) == (
        "k/**",
        ["text"],
        "english",
        None,
        True,
    )
    await state.drop_search("k/**")
    with pytest.raises(errors.InvalidArgument, match="no search on"):
        await state.drop_search("k/**")


async def test_keys_are_relative_in_a_namespace(birds: State) -> None:
    notes = birds.namespace("notes")
    for mode in ("text", "vector", "hybrid", None):
        found: list[str] = []
        after = None
        while True:
            page = await notes.search("**", "owl or mouse", limit=1, mode=mode, after=after)
            found += [entry.key for entry in page]
            after = page.after
            if after is None:
                break
        assert sorted(found) == ["1", "2", "deep/3"], mode
    assert [e.key for e in await notes.search(filter={}, limit=2)] == ["1", "2"]
    assert [e.key for e in await notes.search(filter={}, after="2")] == ["deep/3"]


async def test_queries_and_entries_are_embedded(birds: State, model: Model) -> None:
    found = await birds.search("notes/**", "owl by night")
    assert found[0].key == "notes/1" and found[0].distance == pytest.approx(0, abs=1e-6)
    assert {entry.key for entry in found} == {"notes/1", "notes/2", "notes/deep/3"}
    assert model.calls == [["An owl at night", "The eagle and the mouse", "Mouse"], ["owl by night"]]
    assert await birds.unembedded() == []
    # once is enough
    await birds.search("notes/**", "eagle", mode="vector")
    assert model.calls[2:] == [["eagle"]]
    # nothing to embed for: words only
    assert [e.key for e in await birds.search("other/**", "owl")] == ["other/4"]
    await birds.search("notes/**", "eagle", mode="text")
    await birds.search("notes/**", filter={"n": 1})
    assert len(model.calls) == 3
    # a vector of one's own
    own = await birds.search("notes/**", vector=[0, 1, 1, 0, 0])
    assert [entry.key for entry in own] == ["notes/2", "notes/deep/3", "notes/1"]
    assert len(model.calls) == 3


async def test_only_what_changed_is_embedded_again(birds: State, model: Model) -> None:
    assert await birds.embed() == 3
    model.calls.clear()
    await birds.merge("notes/1", {"n": 99}, "merge")
    assert await birds.embed() == 0
    await birds.merge("notes/2", {"text": "no bird"}, "merge")
    (waiting,) = await birds.unembedded("notes/**")
    assert (waiting.key, waiting.version, waiting.texts, waiting.model, waiting.dims) == (
        "notes/2",
        2,
        ["no bird"],
        "toy",
        5,
    )
    assert await birds.embed("notes/**", limit=1) == 1
    assert model.calls == [["no bird"]]
    assert await birds.set_vectors(waiting, [[1, 0, 0, 0, 0]]) == "stale"


async def test_connected_clients_embed_by_themselves(
    birds: State, connect: Connect, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_core, "_PULSE", 0.01)
    monkeypatch.setattr(_core, "_MAINTAIN", 1)
    await connect(embed=Embedding(model, "toy"))
    async with asyncio.timeout(30):
        while await birds.unembedded():
            await asyncio.sleep(0.01)
    assert (await birds.search("notes/**", vector=[1, 0, 0, 1, 0], limit=1))[0].key == "notes/1"
    for wrong in ("no numbers", [None], [10**400]):
        with pytest.raises(errors.InvalidArgument, match="finite numbers"):
            await birds.search("notes/**", vector=wrong)  # type: ignore[arg-type]


async def test_a_model_that_takes_long_holds_up_no_expiry(
    birds: State, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    await birds.close()
    monkeypatch.setattr(_core, "_PULSE", 0.01)
    monkeypatch.setattr(_core, "_MAINTAIN", 1)
    asked = asyncio.Event()

    async def stuck(texts: list[str]) -> list[list[float]]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    only = await connect(embed=Embedding(stuck, "toy"))
    async with asyncio.timeout(30):
        await asked.wait()
        await only.put("short", 1, ttl=0.05)
        while [version.op for version in await only.history("short")] != ["expire", "put"]:
            await asyncio.sleep(0.01)
        await only.close()


@pytest.mark.parametrize("kind", first_of(KINDS, 3))
async def test_vectors_inside_a_transaction(birds: State, database: Database, kind: str) -> None:
    await birds.put("notes/5", {"text": "a mouse"})
    async with opened(kind, database.dsn()) as app, app.transaction():
        bound = birds.bind(app.raw)
        waiting = await bound.unembedded("notes/**")
        assert [entry.key for entry in waiting] == ["notes/1", "notes/2", "notes/5", "notes/deep/3"]
        for entry in waiting:
            assert await bound.set_vectors(entry, Model.vectors(entry.texts)) == "ok"
        found = await bound.search("notes/**", "owl", mode="hybrid")
        assert found[0].key == "notes/1"
        found = await bound.search("notes/**", vector=[0, 1.5e-7, 1, 0, 0], limit=2)
        assert [entry.key for entry in found] == ["notes/5", "notes/deep/3"]


async def test_a_function_that_fails_stops_nothing(
    birds: State, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(texts: list[str]) -> list[list[float]]:
        raise RuntimeError("no such model today")

    monkeypatch.setattr(_core, "_PULSE", 0.01)
    monkeypatch.setattr(_core, "_MAINTAIN", 1)
    with caplog.at_level(logging.WARNING, "pgstate"):
        other = await connect(embed=Embedding(broken, "toy"))
        with pytest.raises(RuntimeError, match="no such model"):
            await other.search("notes/**", "owl")
        async with asyncio.timeout(30):
            while "no such model" not in caplog.text:
                await asyncio.sleep(0.01)
    assert [e.key for e in await other.search("notes/**", "owl", mode="text")] == ["notes/1"]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda texts: [[1.0] * 5], "returned 1 vectors"),
        (lambda texts: [["x"] * 5 for _ in texts], "no vectors of numbers"),
        (lambda texts: None, "no vectors of numbers"),
        (lambda texts: [[1.0] * (n + 1) for n, _ in enumerate(texts)], "different lengths"),
        (lambda texts: [[1.0] * 4 for _ in texts], "5 dimensions, the vector has 4"),
    ],
)
async def test_what_is_no_vector_is_refused(birds: State, connect: Connect, function: Any, said: str) -> None:
    other = await connect(embed=Embedding(function, "toy"))
    with pytest.raises(errors.InvalidArgument, match=said):
        await other.embed()
    assert len(await birds.unembedded()) == 3


async def test_sync_functions_run_aside(birds: State, connect: Connect) -> None:
    other = await connect(embed=Embedding(Model.vectors, "toy"))
    assert await other.embed() == 3
    assert (await other.search("notes/**", "eagle"))[0].key == "notes/2"


async def test_another_model_is_refused(birds: State, connect: Connect) -> None:
    await birds.embed()
    other = await connect(embed=Embedding(Model.vectors, "gnomic-2"))
    with pytest.raises(errors.InvalidArgument, match="model toy, not of gnomic-2"):
        await other.search("notes/**", "owl")
    await birds.put("notes/5", {"text": "night"})
    assert await other.embed() == 0
    (index,) = await other.vectors()
    assert isinstance(index, VectorIndex)
    assert (index.name, index.model, index.dims, index.distance, index.method) == ("notes", "toy", 5, "cosine", "hnsw")
    with pytest.raises(errors.InvalidArgument, match="in use"):
        await birds.drop_vectors("notes")
    await birds.drop_search("notes/**")
    await birds.drop_vectors("notes")
    assert await birds.vectors() == []


async def test_who_may_only_read_embeds_nothing(
    birds: State, agent: Connect, make_agent: Any, connect: Connect, model: Model
) -> None:
    login = await make_agent("reader", "read notes/**", login=True)
    reader = await connect(login, embed=Embedding(model, "toy"))
    assert [e.key for e in await reader.search("notes/**", "owl")] == ["notes/1"]
    assert model.calls == [["owl"]]
    with pytest.raises(errors.AccessDenied, match="agent reader may not search other/"):
        await reader.search("other/**", "owl")
    with pytest.raises(errors.AccessDenied):
        await reader.create_vectors("mine", 3)


async def test_without_pgvector(state: State, connect: Connect) -> None:
    other = await connect(embed=Embedding(Model.vectors, "toy"))
    with pytest.raises(errors.VectorsUnavailable, match="create extension vector"):
        await other.create_vectors("notes", 5)
    await other.put("k/1", "owl")
    assert [e.key for e in await other.search("k/**", "owl")] == ["k/1"]
    for call in (state.embed(), state.create_vectors("notes", 5)):
        with pytest.raises(errors.InvalidArgument, match="without embed"):
            await call
    with pytest.raises(errors.InvalidArgument):
        Embedding(Model.vectors, "")
    with pytest.raises(errors.InvalidArgument, match="Embedding"):
        await connect(embed=Model.vectors)
    with pytest.raises(errors.InvalidArgument, match="needs|mode is"):
        await state.search("k/**", "owl", mode="hybrid")


@pytest.fixture
def pg(dsn: str) -> Callable[..., Result]:
    return lambda *args, **options: invoke(*args, dsn=dsn, **options)


def test_in_the_shell(pg: Callable[..., Result], database: Database) -> None:
    for n, text in enumerate(("an owl", "owl owl", "crow")):
        pg("put", f"k/{n}", json.dumps({"text": text, "n": n}))
    assert pg("index", "set", "k/**", "--field", "text").code == 0
    assert pg("index").out.startswith("k/**\ttext\tenglish\t\t")
    found = [line.split("\t") for line in pg("search", "k/**", "owls").out.splitlines()]
    assert [(line[0], line[2]) for line in found] == [
        ("k/1", '{"n":1,"text":"owl owl"}'),
        ("k/0", '{"n":0,"text":"an owl"}'),
    ]
    rows = lines(pg("--json", "search", "k/**", "owls", "--filter", '{"n": {"$lt": 1}}').out)
    assert [(row["key"], row["value"], row["writer"]) for row in rows] == [("k/0", {"n": 0, "text": "an owl"}, "admin")]
    assert pg("search", "k/**", "--filter", '{"n": 2}', "--csv").out.splitlines()[1].startswith("k/2,1,")
    page = pg("search", "k/**", "owl", "--limit", "1")
    after = page.err.split("--after '")[1].split("'")[0]
    assert pg("search", "k/**", "owl", "--limit", "1", "--after", after).out.startswith("k/0\t")
    for args, code, said in (
        (("--filter", "[1]"), 2, "takes an object"),
        (("--filter", "{"), 2, "--filter"),
        (("--filter", '{"a": {"$foo": 1}}'), 2, "$foo"),
        (("--limit", "0"), 2, "limit"),
    ):
        done = pg("search", "k/**", "owl", *args)
        assert (done.code, said in done.err) == (code, True), done
    assert pg("index", "rm", "k/**").code == 0
    assert pg("index", "rm", "k/**").code == 2
    assert pg("index", "vectors").code == 0
    done = pg("index", "create-vectors", "notes", "3", "toy")
    assert done.code == 1 and "create extension vector" in done.err


@pytest.mark.usefixtures("pgvector")
def test_vectors_in_the_shell(pg: Callable[..., Result]) -> None:
    assert pg("index", "create-vectors", "notes", "3", "toy", "--distance", "l2", "--method", "exact").code == 0
    assert pg("index", "vectors").out == "notes\ttoy\t3\tl2\texact\tvector\n"
    assert pg("index", "create-vectors", "notes", "4", "toy").code == 2
    assert pg("index", "create-vectors", "more", "3", "toy", "--method", "magic").code == 2
    assert pg("index", "set", "k/**", "--vectors", "notes", "--vector-field", "text").code == 0
    (row,) = lines(pg("--json", "index").out)
    assert (row["vectors"], row["vector_fields"]) == ("notes", ["text"])
    assert pg("index", "drop-vectors", "notes").code == 2
    pg("index", "rm", "k/**")
    assert pg("index", "drop-vectors", "notes").code == 0
