"""Which folders are chosen to stand for their files."""

from __future__ import annotations

import pytest

from file_watcher.model import Library, Source
from file_watcher.watching.entry import Entry
from file_watcher.watching.fold import choose_folders, folders_up_to

LIBRARY = Library(1, "music", "production", b"/lib")


def entries(*paths: bytes, library: Library = LIBRARY) -> list[Entry]:
    return [Entry(path, library, Source.KERNEL, 1.0, 1, 1.0, 1.0, 2.0) for path in paths]


@pytest.mark.parametrize(
    ("root", "path", "above"),
    [
        (b"/lib", b"/lib/a/b/c", [b"/lib/a/b", b"/lib/a", b"/lib"]),
        (b"/lib", b"/lib/a", [b"/lib"]),
        (b"/lib", b"/lib", []),
        (b"/", b"/a/b", [b"/a", b"/"]),
        (b"/", b"/", []),
    ],
)
def test_the_folders_above_a_path_end_with_the_librarys_root(
    root: bytes, path: bytes, above: list[bytes]
) -> None:
    assert list(folders_up_to(root, path)) == above


def test_no_more_folders_are_chosen_than_need_be_and_the_fullest_first() -> None:
    crowd = entries(b"/lib/a/1", b"/lib/b/1", b"/lib/b/2", b"/lib/b/3", b"/lib/c/1", b"/lib/c/2")
    assert choose_folders(crowd, 2, 1) == {b"/lib/b"}
    assert choose_folders(crowd, 3, 1) == {b"/lib/b", b"/lib/c"}
    assert choose_folders(crowd, 5, 1) == {b"/lib/b", b"/lib/c"}, "one for one would win nothing"
    assert choose_folders(crowd, 5, 2) == {b"/lib"}
    assert choose_folders(crowd, 5, 9) == {b"/lib"}, "nothing is above the root"


def test_a_folder_that_waits_itself_takes_even_one_more() -> None:
    crowd = entries(b"/lib/a/1", b"/lib/b/1", b"/lib/b/2")
    assert choose_folders(crowd, 9, 1, {b"/lib/a"}) == {b"/lib/a", b"/lib/b"}
    assert choose_folders(crowd, 9, 2, {b"/elsewhere"}) == {b"/lib"}
    assert choose_folders(entries(b"/lib/a"), 1, 1, {b"/lib"}) == {b"/lib"}


def test_libraries_are_not_mixed() -> None:
    other = Library(2, "other", "production", b"/other")
    crowd = [*entries(b"/lib/a"), *entries(b"/other/a", b"/other/b", library=other)]
    assert choose_folders(crowd, 3, 1) == {b"/other"}
