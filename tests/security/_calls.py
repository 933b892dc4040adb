"""Every function that agents may execute, called with a key in each of its arguments that take one, read from the catalogue.

A new function is covered by itself, with arguments of the right types; where those are refused before the key is looked at,
the test that asks for a denial says so, and _VALUES or _OF_FUNCTION takes better ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import asyncpg

from sql._caller import Caller

# Arguments that name keys, with {} for the key.
KEYS = {
    "key": "'{}'",
    "keys": "array['{}']",
    "pattern": "'{}'",
    "patterns": "array['{}']",
    "matching": "array['{}']",
    "subtree": "'{}'",
    "target": "'{}'",
    "move_to": "'{}'",
    "move_tos": "array['{}']",
    "dead_letter": "'{}'",
    "after": "'{}'",
    "after_key": "'{}'",
    "guards": """'[{{"key": "{}", "exists": true}}]'""",
    "operations": """'[{{"op": "put", "key": "{}", "value": 1}}]'""",
}
# What else they take; of the same name in several functions what the function's own says.
_VALUES = {
    "agent": "null", "agents": "array['mallory']", "after_ns": "''", "at": "now()", "atomic": "true", "attempts": "array[1]", "backoff": "'1 s'",
    "backoff_limit": "'1 s'", "before": "'9'", "bookmark": "true", "channel": "'none'", "channels": "array['a']",
    "checkpoint": "'c1'", "chunk_data": r"array['\x31'::bytea]", "chunk_types": "array['json']", "chunks": "array[0]",
    "claimed": "true", "claimed_writes": "true", "code": "'1'", "codes": "array['1']", "config": "'english'",
    "cursor": "pgstate.cursor()", "data": r"array['\x31'::bytea]", "depth": "1", "digests": "array['00']", "dims": "2",
    "distance": "'l2'", "dry_run": "true", "due_ats": "array[now()]", "elapsed": "array[1]::float8[]", "error": "'no'",
    "errors": "array['no']", "expect": "0", "expect_head": "''", "expect_value": "'1'", "expect_values": "array['1']::jsonb[]",
    "expects": "array[0]::bigint[]", "fields": "array['$']", "filter": """'{"n": 1}'""", "force": "true", "from_step": "'s'",
    "function": "'pg_catalog.jsonb_concat(jsonb, jsonb)'::regprocedure", "guard": "array['a']", "header": r"'\x31'",
    "history": "true", "id": "'c1'", "idxs": "array[0]", "ids": "array['c1']", "input": r"'\x31'", "input_type": "'json'",
    "keep": "'everything'", "kinds": "array['step']", "lane": "'00000000-0000-4000-8000-000000000001'", "lease": "'60 s'",
    "leases": "array['60 s'::interval]", "limit": "10", "lock_timeout": "'1s'", "login": "'nobody-there'", "main": "true",
    "mains": "array[true]", "max_attempts": "1", "may_begin": "false", "metadata": "'{}'", "method": "'hnsw'", "mode": "'text'",
    "model": "'toy'", "name": "'nobody-there'", "names": "array['a']", "not_before": "now()", "not_befores": "array[now()]",
    "ns": "'n'", "offset": "0", "op": "'put'", "op_id": "'op'", "op_ids": "array['op']", "operand": "'1'",
    "operands": "array['1']::jsonb[]", "ops": "array['put']", "options": "null", "order": "'newest'", "owners": "array[1]",
    "parent": "'c0'", "position": "1", "positions": "array[1]", "priorities": "array[1]", "priority": "1", "query": "'owl'", "ready_at": "now()",
    "ready_in": "'1 s'", "reducer": "'replace'", "reducers": "array['replace']", "replace": "true", "result": "'1'",
    "results": "array['1']::jsonb[]", "retry_in": "'1 s'", "retry_ins": "array['1 s'::interval]", "return_value": "true",
    "return_values": "array[true]", "reuse": "false", "right": "'read'", "run_id": "'r1'", "run_ids": "array['r1']",
    "schema": "'{}'", "segments": "'a'", "settings": "array['ttl']", "state": "'done'", "states": "array['done']",
    "step": "'s'", "steps": "array['s']", "task_id": "'t'", "task_path": "'p'", "timeout": "'1 s'", "token": "5",
    "tokens": "array[5]::bigint[]", "ttl": "'1 h'", "ttls": "array['1 h'::interval]", "turn": "1", "type": "'json'",
    "types": "array['json']", "upto": "null", "value": "'1'", "value_limit": "1024", "values": "array['1']::jsonb[]",
    "vector": "'{1,0}'", "vector_fields": "array['$']", "vectors": "null", "version": "1", "versions": "array['1']",
    "wake": "false", "watched": "null", "message": "null", "status": "null", "whole": "false", "writer": "'mallory'",
    "p_name": "'eve'", "p_login": "'eve'", "p_grants": "'{}'", "p_reuse": "false", "p_group": "'pgstate_agent'", "p_agent": "'eve'",
}  # fmt: skip
_OF_TYPE = {
    "text": "'x'", "text[]": "array['x']", "integer": "1", "bigint": "1", "integer[]": "array[1]", "bigint[]": "array[1]::bigint[]", "boolean": "true", "interval": "'1 s'", "jsonb": "'{}'",
    "timestamp with time zone": "now()", "bytea": r"'\x31'", "double precision": "1", "real": "1", "numeric": "1",
}  # fmt: skip
# What makes no sense without another.
_PAIRS = {
    "lane": ("turn",),
    "guards": ("guard_counts",),
    "chunk_types": ("chunk_data", "chunk_counts"),
    "after_key": ("before",),
}
_OF_FUNCTION = {
    "end_run": {"data": r"'\x31'"},
    "signal_run": {"data": r"'\x31'"},
    "history": {"before": "1"},
    "take_runs": {"state": "null"},
    "runs": {"states": "array['done']"},
    "finish_steps": {"states": "array['done']"},
    "prune_thread": {"keep": "1"},
    "set_audit": {"keep": "'1 day'"},
    "rekey_data": {"fields": "array[1]", "digests": r"array['\x31'::bytea]"},
    "set_vectors": {"vectors": "array[[1,0]]::real[]"},
    "write_and_wake": {
        "value": "null",
        "input": "'1'",
        "expect": "null",
        "expect_value": "null",
        "token": "null",
        "lane": "null",
        "turn": "null",
    },
}


# What nobody should give, by type.
_ODD = {
    "text": ("null", "''", "repeat('x', 600)", "'a//b'", "'999999999999999999999999'"),
    "integer": ("null", "0", "-1", "2147483647", "-2147483648"),
    "bigint": ("null", "0", "-1", "9223372036854775807", "-9223372036854775808"),
    "boolean": ("null",),
    "interval": ("null", "'0'", "'-1 s'", "'178000000 years'"),
    "timestamp with time zone": ("null", "'infinity'", "'-infinity'", "'294276-12-31'"),
    "jsonb": ("null", "'null'", "'[[]]'", "'[null]'", "'{\"a\": 1}'", "'-1e400'"),
    "bytea": ("null", "''"),
    "uuid": ("null",),
    "real": ("null", "'NaN'", "'infinity'"),
    "double precision": ("null", "'NaN'", "'infinity'"),
    "numeric": ("null", "'NaN'", "'infinity'"),
}  # fmt: skip
_ODD_ARRAYS = ("null", "'{}'", "'{null}'", "'{{null,null},{null,null}}'", "'[0:1]={null,null}'")


@dataclass(frozen=True)
class Argument:
    name: str
    type: str
    needed: bool

    @property
    def takes_key(self) -> bool:
        return self.name in KEYS and (self.name not in ("guards", "operations") or self.type == "jsonb")


@dataclass(frozen=True)
class Function:
    name: str
    procedure: bool
    arguments: Sequence[Argument]

    def calls(self) -> Iterator[tuple[str, str, str]]:
        """(argument that takes the key, argument given besides, call with {} for the key)."""
        for subject in self.arguments:
            if not subject.takes_key:
                continue
            yield subject.name, "", self._call(subject.name, None)
            for other in self.arguments:
                if not other.needed and other.name not in (
                    subject.name,
                    "agent",
                    "turn",
                    "chunk_data",
                    "guard_counts",
                    "chunk_counts",
                ):
                    yield subject.name, other.name, self._call(subject.name, other.name)

    def odd_calls(self) -> Iterator[str]:
        """Each argument given as nobody should, beside those that are needed."""
        for odd in self.arguments:
            values = _ODD_ARRAYS if odd.type.endswith("[]") else _ODD.get(odd.type, ("null",))
            for value in values:
                given = {
                    argument.name: self._value(argument)
                    if not argument.takes_key
                    else KEYS[argument.name].format("rw/mine")
                    for argument in self.arguments
                    if argument.needed or argument.name in _PAIRS.get(odd.name, ())
                }
                given[odd.name] = f"({value})::{odd.type}"
                shown = ", ".join(f'"{name}" => {text}' for name, text in given.items())
                yield f"pgstate.{self.name}({shown})"

    def _value(self, argument: Argument) -> str:
        known = {**_VALUES, **_OF_FUNCTION.get(self.name, {})}
        return known.get(argument.name, _OF_TYPE.get(argument.type, f"null::{argument.type}"))

    def _call(self, subject: str, besides: str | None) -> str:
        given = []
        for argument in self.arguments:
            if argument.needed or argument.name in (subject, besides, *_PAIRS.get(besides or "", ())):
                template = KEYS[argument.name] if argument.takes_key else None
                if template is None:
                    text = self._value(argument).replace("{", "{{").replace("}", "}}")
                else:
                    text = (
                        template
                        if argument.name == subject
                        else template.format("rw/mine").replace("{", "{{").replace("}", "}}")
                    )
                given.append(f'"{argument.name}" => {text}')
        return f"pgstate.{self.name}({', '.join(given)})"


async def functions_for_agents(caller: Caller) -> list[Function]:
    """As the caller may execute them."""
    rows = await caller.fetch(
        "select p.proname as name, p.prokind = 'p' as procedure, p.pronargdefaults as defaults,"
        "       array(select format_type(t, null) from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality a (t, n) order by n) as types,"
        "       p.proargnames[1 : case when p.prokind = 'p' then cardinality(p.proargnames) else p.pronargs end] as arguments"
        "  from pg_proc p where p.pronamespace = 'pgstate'::regnamespace and has_function_privilege(p.oid, 'execute')"
        "   and p.prosrc !~ '^(multi)?range_constructor' order by 1"
    )
    return [
        Function(
            row["name"],
            row["procedure"],
            [
                Argument(name, type_, number < len(row["arguments"]) - row["defaults"])
                for number, (name, type_) in enumerate(zip(row["arguments"] or [], row["types"], strict=False))
            ],
        )
        for row in rows
    ]


async def outcome(caller: Caller, statement: str, key: str = "\0") -> str:
    """What a call says, with <key> for the key, and leaves nothing behind. What is random in it is left out."""
    transaction = caller.transaction()
    await transaction.start()
    try:
        said = str([tuple(row.values()) for row in await caller.fetch(statement)])
    except asyncpg.PostgresError as error:
        said = f"{error.sqlstate}: {error.message} {error.detail} {error.hint} {error.context}"
    finally:
        await transaction.rollback()
    said = re.sub(r"(datetime|timedelta)\([^()]*\)", "<time>", said.replace(key, "<key>"))
    return re.sub(r"pgstate_[0-9a-z_]{16,}", "<channel>", said)


async def code_of(caller: Caller, statement: str) -> str | None:
    """The SQLSTATE with which a statement fails; nothing is left behind."""
    transaction = caller.transaction()
    await transaction.start()
    try:
        await caller.fetch(statement)
    except asyncpg.PostgresError as error:
        return error.sqlstate
    finally:
        await transaction.rollback()
    return None


async def cost(caller: Caller, call: str) -> str:
    """What EXPLAIN (ANALYZE, BUFFERS) shows of a call but times, when the session has warmed up."""
    for _ in range(2):
        transaction = caller.transaction()
        await transaction.start()
        try:
            text = await caller.fetchval(
                f"explain (analyze, buffers, format json, timing off, summary off) select * from {call}"
            )
        except asyncpg.PostgresError as error:
            return str(error.sqlstate)
        finally:
            await transaction.rollback()
    plan = json.loads(text)[0]["Plan"]
    shown = (
        "Plan Rows",
        "Actual Rows",
        "Shared Hit Blocks",
        "Shared Read Blocks",
        "Shared Dirtied Blocks",
        "WAL Records",
    )
    return str({name: plan.get(name) for name in shown})
