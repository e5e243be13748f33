from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from file_watcher.embedding.errors import WatcherError, WatcherStopped
from file_watcher.embedding.event import FileEvent, event_of
from file_watcher.embedding.metadata import MetadataOnDemand
from file_watcher.lifecycle import Deadline
from file_watcher.model import FileStat
from file_watcher.processing.tags.errors import FileChanged, TagsUnavailable
from file_watcher.processing.tags.pool import TagReader
from file_watcher.settings import FileWatchSettings
from tests.support.parcels import message


def unexpected(name: str, error: BaseException) -> None:
    raise AssertionError(name) from error


@pytest.fixture
def metadata() -> Iterator[MetadataOnDemand]:
    metadata = MetadataOnDemand(FileWatchSettings(), unexpected)
    yield metadata
    metadata.close()
    assert metadata.join(Deadline(10))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file.mp3"
    path.write_bytes(b"no medium, whatever its name says")
    return path


def event_at(path: Path, kind: str = "created") -> FileEvent:
    """The event that tells of the file as it is now."""
    recorded = message(1, kind, bytes(path), stat=FileStat.of(path.stat()))
    return event_of(recorded, json.loads(recorded.body), bytes(path.parent))


def test_a_file_that_changed_since_or_is_gone_has_none(metadata: MetadataOnDemand, path: Path) -> None:
    event = event_at(path)
    path.write_bytes(b"something else")
    assert metadata.read(event) is None
    path.unlink()
    assert metadata.read(event) is None


def test_nothing_is_started_for_what_is_no_medium(metadata: MetadataOnDemand, path: Path) -> None:
    assert metadata.read(event_at(path, "deleted")) is None
    text = path.rename(path.with_suffix(".json"))
    assert metadata.read(event_at(text)) is None
    assert not metadata._is_started


@pytest.mark.parametrize(
    ("raised", "expected"), [(FileChanged(b"/a"), None), (TagsUnavailable("no child starts"), WatcherError)]
)
def test_what_the_reader_cannot_do_is_nothing_known_or_an_error(
    metadata: MetadataOnDemand,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    expected: type[Exception] | None,
) -> None:
    def fail(reader: TagReader, path: bytes, stat: FileStat) -> object:
        raise raised

    monkeypatch.setattr(TagReader, "submit", fail)
    if expected is None:
        assert metadata.read(event_at(path)) is None
    else:
        with pytest.raises(expected, match="ask again later"):
            metadata.read(event_at(path))


def test_after_the_end_there_is_nobody_to_ask(metadata: MetadataOnDemand, path: Path) -> None:
    metadata.close()
    metadata.close()
    with pytest.raises(WatcherStopped):
        metadata.read(event_at(path))
