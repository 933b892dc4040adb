"""Groups, denials and explanations in the shell."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from client._cli import Result, invoke, on_terminal


@pytest.fixture
def pg(dsn: str) -> Callable[..., Result]:
    return lambda *args: invoke(*args, dsn=dsn)


def _rows(result: Result) -> list[dict[str, object]]:
    assert result.code == 0, result
    return [json.loads(line) for line in result.out.splitlines()]


def test_groups_and_denials(pg: Callable[..., Result]) -> None:
    for command in (
        ("agents", "create", "alice"), ("groups", "create", "crew"), ("groups", "add", "crew", "alice"),
        ("grant", "crew", "a/**", "read", "write", "--ttl", "1h"), ("grant", "alice", "a/b/**", "read", "--deny"),
    ):  # fmt: skip
        assert pg(*command).code == 0, command
    assert [(row["group"], row["members"]) for row in _rows(pg("groups", "--json"))] == [("crew", ["alice"])]
    shown = {(row["agent"], row["right"], row["deny"], row["until"] is None) for row in _rows(pg("grant", "--json"))}
    assert {("crew", "read", False, False), ("alice", "read", True, True)} <= shown
    found = {
        (row["right"], row["subtree"]): (row["state"], row["through"]) for row in _rows(pg("access", "alice", "--json"))
    }
    assert found["read", "a/**"] == ("partly denied", "crew")
    assert _rows(pg("access", "alice", "a/1", "write", "--json"))[0]["through"] == "crew"
    denied = pg("access", "alice", "a/b/1", "read", "--json")
    assert denied.code == 5 and json.loads(denied.out.splitlines()[0])["deny"] is True
    assert pg("access", "alice", "a/b/1").code == 2
    assert pg("revoke", "alice", "a/b/**", "read", "--deny").code == 0
    assert pg("access", "alice", "a/b/1", "read").code == 0
    assert pg("groups", "remove", "crew", "alice").code == 0
    assert pg("access", "alice", "a/b/1", "read").code == 5
    assert pg("groups", "drop", "crew").code == 0
    assert pg("groups", "--json").out == ""


def test_trust(pg: Callable[..., Result], dsn: str) -> None:
    for command in (
        ("policy", "set", "web/**", "--trust", "external"), ("put", "web/page", "1"), ("put", "web/other", "1"), ("put", "a/own", "1", "--trust", "verified"),
        ("put", "a/derived", "1", "--source", "a/own", "--source", "web/page"), ("merge", "a/sum", "1", "add", "--source", "web/page"),
        ("merge", "a/most", "1", "add", "--trust", "agent", "--return-value"),
    ):  # fmt: skip
        assert pg(*command).code == 0, command
    trusts = {str(row["key"]): row["trust"] for row in _rows(pg("ls", "a/*", "--json"))}
    assert trusts == {"a/own": "verified", "a/derived": "external", "a/sum": "external", "a/most": "agent"}
    assert [row["key"] for row in _rows(pg("ls", "a/*", "--min-trust", "agent", "--json"))] == ["a/most", "a/own"]
    assert pg("get", "a/own", "--min-trust", "verified").out == "1\n"
    missing = pg("get", "a/derived", "--min-trust", "agent")
    assert missing.code == 3 and "trusted less" in missing.err
    for wrong in (
        ("put", "a/own", "1", "--trust", "much"),
        ("put", "a/own", "1", "--source", "a/none"),
        ("ls", "--min-trust", "much"),
    ):
        assert pg(*wrong).code in (1, 2), wrong
    assert pg("agents", "create", "mallory").code == 0
    assert "trust" not in on_terminal("agents", dsn=dsn)
    assert pg("agents", "set-trust", "mallory", "external").code == 0
    assert {row["agent"]: row["trust"] for row in _rows(pg("agents", "--json"))}["mallory"] == "external"
    assert "external" in on_terminal("agents", dsn=dsn)
