"""Delegations keep their agents' reach from 0013 on."""

from __future__ import annotations

from conftest import INSTALLER, Database
from pgstate import migrate
from sql.test_delegations import APART


def test_those_that_are_there_have_it_too(database: Database) -> None:
    migrate.downgrade_dsn(database.dsn(INSTALLER), "0012")
    login = database.login("gateway")
    database.sql(
        f"""
        select pgstate.create_gateway('{login}');
        select pgstate.create_agent(name), pgstate.grant_access(name, 'a/**', 'write'), pgstate.delegate('{login}', name)
          from unnest('{{plain,timed,quiet,meek}}'::text[]) name;
        select pgstate.grant_access('timed', 'b/**', 'read', interval '1 hour');
        select pgstate.suspend_agent('quiet');
        select pgstate.set_quota('meek', 5), pgstate.set_trust('meek', 'external');
        """,
        INSTALLER,
    )
    migrate.upgrade_dsn(database.dsn(INSTALLER))
    assert database.sql(APART) == []
    kept = "select agent_name, writes @> 'a/1'::text, folded_until is null, quota, trust::text from pgstate.delegation order by 1"
    assert database.sql(kept) == [
        ("meek", True, True, True, "external"),
        ("plain", True, True, False, "agent"),
        ("quiet", False, False, False, "agent"),
        ("timed", True, False, False, "agent"),
    ]
    put = "select status from pgstate.put('a/1', '1', agent => 'plain')"
    assert database.sql(put, login) == [("ok",)]
    migrate.downgrade_dsn(database.dsn(INSTALLER), "0012")
    assert database.sql(put, login) == [("ok",)]
