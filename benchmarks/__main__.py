"""All benchmarks in one run, on one server."""

from benchmarks import (
    bound,
    checkpoints,
    claims,
    footprint,
    growth,
    history,
    langgraph,
    runs,
    search,
    secrets,
    security,
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
                runs,
                search,
                secrets,
                security,
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
