"""Runs and steps in OpenTelemetry."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import pgstate.sync
from conftest import Database
from pgstate import State, errors
from pgstate._areas import _telemetry


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


async def _good() -> int:
    return 1


async def _bad() -> int:
    raise ValueError("the key is hunter2")


async def test_a_run_and_its_steps_are_spans(
    state: State, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_telemetry, "redact", lambda text: text.replace("hunter2", "***"))
    with pytest.raises(errors.StepFailed):
        async with state.run("research/r", name="report") as run:
            await run.step("good", _good)
            await run.step("bad", _bad)
    good, bad, whole = spans.get_finished_spans()
    assert (good.name, bad.name, whole.name) == ("step good", "step bad", "run report")
    assert good.parent is not None and good.parent.span_id == whole.context.span_id
    assert good.attributes == {"pgstate.run": "research/r", "pgstate.step": "good"}
    assert whole.attributes == {"pgstate.run": "research/r", "pgstate.workflow": "report"}
    assert good.status.is_unset
    for failed in (bad, whole):
        assert not failed.status.is_ok and "the key is ***" in str(failed.status.description)
        # nothing that was not redacted
        assert failed.events == ()
    # what is recorded is not done, and no span
    spans.clear()
    with pytest.raises(errors.StepFailed):
        async with state.run("research/r") as run:
            await run.step("good", _good)
            await run.step("bad", _bad)
    assert [span.name for span in spans.get_finished_spans()] == ["step bad", "run report"]


def test_in_threads(database: Database, spans: InMemorySpanExporter) -> None:
    stop = threading.Event()

    def step() -> None:
        with trace.get_tracer("user").start_as_current_span("own"):
            pass

    def report(run: pgstate.sync.Run, input: Any) -> None:
        with trace.get_tracer("user").start_as_current_span("part"):
            run.step("step", step)
        stop.set()

    with pgstate.sync.connect(database.dsn("installer")) as state:
        with trace.get_tracer("user").start_as_current_span("request"), state.run("r", name="report") as run:
            report(run, None)
        state.runs.start("r2", "report")
        stop.clear()
        assert state.runs.worker({"report": report}, stop=stop) == 1
    found = spans.get_finished_spans()
    names = {span.context.span_id: span.name for span in found}
    line = [("own", "step step"), ("step step", "part"), ("part", "run report")]
    assert [(span.name, span.parent and names[span.parent.span_id]) for span in found] == [
        *line, ("run report", "request"), ("request", None), *line, ("run report", None),
    ]  # fmt: skip


async def test_without_it_nothing_is_missing(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_telemetry, "trace", None)
    async with state.run("r") as run:
        assert await run.step("good", _good) == 1
