"""A step of retention looks at each key by itself."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from _server import SUPERUSER
from sql._caller import Caller, MakeAgent


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for inner in plan.get("Plans", ()) for node in _nodes(inner))]


@pytest.mark.core
async def test_a_step_compares_no_keys_with_all_others(root: Caller, session: MakeAgent) -> None:
    """Buffers do not show it: the plan of the statement that removes versions, as the function would have it."""
    inside = await session(SUPERUSER)
    await root.rows("put_many", [f"a/{n}" for n in range(300)] * 3, [1] * 900)
    await inside.execute("analyze pgstate.version")
    source = await inside.fetchval("select prosrc from pg_proc where oid = to_regproc('pgstate._sweep')")
    (statement,) = re.findall(r"\n  (with ripe .*?on true);", source, re.S)
    arguments = {
        r"into v_top\b": "", r"\bv_keys\b": "$1", r"\bv_versions\b": "$2", r"\bp_sweep\.delay\b": "interval '0'",
        r"\bp_epoch\b": "$3", r"\bp_xmin\b": "$4", r"\bp_top\b": "$5",
    }  # fmt: skip
    for name, value in arguments.items():
        statement = re.sub(name, value, statement)
    settings = await inside.fetchval("select proconfig from pg_proc where oid = to_regproc('pgstate._sweep')")
    for setting in settings:
        name, _, value = setting.partition("=")
        await inside.fetch("select set_config($1, $2, false)", name, value)
    await inside.execute(f"prepare step (text[], bigint[], int, xid8, xid8) as {statement}")
    (explained,) = json.loads(await inside.fetchval("explain (format json) execute step ('{}', '{}', 1, '9', '9')"))
    nodes = _nodes(explained["Plan"])
    assert {node["Node Type"] for node in nodes} >= {"ModifyTable", "Index Scan"}
    assert [node for node in nodes if "Join Filter" in node or "Hash Cond" in node] == []
