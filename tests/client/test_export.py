"""The change feed in OpenTelemetry: each change at least once, from where the export had come, by one exporter."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from client.conftest import Connect, MakeLogin
from conftest import Clock
from pgstate import State, errors
from pgstate._areas import _export
from pgstate.detection import Verdict

KEY = "memory/admin/exports/traces"


class Recorder(SpanExporter):
    """Keeps spans, and tells who waits for them."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.came = asyncio.Event()

    def export(self, spans: Any) -> SpanExportResult:
        self.spans.extend(spans)
        self.came.set()
        return SpanExportResult.SUCCESS

    def told(self) -> list[tuple[Any, Any]]:
        return [
            (span.attributes["pgstate.key"], span.attributes["pgstate.version"])
            for span in self.spans
            if span.attributes
        ]

    async def until(self, *keys: str) -> None:
        """Until there is a span for each of these."""
        async with asyncio.timeout(20):
            while not set(keys) <= {key for key, _ in self.told()}:
                self.came.clear()
                await self.came.wait()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def tracer(recorder: Recorder) -> trace.Tracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(recorder))
    return provider.get_tracer("test")


@contextlib.asynccontextmanager
async def exporting(
    state: State, tracer: trace.Tracer, *patterns: str, **named: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """An export that has begun, cancelled in the end."""
    task = asyncio.create_task(state.export_changes(tracer, patterns or "", **named))
    try:
        yield task
    finally:
        task.cancel()
        # what it raised itself is its test's
        await asyncio.wait([task])


async def begun(state: State, key: str = KEY) -> None:
    """Until the export has stored where it begins."""
    async with state.watch(key, initial=True) as watch:
        async for change in watch:
            if change.value is not None:
                return


async def test_changes_are_spans(state: State, tracer: trace.Tracer, recorder: Recorder) -> None:
    with tracer.start_as_current_span("around"):
        async with exporting(state, tracer):
            await begun(state)
            await state.put("a", {"n": 1})
            await state.delete("a")
            await state.put("b", 1, trust="external")
            await recorder.until("b")
    put, delete, other = recorder.spans[:3]
    assert put.attributes == {
        "pgstate.key": "a", "pgstate.version": 1, "pgstate.op": "put", "pgstate.writer": "admin", "pgstate.via": put.attributes["pgstate.via"],
        "pgstate.trust": "operator",
    }  # fmt: skip
    assert (put.name, delete.name) == ("pgstate put", "pgstate delete")
    assert other.attributes is not None and other.attributes["pgstate.trust"] == "external"
    assert all(span.parent is None for span in (put, delete, other))
    (change,) = await state.history("b")
    assert other.start_time == other.end_time == int(change.at.timestamp() * 1_000_000) * 1_000
    # its own entry is none of them
    assert KEY not in {key for key, _ in recorder.told()}


async def test_values_come_only_if_asked_for_and_without_secrets(
    state: State, tracer: trace.Tracer, recorder: Recorder
) -> None:
    secret = "ghp_" + "a1B2" * 9
    await state.set_policy("open/**", guard="off")
    async with exporting(state, tracer, "open/**", values=True):
        await begun(state)
        await state.put("open/x", {"token": secret, "n": 1})
        await state.put(f"open/{secret}", 1)
        await state.delete("open/x")
        await state.put("open/end", None)
        await recorder.until("open/end")
    shown = [dict(span.attributes or {}) for span in recorder.spans]
    assert '"n": 1' in shown[0]["pgstate.value"] and "[redacted:" in shown[0]["pgstate.value"]
    assert secret not in repr(shown)
    assert "pgstate.value" not in shown[2] and shown[3]["pgstate.value"] == "null"


class Wary:
    """A detector that lets one value be written and not be read."""

    def on_write(self, key: str, value: Any) -> None:
        return None

    def on_read(self, key: str, value: Any) -> Verdict | None:
        return Verdict(refuse="wary") if value == "ignore all previous" else None


@pytest.mark.parametrize("values", [False, True])
async def test_no_value_ends_it(
    connect: Connect, state: State, admin: asyncpg.Connection, tracer: trace.Tracer, recorder: Recorder, values: bool
) -> None:
    wary = await connect(detector=Wary())
    async with exporting(wary, tracer, "a/*", values=values, every=0.01):
        await begun(state)
        before = (await state.get(KEY)).value
        await state.put("a/refused", "ignore all previous")
        await admin.execute("select pgstate.put('a/digits', ('1' || repeat('0', 5000))::jsonb)")
        await admin.execute("select pgstate.put('a/deep', (repeat('[', 3000) || repeat(']', 3000))::jsonb)")
        async with state.watch(KEY) as stored:
            await state.put("a/end", 1)
            await recorder.until("a/end")
            assert (await anext(stored)).value != before
    told = {span.attributes["pgstate.key"]: span.attributes for span in recorder.spans if span.attributes}
    assert told.keys() == {"a/refused", "a/digits", "a/deep", "a/end"}
    unreadable = [key for key, attributes in told.items() if "pgstate.unreadable" in attributes]
    assert unreadable == (["a/refused", "a/digits", "a/deep"] if values else [])
    if values:
        assert "wary" in str(told["a/refused"]["pgstate.unreadable"])
        assert told["a/end"]["pgstate.value"] == "1"


async def test_it_goes_on_from_where_it_had_come(state: State, tracer: trace.Tracer, recorder: Recorder) -> None:
    async with exporting(state, tracer, "a/*"):
        await begun(state)
        await state.put("a/1", 1)
        await recorder.until("a/1")
    await state.put("a/2", 2)
    await state.put("b/1", 2)
    async with exporting(state, tracer, "a/*"):
        await recorder.until("a/2")
    # a clean end repeats nothing
    assert recorder.told() == [("a/1", 1), ("a/2", 1)]


async def test_after_a_crash_nothing_is_missing(
    connect: Connect, state: State, tracer: trace.Tracer, recorder: Recorder, clock: Clock
) -> None:
    theirs = await connect()
    # cursors are stored once a second: of an hour, none is
    async with exporting(theirs, tracer, "a/*", every=3600.0, lease=60.0) as task:
        await begun(state)
        await state.put("a/1", 1)
        await recorder.until("a/1")
        # its server connections die, and nothing that it would store arrives
        await theirs.close()
        with pytest.raises(errors.Closed):
            await task
    await clock.advance(61)
    await state.put("a/2", 2)
    async with exporting(state, tracer, "a/*", wait=20.0):
        await recorder.until("a/2")
    assert recorder.told() == [("a/1", 1), ("a/1", 1), ("a/2", 1)]


async def test_the_cursor_is_stored_in_time(state: State, tracer: trace.Tracer, recorder: Recorder) -> None:
    async with exporting(state, tracer, "a/*", every=0.01):
        await begun(state)
        before = (await state.get(KEY)).value
        async with state.watch(KEY) as watch:
            await state.put("a/1", 1)
            assert (await anext(watch)).value != before
    assert recorder.told() == [("a/1", 1)]


async def test_a_backend_that_is_not_flushed_keeps_the_cursor(
    state: State, tracer: trace.Tracer, recorder: Recorder
) -> None:
    answers = iter([True, False, False])
    flushed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def flush() -> bool:
        answer = next(answers, False)
        if not answer:
            loop.call_soon_threadsafe(flushed.set)
        return answer

    async with exporting(state, tracer, "a/*", every=0.01, flush=flush):
        await begun(state)
        before = (await state.get(KEY)).value
        await state.put("a/1", 1)
        await recorder.until("a/1")
        await flushed.wait()
    assert (await state.get(KEY)).value == before
    async with exporting(state, tracer, "a/*"):
        while len(recorder.spans) < 2:
            recorder.came.clear()
            await recorder.came.wait()
    assert recorder.told() == [("a/1", 1), ("a/1", 1)]


async def test_one_of_a_name_exports(connect: Connect, state: State, tracer: trace.Tracer, recorder: Recorder) -> None:
    other = await connect()
    async with exporting(state, tracer, "a/*") as first:
        await begun(state)
        with pytest.raises(errors.ClaimHeld):
            await other.export_changes(tracer, "a/*")
        async with exporting(other, tracer, "a/*", name="more"):
            await begun(state, "memory/admin/exports/more")
        async with exporting(other, tracer, "a/*", wait=20.0):
            first.cancel()
            await asyncio.wait([first])
            await state.put("a/1", 1)
            await recorder.until("a/1")
    assert recorder.told() == [("a/1", 1)]


async def test_how_far_another_has_come_is_told_and_not_stored(
    state: State, tracer: trace.Tracer, recorder: Recorder
) -> None:
    """Or two exports of everything would keep each other busy for ever."""
    clock = "memory/admin/exports/clock"
    async with exporting(state, tracer, "a/*", every=0.01), exporting(state, tracer, "tick", name="clock", every=0.01):
        await begun(state)
        await begun(state, clock)
        async with state.watch([KEY, clock]) as stored:
            await state.put("a/another", {"exported": "a cursor"})
            await recorder.until("a/another")
            # this one's time began later: when it is over, that of the first is
            await state.put("tick", 1)
            assert (await anext(stored)).key == clock
            await state.put("a/1", 1)
            assert (await anext(stored)).key == KEY
            entry = await state.get(KEY)
    # made, begun, and a/1
    assert entry.version == 3


async def test_but_seldom_it_is_or_the_cursor_would_be_too_old_in_the_end(
    state: State, tracer: trace.Tracer, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_export, "_SELDOM", 0.01)
    async with exporting(state, tracer, "a/*", every=0.01), state.watch(KEY) as stored:
        await begun(state)
        await state.put("a/1", {"exported": "what looks like a cursor"})
        async with asyncio.timeout(30):
            # made, begun, and a/1
            while (await anext(stored)).version != 3:
                pass


async def test_it_is_told_when_it_cannot_go_on(state: State, tracer: trace.Tracer) -> None:
    await state.put(KEY, "something else")
    with pytest.raises(errors.InvalidArgument, match="something else"):
        await state.export_changes(tracer)
    await state.put(KEY, {"exported": "no cursor"})
    with pytest.raises(errors.CursorInvalid):
        await state.export_changes(tracer)
    # of another history of the database
    await state.put(KEY, {"exported": (await state.cursor()).replace("1.", "1.7", 1)})
    with pytest.raises(errors.CursorExpired, match=f"{KEY}: delete it"):
        await state.export_changes(tracer)
    await state.delete(KEY)
    for wrong in ({"every": 0}, {"name": "a//b"}):
        with pytest.raises((errors.InvalidArgument, errors.InvalidKey)):
            await state.export_changes(tracer, **wrong)
    async with exporting(state, tracer, every=0.01) as task:
        await begun(state)
        # nobody else writes its entry, and who ends its claim ends it
        with pytest.raises(errors.ClaimHeld):
            await state.put(KEY, {"exported": "elsewhere"})
        assert await state.release(KEY, force=True)
        await state.put(KEY, {"exported": "elsewhere"})
        await state.put("a", 1)
        with pytest.raises((errors.LeaseLost, errors.StaleToken, errors.VersionConflict)):
            await task
    assert (await state.get(KEY)).value == {"exported": "elsewhere"}


async def test_an_agent_exports_what_it_may_read(
    connect: Connect, state: State, make_agent: MakeLogin, tracer: trace.Tracer, recorder: Recorder
) -> None:
    login = await make_agent("alice", "read a/**", login=True)
    assert login is not None
    alice = await connect(login)
    async with exporting(alice, tracer):
        await begun(alice, "memory/alice/exports/traces")
        await state.put("hidden", 1)
        await state.put("a/1", 1)
        await recorder.until("a/1")
        assert recorder.told() == [("a/1", 1)]
    with pytest.raises(errors.AccessDenied):
        await alice.export_changes(tracer, key="b/cursor")


async def test_in_a_namespace_keys_are_whole(state: State, tracer: trace.Tracer, recorder: Recorder) -> None:
    own = state.namespace("team")
    async with exporting(own, tracer, "*", key="cursors/traces"):
        await begun(state, "team/cursors/traces")
        await own.put("x", 1)
        await recorder.until("team/x")
