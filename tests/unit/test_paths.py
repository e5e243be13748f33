"""One spelling of paths inside; on Windows another one outside."""

from __future__ import annotations

import json
import ntpath
import os
import sys
from pathlib import Path

import pytest

from file_watcher.model import Library, Notice, display
from file_watcher.paths import inner, native, native_bytes, real_path


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")


@pytest.mark.parametrize("path", [b"/music/a\\b.mp3", b"/music/C:/x", b"//?/x", b"/caf\xe9"])
def test_elsewhere_a_path_is_what_the_kernel_says(path: bytes) -> None:
    assert inner(path) == inner(os.fsdecode(path)) == native_bytes(path) == path
    assert os.fsencode(native(path)) == path


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("given", "inside", "outside"),
    [
        (r"C:\music\x.mp3", b"C:/music/x.mp3", r"C:\music\x.mp3"),
        ("C:/music/x.mp3", b"C:/music/x.mp3", r"C:\music\x.mp3"),
        (r"c:\music/sub\x", b"C:/music/sub/x", r"C:\music\sub\x"),
        ("C:\\", b"C:/", "C:\\"),
        (r"\\server\share\x", b"//server/share/x", r"\\server\share\x"),
        (r"\\?\C:\music\x", b"C:/music/x", r"C:\music\x"),
        (r"\\?\UNC\server\share\x", b"//server/share/x", r"\\server\share\x"),
        (r"\\?\unc\server\share\x", b"//server/share/x", r"\\server\share\x"),
        (r"sub\x", b"sub/x", r"sub\x"),
        ("", b"", ""),
    ],
)
def test_on_windows_there_is_one_spelling_inside_and_its_own_outside(
    given: str, inside: bytes, outside: str
) -> None:
    assert inner(given) == inner(os.fsencode(given)) == inside
    assert inner(outside) == inside
    assert native(inside) == display(inside) == native_bytes(inside).decode() == outside
    assert ntpath.normpath(outside) == ntpath.normpath(inside.decode()) or not outside


@pytest.mark.usefixtures("windows")
def test_a_library_holds_what_lies_in_it_whatever_its_root_is() -> None:
    for root, path in (
        ("C:\\", "C:\\x"),
        ("D:\\music", "D:\\music\\sub\\x"),
        (r"\\nas\music", r"\\nas\music\x"),
    ):
        library = Library(1, "music", "production", inner(root))
        assert library.holds(inner(path))
        assert not library.holds(inner("E:\\music"))


def test_what_is_no_text_is_shown_and_can_be_opened_all_the_same(tmp_path: Path) -> None:
    file = os.fsencode(tmp_path) + b"/caf\xe9"
    with Path(native(file)).open("wb"):
        assert display(file).endswith("/caf\N{REPLACEMENT CHARACTER}")
    assert real_path(native(file)) == os.fsencode(tmp_path.resolve()) + b"/caf\xe9"


@pytest.mark.usefixtures("windows")
def test_messages_have_the_system_s_own_spelling() -> None:
    from file_watcher.publishing.message import encode_notice

    library = Library(1, "music", "production", b"C:/music")
    notice = Notice("snapshot.begin", library, {"path_prefix": display(b"C:/music/Ella")}, "id", 1)
    assert json.loads(encode_notice(notice, "me"))["path_prefix"] == "C:\\music\\Ella"
