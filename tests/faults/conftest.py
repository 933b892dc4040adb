"""Fixtures of the fault tests: those of the client tests."""

from __future__ import annotations

from client.conftest import agent, connect, gateway, locks, make_agent, proxy, state

__all__ = ["agent", "connect", "gateway", "locks", "make_agent", "proxy", "state"]
