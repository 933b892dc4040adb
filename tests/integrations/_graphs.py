"""Graphs that tests run on any saver."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from langgraph.channels.delta import DeltaChannel
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send, interrupt


class Doc(TypedDict):
    topic: str
    notes: Annotated[list[str], operator.add]
    approved: bool


def _write(state: Doc) -> dict[str, Any]:
    return {"notes": [f"draft of {state['topic']}"]}


def _ask(state: Doc) -> dict[str, Any]:
    answer = interrupt({"review": state["notes"][-1]})
    return {"approved": answer == "yes", "notes": [f"reviewed: {answer}"]}


def _publish(state: Doc) -> dict[str, Any]:
    return {"notes": ["published" if state["approved"] else "rejected"]}


def review() -> StateGraph[Any]:
    """Writes, asks a person, publishes."""
    graph = StateGraph(Doc)
    graph.add_node("write", _write)
    graph.add_node("ask", _ask)
    graph.add_node("publish", _publish)
    graph.add_edge(START, "write")
    graph.add_edge("write", "ask")
    graph.add_edge("ask", "publish")
    return graph


def nested() -> StateGraph[Any]:
    """`review` as a node, between two of its own."""
    graph = StateGraph(Doc)
    graph.add_node("before", lambda _: {"notes": ["before"]})
    graph.add_node("review", review().compile())
    graph.add_node("after", lambda _: {"notes": ["after"]})
    graph.add_edge(START, "before")
    graph.add_edge("before", "review")
    graph.add_edge("review", "after")
    return graph


class Work(TypedDict):
    n: int
    done: Annotated[list[int], operator.add]


def fan_out() -> StateGraph[Any]:
    """As many workers at once as `n`, each by a Send, and a node that waits for all."""
    graph = StateGraph(Work)
    graph.add_node("plan", lambda _: {})
    graph.add_node("work", lambda task: {"done": [task["number"] ** 2]})
    graph.add_node("gather", lambda state: {"n": sum(state["done"])})
    graph.add_edge(START, "plan")
    graph.add_conditional_edges(
        "plan", lambda state: [Send("work", {"number": n}) for n in range(state["n"])], ["work"]
    )
    graph.add_edge("work", "gather")
    graph.add_edge("gather", END)
    return graph


def _extend(state: list[str], writes: Sequence[list[str]]) -> list[str]:
    return state + [line for write in writes for line in write]


class Log(TypedDict):
    log: Annotated[list[str], DeltaChannel(_extend, list, snapshot_frequency=3)]
    n: int


def delta() -> StateGraph[Any]:
    """Two nodes that log, into a channel of which most checkpoints hold nothing."""
    graph = StateGraph(Log)
    graph.add_node("one", lambda state: {"log": [f"one {state['n']}"]})
    graph.add_node("two", lambda state: {"log": [f"two {state['n']}"], "n": state["n"] + 1})
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    return graph


class Count(TypedDict):
    n: int


def add_one() -> StateGraph[Any]:
    """Adds 1 to what it read: of two at once that read the same, one is lost."""
    graph = StateGraph(Count)
    graph.add_node("add", lambda state: {"n": state["n"] + 1})
    graph.add_edge(START, "add")
    return graph
