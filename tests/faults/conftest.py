"""Fixtures of the fault tests: those of the client tests, and a server that may be killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from _server import Cluster
from client.conftest import agent, connect, gateway, locks, make_agent, proxy, state
from conftest import Database, clone, prepare
from faults._server import SAFE

__all__ = ["agent", "connect", "doomed", "gateway", "locks", "make_agent", "proxy", "state"]


@pytest.fixture
async def doomed(new_cluster: Callable[..., Cluster]) -> Database:
    """A database on a server that may be killed."""
    cluster = await asyncio.to_thread(new_cluster, settings=SAFE)
    await asyncio.to_thread(prepare, cluster)
    return await asyncio.to_thread(clone, cluster)
