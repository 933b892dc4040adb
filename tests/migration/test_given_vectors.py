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
