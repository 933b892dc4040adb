"""All benchmarks in one run, on one server."""

from benchmarks import bound, claims, growth, history, search, storage, typed, values, watch
from benchmarks._run import run

if __name__ == "__main__":
    run(
        [
            values.measure,
            claims.measure,
            typed.measure,
            bound.measure,
            growth.measure,
            history.measure,
            search.measure,
            storage.measure,
            watch.measure,
        ],
        __doc__,
    )
