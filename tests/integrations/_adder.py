"""A process that adds 1 to a thread's number: `python _adder.py <dsn> <runs>`, each run synchronous, in turn with others."""

from __future__ import annotations

import sys
from typing import Any, TypedDict

from langgraph.graph import START, StateGraph

from pgstate.integrations.langgraph import PgStateSaver


class Count(TypedDict):
    n: int


def main(dsn: str, runs: str) -> None:
    graph = StateGraph(Count)
    graph.add_node("add", lambda state: {"n": state["n"] + 1})
    graph.add_edge(START, "add")
    config: Any = {"configurable": {"thread_id": "t"}}
    with PgStateSaver.from_conn_string(dsn, on_conflict="wait") as saver:
        compiled = graph.compile(checkpointer=saver)
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(int(runs)):
            compiled.invoke({}, config)


main(*sys.argv[1:])
