"""Benchmarks of pgstate against what it stands on, run by hand: `python -m benchmarks`."""
