"""Vectors that writers gave with their values, which 0003 knows nothing of."""

from __future__ import annotations

import pytest

from conftest import INSTALLER, Database
from pgstate import errors, migrate
from sql.test_vectors import pgvector

__all__ = ["pgvector"]


def test_going_back_takes_them_along(pgvector: None, database: Database) -> None:
    database.sql(
        """
        select pgstate.create_vectors('v', 2, 'toy');
        select pgstate.set_search('g/**', '{}', 'simple', 'v', '{}');
        select pgstate.write_embedded('{put}', '{g/1}', array['"a"'::jsonb], owners => '{1}', "vectors" => '{{1,0}}', model => 'toy');
        """,
        INSTALLER,
    )
    with pytest.raises(errors.DataLoss, match="vectors that writers gave"):
        migrate.downgrade_dsn(database.dsn(INSTALLER), "0003")
    migrate.downgrade_dsn(database.dsn(INSTALLER), "0003", data_loss=True)
    database.sql("select pgstate.put('g/1', '\"b\"')", INSTALLER)
    find = "select key from pgstate.search('g/**', vector => '{1,0}', vectors => 'v')"
    assert database.sql(find, INSTALLER) == []
    migrate.upgrade_dsn(database.dsn(INSTALLER))
    assert database.sql(find, INSTALLER) == []


def test_their_documents_go_by_and_by(pgvector: None, database: Database) -> None:
    """Up to 0012 building made some that nobody needs."""
    migrate.downgrade_dsn(database.dsn(INSTALLER), "0012")
    write = (
        "select status from pgstate.write_embedded('{{put}}', '{{{}}}', array['\"a\"'::jsonb], owners => '{{1}}', "
        "\"vectors\" => '{{{{1,0}}}}', model => 'toy')"
    )
    database.sql(
        """
        select pgstate.create_vectors('v', 2, 'toy');
        select pgstate.set_search('**', '{$}', 'simple');
        select pgstate.set_search('g/**', '{}', 'simple', 'v', '{}');
        select pgstate.set_search('g/w/**', '{$}', 'simple', 'v', '{}');
        """,
        INSTALLER,
    )
    for key in ("g/1", "g/2", "g/w/1"):
        assert database.sql(write.format(key), INSTALLER) == [("ok",)]

    def maintain() -> None:
        while database.sql("select more from pgstate.maintain()", INSTALLER) == [(True,)]:
            pass

    maintain()
    documents, find = (
        "select key from pgstate.search_doc order by key",
        "select key from pgstate.search('g/**', vector => '{1,0}')",
    )
    assert database.sql(documents) == [("g/1",), ("g/2",), ("g/w/1",)]
    migrate.upgrade_dsn(database.dsn(INSTALLER))
    given = "select key, given @> key from pgstate.install, unnest(array['g', 'g/1', 'g/w', 'g/w/1', 'h']) key"
    assert database.sql(given) == [("g", True), ("g/1", True), ("g/w", False), ("g/w/1", False), ("h", False)]
    assert database.sql(write.format("g/1"), INSTALLER) == [("ok",)]
    maintain()
    assert database.sql(documents) == [("g/w/1",)]
    assert database.sql(find, INSTALLER) == [("g/1",), ("g/2",), ("g/w/1",)]
