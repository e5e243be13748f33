"""Patterns mean what they mean to git, for names of any bytes, in time that is linear whatever they say."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from file_watcher.patterns import (
    LONGEST_PATTERN,
    MOST_CHARACTERS,
    MOST_PATTERNS,
    PatternList,
    only_takes_back,
    problems_of,
    text_of,
)


def means_file(patterns: list[str], path: str | bytes, *, folders_cover: bool = False) -> bool:
    text = text_of(path if isinstance(path, bytes) else path.encode())
    return PatternList(patterns, folders_cover=folders_cover).match_file(text.rpartition("/")[2], text)


def means_folder(patterns: list[str], path: str) -> bool:
    return PatternList(patterns).match_folder(path.rpartition("/")[2], path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.json", "a/b.json", True),
        ("**/*.ast.json", "x.ast.json", True),
        ("**/*.ast.json", "a/b/x.AST.json", True),
        ("**/ast/*.json", "ast/x.json", True),
        ("**/ast/*.json", "a/b/ast/x.json", True),
        ("**/ast/*.json", "beast/x.json", False),
        ("**/ast/*.json", "ast/deep/x.json", False),
        ("src/**/test_*.py", "src/test_a.py", True),
        ("src/**/test_*.py", "src/a/b/test_a.py", True),
        ("src/**/test_*.py", "a/src/test_a.py", False),
        ("src/**", "src/a/b", True),
        ("/top.txt", "top.txt", True),
        ("/top.txt", "a/top.txt", False),
        ("a/b", "a/b", True),
        ("a/b", "x/a/b", False),
        ("[!a]x", "bx", True),
        ("[^a]x", "ax", False),
        ("a[!x]b", "a/b", False),
        ("a[+-9]b", "a/b", False),
        ("a[+-9]b", "a5b", True),
        ("a[!-]b", "a-b", False),
        ("a[]-]b", "a]b", True),
        ("a?b", "a/b", False),
        ("a**b", "axyb", True),
        ("a**b", "ax/yb", False),
        (r"\*.mp3", "*.mp3", True),
        (r"\*.mp3", "x.mp3", False),
        (r"\!x", "!x", True),
        ("#recycle", "#recycle", True),
        ("#*", "a/#x", True),
        ("x ", "x ", True),
        ("x ", "x", False),
        ("a.b", "axb", False),
        ("(a|b)+$", "(a|b)+$", True),
        ("*É?", "xéy", True),
        ("**", "a/b", True),
        ("*", "a", True),
    ],
)
def test_what_a_pattern_means(pattern: str, path: str, expected: bool) -> None:
    assert means_file([pattern], path) is expected


def test_a_pattern_that_ends_in_a_slash_means_folders_alone() -> None:
    assert means_folder(["build/"], "a/build")
    assert not means_file(["build/"], "a/build")
    assert means_folder(["/build/"], "build")
    assert not means_folder(["/build/"], "a/build")
    assert not means_folder(["old/**"], "old")
    assert means_folder(["old/**"], "old/a")


def test_where_folders_cover_their_files_are_meant_however_deep() -> None:
    for pattern, path in (
        ("ast/", "a/ast/b/c.txt"),
        ("/ast/", "ast/c.txt"),
        ("a/b/", "a/b/c"),
        ("*/", "a/b"),
    ):
        assert means_file([pattern], path, folders_cover=True), pattern
    for pattern, path in (("ast/", "ast"), ("/ast/", "a/ast/c.txt"), ("a/b/", "a/c/b"), ("*/", "b")):
        assert not means_file([pattern], path, folders_cover=True), pattern


def test_the_last_pattern_that_holds_decides() -> None:
    some = ["*.json", "!package*.json", "package.json"]
    assert means_file(some, "a/x.json")
    assert not means_file(some, "a/package-lock.json")
    assert means_file(some, "a/package.json")
    assert not means_file(["!x", "!y"], "x")


def test_of_folders_that_cover_some_can_be_taken_back() -> None:
    some = ["src/", "!src/tests/"]
    assert means_file(some, "src/a.py", folders_cover=True)
    assert not means_file(some, "src/tests/a.py", folders_cover=True)


@pytest.mark.parametrize("pattern", ["*.mp3", "x?.mp3", "**/x*", "*"])
@pytest.mark.parametrize("name", [b"x\xff.mp3", b"a\nb/x\n.mp3", b"x\xed\xb2\x80.mp3", "xé.mp3".encode()])
def test_names_of_any_bytes_can_be_meant(pattern: str, name: bytes) -> None:
    assert means_file([pattern], name) is (pattern != "x?.mp3" or b"\xed" not in name)


def test_a_pattern_may_hold_bytes_that_are_no_text() -> None:
    pattern = b"x\xff*/y?".decode("utf-8", "surrogateescape")
    assert means_file([pattern], b"x\xffa/yb")
    assert not means_file([pattern], b"x\xfea/yb")


@given(name=st.binary(min_size=1, max_size=30).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_every_name_is_meant_by_any_and_by_itself(name: bytes) -> None:
    assert means_file(["a/**/*"], b"a/b/" + name)
    assert means_file(["?*"], name)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "is empty"),
        ("/", "is empty"),
        ("!", "is empty"),
        ("a\0b", "NUL"),
        ("[a-z.mp3", "bracket that is not closed"),
        ("x[!]", "bracket that is not closed"),
        ("[a/b]", "bracket that is not closed"),
        ("[z-a].mp3", "runs backwards: z-a"),
        ("[[:alpha:]]", "not understood"),
        (r"[a\]]", "not understood"),
        ("a\\", "nothing behind it"),
        ("a//b", "two slashes"),
        ("../x", "paths below the library"),
        ("./x", "paths below the library"),
        ("\ud800", "no character"),
        ("x" * (LONGEST_PATTERN + 1), f"has {LONGEST_PATTERN + 1} characters"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_named_with_the_reason(pattern: str, reason: str) -> None:
    (problem,) = problems_of([pattern])
    assert reason in problem
    assert problem.startswith(f"the pattern {pattern[:60]!r}"[:60])
    assert len(problem) < 300
    with pytest.raises(ValueError, match="the pattern"):
        PatternList([pattern])


def test_all_patterns_that_cannot_be_used_are_told() -> None:
    assert len(problems_of(["", "*.mp3", "[a"])) == 2
    assert problems_of(["x"] * MOST_PATTERNS) == []
    assert "too many" in problems_of(["x"] * (MOST_PATTERNS + 1))[0]
    assert "too many" in problems_of(["x" * LONGEST_PATTERN] * (MOST_CHARACTERS // LONGEST_PATTERN + 1))[0]


def test_a_list_that_only_takes_back_is_known() -> None:
    assert only_takes_back(["!a", "!b"])
    assert not only_takes_back(["!a", "b"])
    assert not only_takes_back([])


@given(st.lists(st.text(r"ab*?/[]!-\.^#& é", max_size=12), min_size=1, max_size=4))
def test_any_text_is_a_pattern_or_refused(patterns: list[str]) -> None:
    if not problems_of(patterns):
        PatternList(patterns).match_file("a", "b/a")
        PatternList(patterns, folders_cover=True).match_file("a", "b/a")


# Time. A matcher that tries every way would need longer than the universe has for each of these.

_LONG_NAME = "a" * 255
_LONG_PATH = "/".join("a" * 2_047)


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 120 + "b",
        "/" + "*a" * 120 + "b",
        "*?" * 120 + "b",
        "/".join(["**", "a"] * 120) + "/b",
        "/".join(["**", "*a*"] * 120) + "/b",
        "**/" * 300 + "b",
        "[ab]*" * 100 + "c",
        "/" + "a" * (LONGEST_PATTERN - 2) + "*",
    ],
)
@pytest.mark.parametrize("path", [_LONG_NAME, _LONG_PATH, f"{_LONG_NAME}/" * 15 + _LONG_NAME])
def test_no_pattern_takes_more_than_linear_time(pattern: str, path: str) -> None:
    assert not means_file([pattern], path)


def test_many_long_patterns_at_once_still_have_an_answer() -> None:
    many = [f"/{'*a' * 100}{index}" for index in range(200)]
    assert not means_file(many, _LONG_NAME)
    assert means_file(many, f"{_LONG_NAME}77")


class _Exhausted:
    """An automaton that has run out of memory: it says that nothing holds, not even what always does."""

    def Match(self, text: str) -> list[int]:  # RE2's name
        return []


def test_where_the_memory_for_a_quick_answer_does_not_suffice_a_slower_way_finds_it() -> None:
    some = PatternList(["/src/*.py", "!/src/test_*", "/src/test_?.py"])
    others = some._files._others
    assert others is not None
    others._set = _Exhausted()
    found = [path for path in ("src/a.py", "src/test_ab.py", "src/test_a.py") if some.match_file(path, path)]
    assert found == ["src/a.py", "src/test_a.py"]


# git is the judge of what gitignore-like means.

_NAMES = ("a", "b", "ab", "A.b", "a b", "x.json", "#a")
_FOLDERS = ("a", "b", "ab", "x.json")
_PIECES = [
    "a",
    "b",
    "x",
    ".",
    "json",
    "*",
    "?",
    "/",
    "[ab]",
    "[!a]",
    "[!-]",
    "[+-9]",
    "[]a]",
    r"\a",
    "#",
    " ",
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git, which is to be the judge, is not installed")
    root = tmp_path_factory.mktemp("judge")
    subprocess.run(["git", "init", "--quiet", root], check=True)
    (root / ".git/info").mkdir(exist_ok=True)
    for path in _entries():
        target = root / path
        if path.rpartition("/")[2] in _FOLDERS and path.count("/") < 2:
            target.mkdir()
        else:
            target.touch()
    return root


def _entries() -> Iterator[str]:
    for depth in range(3):
        for folders in product(_FOLDERS, repeat=depth):
            yield from ("/".join((*folders, name)) for name in _NAMES)


def _ignored_by_git(root: Path, patterns: list[str]) -> set[str]:
    (root / ".git/info/exclude").write_text("\n".join(patterns) + "\n")
    answer = subprocess.run(
        ["git", "-c", "core.ignorecase=true", "check-ignore", "--no-index", "--stdin", "-z"],
        cwd=root,
        input="\0".join(_entries()),
        capture_output=True,
        text=True,
        check=False,  # 1 means that nothing is ignored
    )
    assert answer.returncode in {0, 1}, answer.stderr
    return set(answer.stdout.split("\0")) - {""}


def _ignored_by_us(root: Path, patterns: list[str]) -> set[str]:
    some = PatternList(patterns)
    ignored: set[str] = set()
    for path in _entries():
        above, _, name = path.rpartition("/")
        match = some.match_folder if (root / path).is_dir() else some.match_file
        if above in ignored or match(name.lower(), path.lower()):
            ignored.add(path)
    return ignored


_COMPONENT = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=3).map("".join)
_PATTERN = st.lists(_COMPONENT | st.just("**"), min_size=1, max_size=3).map("/".join)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    patterns=st.lists(
        st.tuples(st.sampled_from(["", "", "!", "/"]), _PATTERN, st.sampled_from(["", "", "/"])).map("".join),
        min_size=1,
        max_size=3,
    )
)
def test_files_and_folders_are_meant_as_git_means_them(repository: Path, patterns: list[str]) -> None:
    # A "#" would begin a comment there, a blank at the end be cut off, and stars beside others are undefined.
    assume(
        not any(
            p.startswith("#")
            or p != p.rstrip()
            or "***" in p
            or "**" in p.replace("/**", "/").removeprefix("**")
            for p in patterns
        )
    )
    assume(not problems_of(patterns))
    assert _ignored_by_us(repository, patterns) == _ignored_by_git(repository, patterns)
