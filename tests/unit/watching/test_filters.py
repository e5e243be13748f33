"""The filter: patterns, ignore patterns, folders, and names of any bytes."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.errors import UsageError
from file_watcher.watching.filters import PathFilter

AUDIO = ("*.mp3", "*.flac")
IGNORED = ("*.part", "~$*", ".*", "*.tmp", "*~", "*.metadata.json")
ROOT = b"/media/music"


def music(*patterns: str, ignore: tuple[str, ...] = IGNORED, recursive: bool = True) -> PathFilter:
    return PathFilter(ROOT, patterns or AUDIO, ignore, recursive=recursive)


@pytest.mark.parametrize(
    "name", [b"a.mp3", b"A.MP3", b"a.b.FlAc", b"\xff\xfe.mp3", "é.mp3".encode(), b"a\nb.mp3"]
)
def test_a_name_that_matches_is_wanted_whatever_its_case_and_bytes(name: bytes) -> None:
    assert music().wants_file(ROOT + b"/" + name)


@pytest.mark.parametrize(
    "path",
    [
        b"/media/music",
        b"/media/music/",
        b"/media/music.mp3",
        b"/media/musical/a.mp3",
        b"/media/music/a.txt",
        b"/media/music/mp3",
        b"/media/music/.a.mp3",
        b"/media/music/~$a.mp3",
        b"/media/music/a.mp3.part",
        b"/media/music/folder.mp3/",
        b"/media/music/.trash/a.mp3",
        b"/media/music/x/Y.TMP/z/a.mp3",
    ],
)
def test_what_is_outside_unmatched_or_ignored_is_not_wanted(path: bytes) -> None:
    assert not music().wants_file(path)


def test_components_of_the_root_itself_are_not_held_against_the_ignore_patterns() -> None:
    hidden = PathFilter(b"/home/me/.music", AUDIO, IGNORED)
    assert hidden.wants_file(b"/home/me/.music/a.mp3")
    assert hidden.wants_folder(b"/home/me/.music")


def test_an_ignored_folder_hides_the_folders_below_it() -> None:
    assert music().wants_folder(ROOT + b"/artist/album")
    assert not music().wants_folder(ROOT + b"/.git")
    assert not music().wants_folder(ROOT + b"/.git/objects/aa")
    assert not music().wants_folder(b"/media/other")


def test_without_recursion_only_the_root_is_entered() -> None:
    flat = music(recursive=False)
    assert flat.wants_folder(ROOT)
    assert flat.wants_file(ROOT + b"/a.mp3")
    assert not flat.wants_folder(ROOT + b"/artist")
    assert not flat.wants_file(ROOT + b"/artist/a.mp3")


def test_the_root_of_the_filesystem_can_be_a_library() -> None:
    everything = PathFilter(b"/", ("*.mp3",), ())
    assert everything.wants_file(b"/a.mp3")
    assert everything.wants_file(b"/b/a.mp3")
    assert everything.wants_folder(b"/")
    assert everything.wants_folder(b"/b")


def test_a_pattern_with_a_slash_is_held_against_the_path_below_the_root() -> None:
    trees = music("**/ast/*.json", "top/?.txt")
    assert trees.wants_file(ROOT + b"/ast/a.json")
    assert trees.wants_file(ROOT + b"/deep/er/AST/a.json")
    assert trees.wants_file(ROOT + b"/top/x.txt")
    assert not trees.wants_file(ROOT + b"/ast/sub/a.json")
    assert not trees.wants_file(ROOT + b"/beast/a.json")
    assert not trees.wants_file(ROOT + b"/deep/top/x.txt")


def test_an_ignore_pattern_with_a_slash_hides_a_folder_and_what_is_in_it() -> None:
    some = music(ignore=("incoming/raw", "old/**"))
    assert not some.wants_file(ROOT + b"/incoming/raw/deep/a.mp3")
    assert not some.wants_folder(ROOT + b"/incoming/raw")
    assert some.wants_file(ROOT + b"/other/incoming/raw/a.mp3")
    assert some.wants_folder(ROOT + b"/old")
    assert not some.wants_file(ROOT + b"/old/a.mp3")
    assert not some.wants_file(ROOT + b"/old/b/a.mp3")


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("[ab]*.mp3", "b1.mp3", True),
        ("[!ab]*.mp3", "b1.mp3", False),
        ("[!ab]*.mp3", "c1.mp3", True),
        ("[a-c]?.mp3", "bz.mp3", True),
        ("[]x].mp3", "].mp3", True),
        ("[!]x].mp3", "].mp3", False),
        (r"\[.mp3", "[.mp3", True),
        ("*", "anything", True),
        ("a*", "abc", True),
        ("a*c*", "abcd", True),
        ("a.c", "abc", False),
        ("[A-C].mp3", "b.mp3", True),
    ],
)
def test_patterns_mean_what_they_mean_in_a_shell(pattern: str, name: str, matches: bool) -> None:
    assert music(pattern, ignore=()).wants_file(ROOT + b"/" + name.encode()) is matches


@pytest.mark.parametrize("pattern", ["", "/", "[z-a].mp3", "[.mp3", "a\0b", "x" * 10_000, "!*.mp3"])
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="pattern"):
        music(pattern)


def test_all_patterns_that_cannot_be_read_are_told_at_once() -> None:
    with pytest.raises(UsageError) as raised:
        PathFilter(ROOT, ("", "*.mp3"), ("[z-a]",))
    assert len(raised.value.problems) == 2


def test_a_pattern_that_ends_in_a_slash_hides_folders_and_wants_all_that_lies_in_them() -> None:
    hiding = music("*", ignore=("build/", "/dist/"))
    assert not hiding.wants_folder(ROOT + b"/a/Build")
    assert not hiding.wants_file(ROOT + b"/a/build/deep/er.txt")
    assert hiding.wants_file(ROOT + b"/a/build")
    assert not hiding.wants_file(ROOT + b"/dist/a")
    assert hiding.wants_file(ROOT + b"/a/dist/a")
    wanting = music("ast/", "/docs/")
    assert wanting.wants_file(ROOT + b"/a/ast/b/c.txt")
    assert wanting.wants_file(ROOT + b"/docs/c.txt")
    assert not wanting.wants_file(ROOT + b"/a/docs/c.txt")
    assert not wanting.wants_file(ROOT + b"/ast")


def test_a_folder_whose_name_is_like_a_wanted_files_makes_nothing_wanted() -> None:
    assert not music("*.json", "**/ast/*.x").wants_file(ROOT + b"/a.json/ast/b.x/c.txt")


def test_what_is_taken_back_is_wanted_or_hidden_again() -> None:
    some = music("*.json", "!package*.json", ignore=("*.json", "!keep*"))
    assert some.wants_file(ROOT + b"/keep.json")
    assert not some.wants_file(ROOT + b"/lose.json")
    assert not music("*.json", "!package*.json").wants_file(ROOT + b"/package.json")


def test_below_an_ignored_folder_nothing_is_taken_back() -> None:
    hiding = music("*", ignore=("build", "!build/keep.json", "!keep.json"))
    assert not hiding.wants_file(ROOT + b"/build/keep.json")
    assert not hiding.wants_folder(ROOT + b"/build")


def test_all_but_what_is_taken_back_can_be_hidden() -> None:
    only_python = music("*", ignore=("*", "!*/", "!*.py"))
    assert only_python.wants_folder(ROOT + b"/src/deep")
    assert only_python.wants_file(ROOT + b"/src/deep/a.py")
    assert not only_python.wants_file(ROOT + b"/src/deep/a.txt")


def test_paths_of_any_bytes_are_judged_by_path_patterns_too() -> None:
    some = music("**/ast/*.json", ignore=("/\udcff*/",))
    assert some.wants_file(ROOT + b"/a\n\xfe/ast/x\xff.json")
    assert not some.wants_file(ROOT + b"/\xff\xfe/ast/x.json")


LETTERS = st.text("aAbB.*?", min_size=1, max_size=6).filter(lambda pattern: pattern not in {".", ".."})


@given(pattern=LETTERS, name=st.text("aAbB.", min_size=1, max_size=6))
def test_every_simple_pattern_agrees_with_fnmatch(pattern: str, name: str) -> None:
    expected = fnmatch.fnmatchcase(name.lower(), pattern.lower())
    assert music(pattern, ignore=()).wants_file(ROOT + b"/" + name.encode()) is expected


@given(name=st.binary(min_size=1, max_size=12).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_any_bytes_can_be_judged(name: bytes) -> None:
    assert music("*", ignore=()).wants_file(ROOT + b"/" + name)
    assert not music("*", ignore=("*",)).wants_file(ROOT + b"/" + name)
