"""Entry points of a revision: what of its catalogue callers rely on, and calls with their results.

cd tests && python -m migration._entry_points 0014      records a revision, once, when it is released
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus

from _server import Cluster, programs
from conftest import INSTALLER, Database, prepare
from migration._calls import CALLS, Call
from pgstate import migrate

FOLDER = Path(__file__).parent / "entry_points"
# what differs from run to run: points in time and in the feed, and what is drawn by chance
_VARIES = re.compile(r"^(cursor|at|.+_at|.+_ats|lease_until|lease_left|retry_in|subscribe|until)$")
_VARIES_OF = {
    ("quotas", "used_writes"),
    ("verify_audit", "head"),
    ("issue_ticket", "issue_ticket"),
    ("harden", "note"),
    ("audit", "id"),
    ("sealed_parts", "blocks"),
}
_DRAWN = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_FUNCTIONS = """
select p.proname, p.prokind::text, p.proretset, p.pronargdefaults, p.proargnames,
       (select array_agg(format_type(t.oid, null) order by t.place)
          from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality t(oid, place)),
       format_type(p.prorettype, null),
       (select json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod)) order by a.attnum)
          from pg_type t join pg_attribute a on a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
         where t.oid = p.prorettype and t.typtype = 'c')
  from pg_proc p where p.pronamespace = 'pgstate'::regnamespace and p.proname !~ '^_'
   -- not the constructors of a range type
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i') order by 1
"""
_VIEWS = """
select c.relname, json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod)) order by a.attnum)
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
 where c.relnamespace = 'pgstate'::regnamespace and c.relkind = 'v' and c.relname !~ '^_' group by 1 order by 1
"""


def catalogue(database: Database) -> dict[str, Any]:
    """Public functions with their parameters and results, and the columns of public views."""
    functions = {
        name: {
            "kind": kind,
            "set": retset,
            "defaults": defaults,
            "parameters": [list(pair) for pair in zip(names or [], types or [], strict=True)],
            "result": result,
            "columns": columns,
        }
        for name, kind, retset, defaults, names, types, result, columns in database.sql(_FUNCTIONS)
    }
    return {"functions": functions, "views": dict(database.sql(_VIEWS))}


def calls_of(revision: str) -> list[Call]:
    return [call for call in CALLS if call.since <= revision]


def _statement(call: Call, known: dict[str, str], *, named: bool) -> str:
    given = {name: value.format(**known) for name, value in call.arguments.items()}
    # the one parameter of key()
    variadic = "variadic " if call.function == "key" else ""
    arguments = ", ".join(variadic + (f'"{name}" => {value}' if named else value) for name, value in given.items())
    verb = "call" if call.function == "write_and_wake" else "select * from"
    return f"{verb} pgstate.{call.function}({arguments})"


def replay(database: Database, calls: list[Call], *, named: bool) -> Iterator[dict[str, Any]]:
    """Runs the calls as psql does, values as text, and yields what came of each, without what varies."""
    database.sql("create function public.own(jsonb, jsonb) returns jsonb language sql immutable as $$ select $2 $$")
    known = {"login": database.name}
    with psycopg.connect(database.dsn(), autocommit=True) as connection:
        for call in calls:
            result = connection.pgconn.exec_(_statement(call, known, named=named).encode())
            if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                code = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
                assert code.startswith("PS") and not call.keep, f"{call.function}: {result.error_message.decode()}"
                yield {"function": call.function, "error": code}
                continue
            columns = [(result.fname(n) or b"").decode() for n in range(result.nfields)]
            rows = [
                [None if (cell := result.get_value(row, n)) is None else cell.decode() for n in range(result.nfields)]
                for row in range(result.ntuples)
            ]
            for name, column in call.keep.items():
                known[name] = str(rows[-1][columns.index(column)])
            yield {
                "function": call.function,
                "columns": columns,
                "rows": [
                    [
                        f"({column})"
                        if cell is not None
                        and (_VARIES.match(column) or (call.function, column) in _VARIES_OF or _DRAWN.match(cell))
                        else cell and cell.replace(database.name, "{login}")
                        for column, cell in zip(columns, row, strict=True)
                    ]
                    for row in rows
                ],
            }  # fmt: skip


def recorded(revision: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{revision}.json").read_text())
    return document


def record(revision: str) -> None:
    """Writes the file of a revision, from a server of its own."""
    cluster = Cluster(programs()[18]).start()
    try:
        prepare(cluster)
        database = Database(cluster, cluster.create_database(owner=INSTALLER))
        migrate.upgrade_dsn(database.dsn(), revision)
        document = {"catalogue": catalogue(database), "calls": list(replay(database, calls_of(revision), named=True))}
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{revision}.json").write_text(json.dumps(document, indent=1) + "\n")
    finally:
        cluster.remove()


if __name__ == "__main__":
    record(sys.argv[1])
