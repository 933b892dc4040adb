"""Search tells an agent nothing of what it may not read: no word, vector, count, rank or cost of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from _server import SUPERUSER
from conftest import Database
from sql._caller import Caller, MakeAgent, refused
from sql.test_search import build
from sql.test_vectors import pgvector

__all__ = ["pgvector"]

SECRET = "hid/s3cr3t-name"


@pytest.fixture
async def victim(root: Caller, session: MakeAgent) -> Caller:
    for prefix in ("hid", "a/c", "wo", "a/b-secret", "aa"):
        await root.rows("put_many", [f"{prefix}/{n:03}" for n in range(300)], [{"t": "zebra common", "n": 1}] * 300)
    await root.rows("put_many", [f"a/b/{n}" for n in range(5)], [{"t": "owl common", "n": n} for n in range(5)])
    await root.rows("put_many", [SECRET, "a/b", "ro/1"], ["zebra s3cr3t", "owl", "owl"])
    return root


@pytest.fixture
async def mallory(victim: Caller, agent: MakeAgent) -> Caller:
    return await agent("mallory", "read a/b/**", "write a/b/**", "read ro/**", "write wo/**", "read a/c0/**")


async def indexed(victim: Caller, session: MakeAgent, *rules: str) -> None:
    for rule in rules:
        await victim("set_search", rule)
    await build(victim)
    await (await session(SUPERUSER)).execute("vacuum analyze pgstate.search_doc, pgstate.entry")


async def cost(caller: Caller, call: str) -> tuple[Any, ...]:
    """Buffers and rows, when the session has warmed up."""
    for _ in range(3):
        text = await caller.fetchval(
            f"explain (analyze, buffers, format json, timing off, summary off) select * from pgstate.{call}"
        )
    plan = json.loads(text)[0]["Plan"]
    return tuple(plan[name] for name in ("Shared Hit Blocks", "Shared Read Blocks", "Actual Rows"))


async def planned(caller: Caller, call: str) -> list[str]:
    """How many rows the server takes each part of its plans to give: it tells whoever asks, of what goes on inside of functions, too."""
    said: list[str] = []
    for _ in range(3):  # what is planned once for all is
        await caller.fetch(f"select * from pgstate.{call}")
    listen = lambda _, message: said.append(str(message.as_dict()))  # noqa: E731
    caller.connection.add_log_listener(listen)
    await caller.execute("set client_min_messages = log; set debug_print_plan = on")
    await caller.fetch(f"select * from pgstate.{call}")
    await caller.execute("reset client_min_messages; reset debug_print_plan")
    await caller.execute("select")
    caller.connection.remove_log_listener(listen)
    return re.findall(r"plan_rows (\S+)", "".join(said))


@pytest.mark.every_version
async def test_plans_tell_nothing_of_hidden_values_and_keys(
    victim: Caller, agent: MakeAgent, session: MakeAgent
) -> None:
    """The estimate of what is compared with a constant is made by what all rows hold, as far as it is known."""
    alice = await agent("alice", "read ro/**")
    await victim("revoke_access", "alice", "memory/{agent}/**", "read")
    await victim.rows("put_many", [f"ro/{n}" for n in range(700)], [{"t": str(n)} for n in range(700)])
    await (await session(SUPERUSER)).execute("vacuum analyze pgstate.entry")
    for pattern, filter_, there, missing in (
        ("ro/**", '{"t": "%s"}', "zebra common", "zebra nowhere"),
        ("*/%s*", '{"t": "x"}', "s3cr3t", "nowhere"),
        ("**/%s*", '{"t": "x"}', "s3cr3t", "nowhere"),
        ("**/%s*", "{}", "s3cr3t", "nowhere"),
    ):
        for order in ("'newest'", "null"):
            call = f"search('{pattern}', filter => '{filter_}', \"order\" => {order})"
            assert await planned(alice, call % there) == await planned(alice, call % missing), call
    assert await planned(alice, "search('ro/**', filter => '{\"t\": \"zebra\"}', \"order\" => 'newest')")


@pytest.mark.every_version
async def test_hidden_and_missing_are_denied_alike(mallory: Caller, victim: Caller, session: MakeAgent) -> None:
    for rules in ((), ("**",)):
        await indexed(victim, session, *rules)
        said = await mallory.refuses(
            "PS010",
            *(
                f"{function}('{pattern}'{more})"
                for pattern in ("hid/**", "nil/**", SECRET, "hid/none", "a/c/*", "a/b-secret/**", "wo/**", "wo/none", "hid/*n*")
                for function, more in (
                    ("search", ", 'zebra'"), ("search", ", filter => '{\"n\": 1}'"), ("search", ", vector => '{1,0}'"), ("unembedded", ""),
                )
            ),
            "search('a/b/**', 'owl', agent => 'admin')",
        )  # fmt: skip
        assert len(said) == 1
        for pattern in ("", "**", "a/**", "*/**", "**/*", "a/*/*", "?/**"):
            for query in ("zebra", "common", "s3cr3t", "-owl", "owl or zebra", None):
                for row in await mallory.rows("search", pattern, query, limit=1000):
                    assert row["key"].startswith(("a/b/", "ro/")) or row["key"] == "a/b", row
        assert len(await mallory.rows("search", "", "common", limit=1000)) == 5
        for setting in ("pgstate.agent", "pgstate.call_agent", "pgstate.call_agents"):
            await mallory.execute("select set_config($1, 'admin', false)", setting)
        assert await mallory.rows("search", "", "zebra") == []


@pytest.mark.every_version
@pytest.mark.parametrize("rules", [(), ("**",), ("a/**", "hid/**"), ("a/b/**", "a/**")], ids=str)
async def test_cost_and_rank_do_not_tell_of_hidden_words(
    mallory: Caller, victim: Caller, session: MakeAgent, rules: tuple[str, ...]
) -> None:
    await indexed(victim, session, *rules)
    for call in (
        "search('', '{}')", "search('a/**', '{}')", "search('a/b/**', '{}')", "search('a/b*', '{}')", "search('a/b', '{}')", "search('*/**', '{}')",
        "search('', '{} or owl')", "search('', 'owl -{}')", "search('', '\"{} common\"')", "search('', '-{}')", "search('**/c*/**', '{}')",
        "search('', filter => '{{\"t\": \"{} common\"}}')", "search('', '{}', after => '0.1 1 a/b/1')",
    ):  # fmt: skip
        # one is in 1501 hidden entries, the other nowhere
        assert await cost(mallory, call.format("zebra")) == await cost(mallory, call.format("quagg")), call
    everything = {
        call: (await cost(mallory, call), await mallory.rows(call.partition("(")[0], "", "common owl", limit=1000))
        for call in ("search('', 'common')", "search('', 'owl common')", "search('')")
    }
    # ranks do not depend on how often others have a word, nor does what it costs
    await victim.rows("put_many", [f"hid/{n:03}" for n in range(300)], ["nothing of it"] * 300)
    await victim.rows("delete_many", [f"aa/{n:03}" for n in range(300)])
    await (await session(SUPERUSER)).execute("vacuum pgstate.search_doc")
    for call, (_, rows) in everything.items():
        assert await mallory.rows(call.partition("(")[0], "", "common owl", limit=1000) == rows


@pytest.mark.every_version
@pytest.mark.usefixtures("pgvector")
async def test_cost_does_not_tell_of_hidden_vectors(mallory: Caller, victim: Caller, session: MakeAgent) -> None:
    await victim("create_vectors", "v", 2, "toy", "l2")
    await victim("set_search", "**", vectors="v")
    await build(victim)
    rows = await victim.rows("unembedded", "", 10000)
    vectors = [[0.0, n / 10] if row["key"].startswith("a/b/") else [9.0, 9.0 + n / 1000] for n, row in enumerate(rows)]
    stored = await victim.rows(
        "set_vectors", [row["key"] for row in rows], [row["digest"] for row in rows], [0] * len(rows), vectors, "toy"
    )
    assert {row["status"] for row in stored} == {"ok"}
    near, far = "'{9,9}'", "'{-9,50}'"
    for call in ("search('', vector => {})", "search('a/**', vector => {})", "search('a/b/**', 'owl', vector => {})"):
        assert await cost(mallory, call.format(near)) == await cost(mallory, call.format(far)), call
    found = await mallory.rows("search", "", vector=[9.0, 9.0], limit=1000)
    assert {row["key"] for row in found} <= {"a/b", "ro/1", *(f"a/b/{n}" for n in range(5))}
    # nor do keys of theirs show in how a pattern is looked for
    await (await session(SUPERUSER)).execute("vacuum analyze pgstate.embedding")
    for query in ("null", "'owl'"):
        call = f"search('%s', {query}, vector => {near})"
        assert await planned(mallory, call % "*/0*") == await planned(mallory, call % "*/x*") != []
    # nor does it get at them by storing some of its own
    for key in ("hid/001", "wo/001", "ro/1", "nil"):
        assert (await mallory("set_vectors", [key], ["00"], [0], [[1.0, 0.0]], "toy"))["status"] == "denied"
    assert await mallory.rows("unembedded", "") == []


@pytest.mark.every_version
async def test_what_is_inside_is_not_for_agents(mallory: Caller, victim: Caller, database: Database) -> None:
    await victim("set_search", "**")
    for call in (
        "_index_keys(array['hid/001'])", "_search_plan(null, null)", "_text_matches(null, 'zebra')", "_nearest(null, null, null, null, null, 1, false, null, null, 0)",
        "_build_search(1)", "_follow_writes()", "_set_vectors(null, null, null, null, null, null)", "_filter_text('{}', '$', 0)", "_scoped(null, 'x', 'x', 'x')",
    ):  # fmt: skip
        with refused("42501"):
            await mallory.execute(f"select pgstate.{call}")
    for table in ("search_rule", "search_doc", "search_build", "vector_index", "embedding", "embedding_wanted"):
        for role in ("pgstate_api", "pgstate_agent", "pgstate_reader"):
            assert database.sql(f"select has_table_privilege('{role}', 'pgstate.{table}', 'select')") == [(False,)]
    # a function of pgstate_api that asks for more than its caller reads gets nothing of it
    database.sql(
        "set role pgstate_api; create function pgstate.wrong() returns setof text language plpgsql security definer"
        " set search_path = pg_catalog, pg_temp as $$ begin return query select m.key from pgstate._text_matches(array("
        " select p from pgstate._search_plan('{(,)}', '{(,)}') p), 'common') m; end $$;"
        " grant execute on function pgstate.wrong() to pgstate_agent"
    )
    while (await victim("maintain"))["more"]:
        pass
    assert {row[0] for row in await mallory.fetch("select pgstate.wrong()")} == {f"a/b/{n}" for n in range(5)}


@pytest.mark.every_version
async def test_a_reader_searches_what_it_may_read(victim: Caller, session: MakeAgent, login_name: Any) -> None:
    login = login_name("ana")
    await victim("create_reader", login, "a/b/**")
    ana = await session(login)
    assert {row["key"] for row in await ana.rows("search", "", "common or zebra", limit=1000)} == {
        f"a/b/{n}" for n in range(5)
    }
    await ana.refuses("PS010", "search('hid/**', 'zebra')")
    rows = await ana.fetch(
        'select key from pgstate.entries where pgstate.matches(value, \'{"n": {"$gte": 3}}\') order by key'
    )
    assert [row["key"] for row in rows] == ["a/b/3", "a/b/4"]


@pytest.mark.every_version
async def test_a_gateway_names_who_searches(victim: Caller, mallory: Caller, gateway: MakeAgent) -> None:
    both = await gateway("mallory")
    await both.refuses(
        "PS010",
        "search('', 'common')",
        "search('', 'common', agent => 'admin')",
        "unembedded()",
        "searches()",
        "vectors()",
    )
    rows = await both.rows("search", "", "common", agent="mallory", limit=1000)
    assert {row["key"] for row in rows} == {f"a/b/{n}" for n in range(5)}
