"""LangGraph's own suite for savers: every capability by name, none skipped."""

from __future__ import annotations

from collections.abc import AsyncIterator

from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability

import pgstate
from pgstate.integrations.langgraph import PgStateSaver

TESTS = {
    "put": 17,
    "put_writes": 10,
    "get_tuple": 10,
    "list": 16,
    "delete_thread": 5,
    "delete_for_runs": 7,
    "copy_thread": 8,
    "prune": 8,
}


async def test_every_capability(dsn: str) -> None:
    @checkpointer_test(name="pgstate")
    async def factory() -> AsyncIterator[PgStateSaver]:
        async with pgstate.connect(dsn) as state:
            yield PgStateSaver(state)

    report = await validate(factory)
    found = {
        name: (result.tests_passed, result.tests_failed + result.tests_skipped, result.failures)
        for name, result in report.results.items()
    }
    assert found == {name: (count, 0, []) for name, count in TESTS.items()}
    assert {capability.value for capability in Capability} == set(TESTS)
    assert report.conformance_level() == "FULL"
