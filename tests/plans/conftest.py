"""Fixtures of the plans tests."""

from sql._caller import agent, gateway, root, session

__all__ = ["agent", "gateway", "root", "session"]
