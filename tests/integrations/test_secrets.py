"""Secrets of every rule, planted in everything that an application hands over: they are stored and told nowhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypedDict

import asyncpg
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, StateGraph, add_messages
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import pgstate
from _secrets import SECRETS
from conftest import INSTALLER, SUPERUSER, Database
from pgstate import State, errors, ops
from pgstate.integrations.langgraph import PgStateSaver


class Talk(TypedDict):
    messages: Annotated[list[Any], add_messages]
    note: str


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter


def redacted(rule: str) -> str:
    return f"[redacted:{rule}]"


async def _plant_in_values(state: State, under: str, rule: str, secret: str) -> str:
    """All are refused; returns all that the refusals say."""
    value = {"text": f"it is {secret}", "list": [secret]}
    await state.put(f"{under}/there", {"fine": True})
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: state.put(f"{under}/new", value),
        lambda: state.put(f"{under}/there", value),
        lambda: state.merge(f"{under}/there", value, "merge"),
        lambda: state.update(f"{under}/there", lambda _: value),
        lambda: state.apply(operations=[ops.put(f"{under}/new", value)]),
    ]
    said = []
    for call in calls:
        with pytest.raises(errors.SecretRefused) as caught:
            await call()
        assert str(caught.value).endswith(f": {rule}")
        said += [str(caught.value), repr(caught.value), repr(caught.value.__cause__), repr(caught.value.__context__)]
    outcomes = await state.put_many({f"{under}/1": 1, f"{under}/2": value})
    assert [outcome.status for outcome in outcomes] == ["ok", "invalid"]
    assert str(outcomes[1].message).endswith(f": {rule}")
    said.append(repr(outcomes))
    task = await state.claim(f"{under}/there", lease=60)
    with pytest.raises(errors.SecretRefused) as caught:
        await state.complete(task.key, task.token, result=value, move_to=f"{under}/done")
    await state.fail(task.key, task.token, f"no luck with {secret}")
    said += [str(caught.value), repr(await state.tasks(f"{under}/*"))]
    return "\n".join(said)


async def _plant_in_a_run(state: State, key: str, rule: str, secret: str) -> None:
    async def fetch() -> dict[str, str]:
        return {"found": f"it was {secret}."}

    async def plain() -> str:
        return secret

    async def fails() -> None:
        raise ValueError(f"cannot log in with {secret}")

    for again in (False, True):
        with pytest.raises(errors.StepFailed) as caught:
            async with state.run(key, name="use", input={"with": secret}) as run:
                # the first time as in every replay
                assert run.input == {"with": redacted(rule)}
                assert await run.step("fetch", fetch) == {"found": f"it was {redacted(rule)}."}
                assert await run.step("plain", plain) == redacted(rule)
                if not again:
                    await state.runs.signal(key, "go", [secret])
                assert await run.wait_signal("go", timeout=30) == [redacted(rule)]
                await run.step("fails", fails)
        assert caught.value.error == f"ValueError: cannot log in with {redacted(rule)}"
        assert secret not in str(caught.value)
    async with state.run(f"{key}-2") as run:
        run.result = {"is": secret}
    assert await state.runs.result(f"{key}-2") == {"is": redacted(rule)}


async def _plant_in_threads(state: State, rule: str, secret: str) -> None:
    def answer(talk: Talk) -> dict[str, Any]:
        return {"messages": [AIMessage(content=f"so it is {secret}", id="a")], "note": secret}

    graph = StateGraph(Talk)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    saver = PgStateSaver(state)
    app = graph.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": rule}, "metadata": {"asked": secret}}
    question = HumanMessage(
        content=[{"type": "text", "text": f"keep {secret}"}], id="q", additional_kwargs={"k": secret}
    )
    await app.ainvoke({"messages": [question], "note": ""}, config)
    held = (await app.aget_state(config)).values
    assert held["messages"] == [
        HumanMessage(
            content=[{"type": "text", "text": f"keep {redacted(rule)}"}],
            id="q",
            additional_kwargs={"k": redacted(rule)},
        ),
        AIMessage(content=f"so it is {redacted(rule)}", id="a"),
    ]
    assert held["note"] == redacted(rule)
    await saver.aput_writes(
        {
            "configurable": {
                "thread_id": rule,
                "checkpoint_ns": "",
                "checkpoint_id": "1f000000-0000-6000-8000-000000000000",
            }
        },
        [("messages", HumanMessage(content=secret))],
        "task",
    )
    thread = state.thread(f"native/{rule}")
    first = await thread.save(
        {"log": [{"n": n, "said": secret} for n in range(3)], "note": secret}, metadata={"m": secret}
    )
    await thread.put_writes(first, "task", [("note", secret)])
    found = await thread.latest()
    assert found is not None
    assert found.state == {"log": [{"n": n, "said": redacted(rule)} for n in range(3)], "note": redacted(rule)}


async def test_no_secret_is_to_be_found_anywhere(
    state: State,
    database: Database,
    connect_as: Callable[..., Awaitable[asyncpg.Connection]],
    spans: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "pgstate")
    root = await connect_as(SUPERUSER)
    # as servers are set up; with log_statement=all parameters would show there, whatever a client does
    for setting in ("log_min_messages to warning", "log_min_error_statement to error"):
        await root.execute(f'alter database "{database.name}" set {setting}')
    said = []
    async with pgstate.connect(database.dsn(INSTALLER)) as client:
        for rule, secret in SECRETS.items():
            said.append(await _plant_in_values(client, f"values/{rule}", rule, secret))
            await _plant_in_a_run(client, f"runs/{rule}", rule, secret)
            await _plant_in_threads(client, rule, secret)
        for key in [entry.key for entry in await client.list("**")]:
            said.append(repr(await client.history(key)))
        said.append(repr(client))
    said += [caplog.text, *(str(span.to_json()) for span in spans.get_finished_spans())]
    said.append(database.cluster.log.read_text())
    said.append(database.cluster.program("pg_dump", "--dbname", database.dsn(SUPERUSER)))
    everything = "\n".join(said)
    for rule, secret in SECRETS.items():
        for form in {
            secret,
            json.dumps(secret)[1:-1],
            secret.encode().hex(),
            secret.replace("\n", "\\n"),
            secret[-16:],
        }:
            assert form not in everything, rule
        assert redacted(rule).encode().hex() in everything
        assert redacted(rule) in everything


async def test_off_lets_everything_through(state: State, dsn: str) -> None:
    secret = SECRETS["anthropic_api_key"]
    await state.set_policy("**", guard="off")

    async def plain() -> str:
        return secret

    async with pgstate.connect(dsn, guard="off") as open_:
        await open_.put("a", secret)
        async with open_.run("r", input=secret) as run:
            assert (run.input, await run.step("plain", plain)) == (secret, secret)
        thread = open_.thread("t")
        await thread.save({"note": secret})
        found = await thread.latest()
        assert found is not None and found.state == {"note": secret}
        assert (await open_.get("a")).value == secret  # type: ignore[union-attr]
    # a client that redacts does, whatever policies say of the key
    await state.thread("t2").save({"note": secret})
    found = await state.thread("t2").latest()
    assert found is not None and found.state == {"note": "[redacted:anthropic_api_key]"}
