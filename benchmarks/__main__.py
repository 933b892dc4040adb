"""All benchmarks in one run, on one server."""

from benchmarks import (
    bound,
    checkpoints,
    claims,
    footprint,
    growth,
    history,
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
                store,
                watch,
                footprint,
            )
        ],
        __doc__,
    )
