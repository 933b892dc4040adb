"""Fixtures of the concurrency tests."""

from concurrency._open import begin, blocked
from sql._caller import agent, gateway, root, session

__all__ = ["agent", "begin", "blocked", "gateway", "root", "session"]
