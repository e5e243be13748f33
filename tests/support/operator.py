"""An operator at the database: changes rows as anybody with another program would."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg


class Operator:
    """Writes into the catalog's database by other means than ours; each call is one commit."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._is_sqlite = database_url.startswith("sqlite:///")

    def commit(self, *statements: tuple[str, Sequence[Any]]) -> None:
        """Run the statements, with `?` for their values, in one transaction."""
        if self._is_sqlite:
            with closing(self._file()) as file, file:
                for statement, values in statements:
                    file.execute(statement, tuple(values))
            return
        with psycopg.connect(self._url) as connection:
            for statement, values in statements:
                connection.execute(statement.replace("?", "%s"), tuple(values))

    def ask(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that answer a question."""
        if self._is_sqlite:
            with closing(self._file()) as file:
                return file.execute(question, values).fetchall()
        with psycopg.connect(self._url) as connection:
            return connection.execute(question.replace("?", "%s"), values).fetchall()

    def add_library(self, name: str, root: Path, *, is_watched: bool = True, **rules: str) -> int:
        """A library with its rules in one commit; its number."""
        number = 1 + (self.ask("SELECT max(id) FROM libraries")[0][0] or 0)
        self.commit(
            (
                "INSERT INTO libraries (id, name, path, type, is_watched) VALUES (?, ?, ?, ?, ?)",
                (number, name, str(root), "production", is_watched),
            ),
            *(self.rule_statement(number, key, value) for key, value in rules.items()),
        )
        return number

    def watch(self, number: int, *, is_watched: bool) -> None:
        """Flip the row."""
        self.commit(("UPDATE libraries SET is_watched = ? WHERE id = ?", (is_watched, number)))

    def rule(self, number: int, key: str, value: str) -> None:
        """Give a library a rule, or another one."""
        self.commit(self.rule_statement(number, key, value))

    def settings(self, **values: str) -> None:
        """Set `file_watch.*` rows, all in one commit."""
        self.commit(*((_SET, (f"file_watch.{key}", value)) for key, value in values.items()))

    def _file(self) -> sqlite3.Connection:
        return sqlite3.connect(self._url.removeprefix("sqlite:///"), timeout=10)

    @staticmethod
    def rule_statement(number: int, key: str, value: str) -> tuple[str, Sequence[Any]]:
        """What sets a rule."""
        return _RULE, (number, key, value)


_SET = """
INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value
"""
_RULE = """
INSERT INTO fw_library_rules (library_id, key, value) VALUES (?, ?, ?)
ON CONFLICT (library_id, key) DO UPDATE SET value = excluded.value
"""
