"""Which database an end-to-end test runs on by default, where the other one is only for `make soak`.

For tests that take long, and whose subject lies elsewhere: the mirror and the catalog's own tests run on both.
"""

from __future__ import annotations

from typing import Final

import pytest

_SQLITE, _POSTGRESQL = "sqlite", "postgresql"


def _mostly(usual: str, seldom: str) -> pytest.MarkDecorator:
    databases = [usual, pytest.param(seldom, marks=pytest.mark.soak)]
    return pytest.mark.parametrize("database_url", databases, indirect=True)


MOSTLY_SQLITE: Final = _mostly(_SQLITE, _POSTGRESQL)
MOSTLY_POSTGRESQL: Final = _mostly(_POSTGRESQL, _SQLITE)
