from __future__ import annotations

from typing import Any

import pytest

from file_watcher.catalog.database import Database
from file_watcher.catalog.questions import questions_for

EMPTY: tuple[Any, ...] = ()


def plan(database: Database, sql: str, parameters: tuple[Any, ...]) -> str:
    with database.reading() as connection:
        return "\n".join(
            row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)
        )


@pytest.mark.parametrize("count", [1, 3, 256])
@pytest.mark.parametrize(
    ("question", "value", "index"),
    [
        ("by_paths", b"/a", "ux_fw_files_path"),
        ("by_inodes", 5, "ix_fw_files_inode"),
        ("by_contents", (1, b"h"), "ix_fw_files_content"),
        ("recorded_inodes", 5, "ix_fw_files_inode"),
    ],
)
def test_many_values_are_looked_up_by_index(
    database: Database, question: str, value: Any, index: str, count: int
) -> None:
    sql, parameters = getattr(questions_for(database, [1, 2]), question)([value] * count)

    found = plan(database, sql, parameters)

    assert f"INDEX {index}" in found
    assert "SCAN fw_files" not in found


def test_a_path_or_an_inode_is_looked_up_by_both_indexes(database: Database) -> None:
    found = plan(database, questions_for(database, [1]).by_path_or_inode, (b"/a", 5))

    assert "USING INDEX ux_fw_files_path" in found
    assert "USING INDEX ix_fw_files_inode" in found


def test_a_page_is_read_in_the_order_of_the_index(database: Database) -> None:
    found = plan(database, questions_for(database, [1]).entries_in, (b"/a/", b"/a0", 10))

    assert "USING INDEX ux_fw_files_path (path>? AND path<?)" in found
    assert "ORDER BY" not in found


def test_the_statements_have_few_different_texts(database: Database) -> None:
    by_paths = questions_for(database, [1]).by_paths

    assert len({by_paths([b"/a"] * count)[0] for count in range(1, 257)}) == 9
