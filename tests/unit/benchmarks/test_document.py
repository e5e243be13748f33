from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.document import document, write


def test_a_document_says_on_what_it_was_measured() -> None:
    made = json.loads(json.dumps(document(0.5, {"rows": []})))

    assert made["scale"] == 0.5
    assert made["rows"] == []
    assert made["machine"]["cores"] >= 1
    assert made["machine"]["memory_gb"] > 0
    assert {"python", "openssl", "pika", "rabbitmq", "file_watcher"} <= made["versions"].keys()


def test_a_document_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.json"
    write(path, {"rows": [1]})

    with pytest.raises(ValueError, match="not JSON compliant"):
        write(path, {"rows": [float("nan")]})

    assert json.loads(path.read_text()) == {"rows": [1]}
    assert [each.name for each in path.parent.iterdir()] == ["table.json"]
