"""`pgstate demo`: processes share work and state, one of them is killed, and the totals are right all the same."""

from pgstate.demo._run import run

__all__ = ["run"]
