"""The version that the package says it has."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from file_watcher import version
from tests.unit.test_house import project


def test_the_version_is_the_one_of_the_project() -> None:
    assert project()["project"]["version"] == version.VERSION


def test_a_checkout_that_was_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", find_nothing)
    assert version._installed() == "0+unknown"
