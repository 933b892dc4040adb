"""A process that runs a graph of 20 steps: `python _twenty_steps.py <dsn> <log> <stop>`. It writes a line to the log as each
step begins, and waits for ever in the step `stop`. It goes on where the thread is."""

from __future__ import annotations

import asyncio
import operator
import sys
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph

from pgstate.integrations.langgraph import PgStateSaver

STEPS = 20


class Done(TypedDict):
    done: Annotated[list[int], operator.add]


def build(log: Path, stop: int) -> StateGraph[Any]:
    graph = StateGraph(Done)
    for number in range(1, STEPS + 1):

        async def step(_: Done, number: int = number) -> dict[str, list[int]]:
            with log.open("a") as file:
                file.write(f"{number}\n")
            if number == stop:
                print("reached", flush=True)
                await asyncio.Event().wait()
            return {"done": [number]}

        graph.add_node(str(number), step)
        graph.add_edge(START if number == 1 else str(number - 1), str(number))
    return graph


async def main(dsn: str, log: str, stop: str) -> None:
    async with PgStateSaver.from_conn_string(dsn) as saver:
        graph = build(Path(log), int(stop)).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "t"}}
        begun = await saver.aget_tuple(config) is not None
        # what a step did is saved before the next one begins
        end = await graph.ainvoke(None if begun else {"done": []}, config, durability="sync")
        print(*end["done"], flush=True)


asyncio.run(main(*sys.argv[1:]))
