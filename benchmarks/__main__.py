"""All benchmarks in one run, on one server."""

from benchmarks import (
    bound,
    checkpoints,
    claims,
    footprint,
    growth,
    history,
    langgraph,
    search,
    storage,
    store,
    typed,
    values,
    watch,
)
from benchmarks._run import run

if __name__ == "__main__":
    run(
        [
            area.measure
            for area in (
                values,
                claims,
                typed,
                bound,
                growth,
                history,
                search,
                storage,
                checkpoints,
                langgraph,
                store,
                watch,
                footprint,
            )
        ],
        __doc__,
    )
