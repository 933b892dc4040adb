"""Frozen SQL: built from sql/, and never changed once a revision is released."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from pgstate import _paths

ROOT = Path(__file__).resolve().parents[2]


def test_frozen_files_are_what_sql_builds_and_what_was_recorded(freeze: ModuleType) -> None:
    assert freeze.check(ROOT / "sql", _paths.migrations() / "frozen") == []


@pytest.fixture
def frozen_tree(tmp_path: Path, freeze: ModuleType) -> tuple[Path, Path]:
    sql, frozen = tmp_path / "sql", tmp_path / "frozen"
    for name in ("tables/a.sql", "functions/x/f.sql"):
        (sql / name).parent.mkdir(parents=True, exist_ok=True)
        (sql / name).write_text(f"select '{name}';\n")
    (sql / "drop.sql").write_text("select 'drop';\n")
    (sql / "clear.sql").write_text("select 'clear';\n")
    (sql / "manifest.txt").write_text("# order\ntables/a.sql\nfunctions/x/f.sql\n")
    freeze.write(sql, frozen)
    return sql, frozen


def test_freezing_splits_what_runs_once_from_what_is_made_anew(
    freeze: ModuleType, frozen_tree: tuple[Path, Path]
) -> None:
    sql, frozen = frozen_tree
    assert freeze.check(sql, frozen) == []
    assert "tables/a.sql" in (frozen / "0001" / "tables.sql").read_text()
    assert "functions/x/f.sql" in (frozen / "0001" / "code.sql").read_text()
    (sql / "functions/x/f.sql").write_text("select 2;\n")
    assert freeze.check(sql, frozen) == ["0001/code.sql is not what sql/ builds: run python migrations/freeze.py"]


def test_freezing_refuses_a_released_file_that_changed(freeze: ModuleType, frozen_tree: tuple[Path, Path]) -> None:
    sql, frozen = frozen_tree
    (frozen / "0002").mkdir()
    (frozen / "0002" / "tables.sql").write_text("alter table a add b int;\n")
    freeze.write(sql, frozen)
    assert freeze.check(sql, frozen) == ["0002/drop.sql is absent: write it"]
    (frozen / "0002" / "drop.sql").write_text("alter table a drop b;\n")
    freeze.write(sql, frozen)
    assert freeze.check(sql, frozen) == []
    assert (frozen / "0002" / "clear.sql").read_text() == "select 'clear';\n"
    assert (frozen / "0002" / "drop.sql").read_text() == "alter table a drop b;\n"
    assert not (frozen / "0001" / "clear.sql").exists()
    (sql / "functions/x/f.sql").write_text("select 2;\n")
    freeze.write(sql, frozen)
    assert freeze.check(sql, frozen) == []
    (frozen / "0001" / "tables.sql").write_text("select 'something else';\n")
    assert freeze.check(sql, frozen) == ["0001/tables.sql does not match SHA256SUMS"]
    with pytest.raises(freeze.FreezeError, match="released"):
        freeze.write(sql, frozen)


def test_freezing_names_files_that_the_manifest_misses(freeze: ModuleType, frozen_tree: tuple[Path, Path]) -> None:
    sql, frozen = frozen_tree
    (sql / "tables" / "b.sql").write_text("select 1;\n")
    with pytest.raises(freeze.FreezeError, match=r"not listed: tables/b\.sql"):
        freeze.check(sql, frozen)
