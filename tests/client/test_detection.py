"""The application's own detector: asked for what is written and read, refuses, labels, lowers trust, and fails closed."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import asyncpg
import pytest
from typing_extensions import TypedDict

import pgstate
from client._watching import take
from pgstate import State, Verdict, errors, ops, render_for_prompt
from pgstate.detection import Answer, Detector
from pgstate.errors import InvalidArgument, ValueRefused


class Words:
    """Refuses `bad`, has less trust in `odd`, labels `odd`; keeps what it was asked."""

    def __init__(self, *, slow: bool = False) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.slow = slow

    def on_write(self, key: str, value: Any, /) -> Answer:
        self.asked.append(("write", key, value))
        return self._said(Verdict("no_bad_words") if "bad" in str(value) else self._odd(value, trust="external"))

    def on_read(self, key: str, value: Any, /) -> Answer:
        self.asked.append(("read", key, value))
        return self._said(Verdict("no_bad_words") if "bad" in str(value) else self._odd(value, labels=("odd",)))

    def _odd(self, value: Any, **given: Any) -> Verdict | None:
        return Verdict(**given) if "odd" in str(value) else None

    def _said(self, verdict: Verdict | None) -> Answer:
        async def later() -> Verdict | None:
            await asyncio.sleep(0)
            return verdict

        return later() if self.slow else verdict


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def words(request: pytest.FixtureRequest) -> Words:
    return Words(slow=request.param)


class Typed(TypedDict, total=False):
    title: str
    note: str


async def test_what_is_written(dsn: str, words: Words, state: State) -> None:
    async with pgstate.connect(dsn, detector=words) as own:
        await own.put("a/1", {"text": "good"})
        assert words.asked == [("write", "a/1", {"text": "good"})]
        space = own.namespace("a")
        calls = {
            "put": lambda: space.put("2", "bad thing"),
            "merge": lambda: space.merge("2", ["bad thing"], "append"),
            "update": lambda: space.update("2", lambda _: "bad thing"),
            "apply": lambda: space.apply(operations=[ops.put("3", 1), ops.merge("2", "bad thing", "replace")]),
            "typed.set": lambda: own.typed(Typed, "a/2").set({"title": "x", "note": "bad thing"}),
            "typed.update": lambda: own.typed(Typed, "a/2").update(title="x", note="bad thing"),
            "thread.save": lambda: own.thread("a/2").save({"one": 1, "two": ["bad thing"]}),
            "thread.put_writes": lambda: own.thread("a/2").put_writes("1", "task", [("one", "bad thing")]),
            "runs.start": lambda: own.runs.start("a/2", "w", {"in": "bad thing"}),
        }
        for name, call in calls.items():
            with pytest.raises(ValueRefused) as refused:
                await call()
            assert refused.value.rule == "no_bad_words" and "bad thing" not in str(refused.value), name
            assert refused.value.key.startswith("a/2") and "no_bad_words" in str(refused.value)
        assert await state.get("a/2") is None and len(await state.list("a/**")) == 1
        assert await state.list("a/2/**") == [] or not list(await state.list("a/2/**"))
        done = await space.put_many([("4", 1), ("5", "bad thing"), ops.put("6", 2)])
        assert [(one.key, one.status) for one in done] == [("4", "ok"), ("5", "invalid"), ("6", "ok")]
        assert "no_bad_words" in (done[1].message or "") and "bad thing" not in (done[1].message or "")
        async with own.claim_next("a/6") as task:
            assert task is not None
            with pytest.raises(ValueRefused):
                await own.complete("a/6", task.token, "bad thing", move_to="a/done")
        await own.runs.start("a/run", "w")
        with pytest.raises(ValueRefused):
            await own.runs.signal("a/run", "go", "bad thing")
        async with own.run("a/other", input="good") as run:
            with pytest.raises(errors.StepFailed, match="no_bad_words"):
                await run.step("one", lambda: "bad thing")
        # a transaction of the caller's too
        import asyncpg

        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction():
                with pytest.raises(ValueRefused):
                    await own.bind(connection).put("a/2", "bad thing")
                await own.bind(connection).put("a/bound", 1)
        finally:
            await connection.close()
        assert await state.get("a/bound") is not None


async def test_less_trust(dsn: str, words: Words, state: State) -> None:
    async with pgstate.connect(dsn, detector=words) as own:
        await own.put("a/1", "odd")
        await own.put("a/2", "odd", trust="verified")
        await own.put("a/3", "fine", trust="verified")
        with pytest.raises(errors.InvalidArgument, match="trust is external"):
            await own.put("a/3", "odd", trust="extrenal")
        with pytest.raises(errors.InvalidArgument, match="trust is one of"):
            await own.put("a/3", "odd", trust=["external"])
        await own.merge("a/4", ["odd"], "append", sources=["a/3"])
        await own.put_many([("a/5", "odd"), ("a/6", "fine")])
        await own.apply(operations=[ops.put("a/7", "odd", trust="operator"), ops.put("a/8", "fine")])
        await own.typed(Typed, "t/1").set({"title": "odd", "note": "fine"})
        await asyncio.gather(own.put("a/9", "odd"), own.put("a/10", "fine"))
    trusted = {entry.key: entry.trust for entry in await state.list("*/**")}
    odd = {"a/1", "a/2", "a/4", "a/5", "a/7", "a/9", "t/1/title"}
    assert {key for key, trust in trusted.items() if trust == "external"} == odd
    assert trusted["a/3"] == "verified" and trusted["a/8"] == trusted["t/1/note"] == "operator"


async def test_what_is_read(dsn: str, words: Words, state: State) -> None:
    cursor = await state.cursor()
    for key, value in (("a/1", "fine"), ("a/2", "odd"), ("a/3", "bad thing"), ("a/4", "fine")):
        await state.put(key, value)
    await state.put("a/3", "mended")
    await state.put("a/5", "bad thing")
    async with pgstate.connect(dsn, detector=words) as own:
        odd = await own.get("a/2")
        assert odd is not None and odd.value == "odd" and odd.labels == ("odd",)
        assert '"labels": ["odd"]' in render_for_prompt(odd)
        fine = await own.get("a/1", min_trust="agent")
        assert fine is not None and fine.labels == () and await own.get("a/none") is None
        for read in (own.get("a/5"), own.get("a/3", as_of=1), own.get_many(["a/1", "a/5"])):
            with pytest.raises(ValueRefused) as refused:
                await read
            assert refused.value.rule == "no_bad_words" and "bad thing" not in str(refused.value)
        first, error = await own.get_many(["a/2", "a/5"], return_errors=True)
        assert isinstance(error, ValueRefused) and not isinstance(first, Exception | None) and first.labels == ("odd",)
        page = await own.list("a/*")
        assert [entry.key for entry in page] == ["a/1", "a/2", "a/3", "a/4", "a/5"]
        assert [entry.value for entry in page[:4]] == ["fine", "odd", "mended", "fine"] and page[1].labels == ("odd",)
        for look in (lambda: page[4].value, lambda: render_for_prompt(page[4]), lambda: repr(page[4])):
            with pytest.raises(ValueRefused) as refused:
                look()
            assert "bad thing" not in str(refused.value)
        changes = (await own.changes(cursor, "a/*")).changes
        assert [change.key for change in changes] == ["a/1", "a/2", "a/3", "a/4", "a/3", "a/5"]
        watched = []
        async with own.watch("a/*", since=cursor) as watch:
            async for change in watch:
                watched.append(change)
                if len(watched) == 6:
                    break
        for seen in (changes, watched):
            assert seen[1].labels == ("odd",) and seen[4].value == "mended"
            for refusing in (
                lambda seen=seen: seen[2].value,
                lambda seen=seen: seen[4].previous,
                lambda seen=seen: seen[5].value,
            ):
                with pytest.raises(ValueRefused):
                    refusing()
        async with own.watch("a/*", initial=True) as watch:
            assert [(await anext(watch)).labels for _ in range(2)] == [(), ("odd",)]


class Broken:
    fail_open = False

    def on_write(self, key: str, value: Any, /) -> Answer:
        raise RuntimeError(f"cannot say of {value}")

    def on_read(self, key: str, value: Any, /) -> Any:
        return "fine"


async def test_a_detector_that_fails(dsn: str, state: State, caplog: pytest.LogCaptureFixture) -> None:
    await state.put("a/1", "a text")
    async with pgstate.connect(dsn, detector=Broken()) as own:
        for call in (own.put("a/1", "a text"), own.get("a/1")):
            with pytest.raises(ValueRefused) as refused:
                await call
            assert refused.value.rule == "detector_failed"
            assert "a text" not in f"{refused.value}{refused.value.__cause__}{caplog.text}"
    assert "RuntimeError" in caplog.text
    broken = Broken()
    broken.fail_open = True
    async with pgstate.connect(dsn, detector=broken) as own:
        await own.put("a/1", "another")
        entry = await own.get("a/1")
        assert entry is not None and entry.value == "another" and entry.labels == ()


async def test_what_is_no_detector(dsn: str) -> None:
    with pytest.raises(InvalidArgument):
        pgstate.connect(dsn, detector=object())  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        Verdict(trust="high")
    detector: Detector = Words()
    assert detector.on_read("k", 1) is None
    assert dataclasses.asdict(Verdict()) == {"refuse": None, "labels": (), "trust": None}


async def test_a_graph_of_langgraph(dsn: str) -> None:
    from langgraph.graph import StateGraph

    from pgstate.integrations.langgraph import PgStateSaver

    graph = StateGraph(Typed)
    graph.add_node("node", lambda state: {"note": state["title"]})
    graph.set_entry_point("node")
    graph.set_finish_point("node")
    async with pgstate.connect(dsn, detector=Words()) as own:
        app = graph.compile(checkpointer=PgStateSaver(own))
        good: Any = {"configurable": {"thread_id": "good"}}
        assert (await app.ainvoke({"title": "fine"}, good))["note"] == "fine"
        with pytest.raises(ValueRefused):
            await app.ainvoke({"title": "bad thing"}, {"configurable": {"thread_id": "bad"}})


def test_synchronous(dsn: str) -> None:
    from pgstate import sync

    with sync.connect(dsn, detector=Words()) as own:
        own.put("a/1", "odd")
        with pytest.raises(ValueRefused):
            own.put("a/1", "bad")
        entry = own.get("a/1")
        assert entry is not None and entry.labels == ("odd",) and entry.trust == "external"


async def test_what_python_cannot_hold_is_in_nobodys_way(dsn: str, state: State, admin: asyncpg.Connection) -> None:
    async with pgstate.connect(dsn, detector=Words()) as own:
        start = await own.cursor()
        await admin.execute("select pgstate.put('a/1', ('1' || repeat('0', 5000))::jsonb)")
        await state.put("a/2", "odd")
        page = await own.list("a/**")
        found = await own.get_many(["a/1", "a/2"])
        changes = await own.changes(start)
        for first, second in (page, found, changes):
            assert first is not None and second is not None
            assert second.value == "odd"
            with pytest.raises(errors.InvalidValue):
                _ = first.value


class Held(Words):
    """Answers what was read when it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.goes_on = asyncio.Event(), asyncio.Event()

    async def on_read(self, key: str, value: Any, /) -> Verdict | None:
        self.reading.set()
        await self.goes_on.wait()
        return None


async def test_a_change_that_it_is_asked_about_is_not_lost(dsn: str, state: State) -> None:
    held = Held()
    async with pgstate.connect(dsn, detector=held) as own, own.watch("a/*") as watch:
        begin = watch.cursor
        await state.put("a/1", 1)
        waiting = asyncio.ensure_future(anext(watch))
        await held.reading.wait()
        # as a timeout does
        waiting.cancel()
        await asyncio.wait({waiting})
        assert watch.cursor == begin
        held.goes_on.set()
        await state.put("a/2", 1)
        assert [change.key for change in await take(watch, 2)] == ["a/1", "a/2"]


async def test_what_an_update_reads_again(dsn: str, state: State, words: Words) -> None:
    async with pgstate.connect(dsn, detector=words) as own:
        await state.put("a/1", 1)
        shown: list[Any] = []

        async def change(value: Any) -> Any:
            shown.append(value)
            await state.put("a/1", f"{'good' if len(shown) == 1 else 'bad'} thing")
            return 2

        with pytest.raises(ValueRefused):
            await own.update("a/1", change)
        assert shown == [1, "good thing"]
