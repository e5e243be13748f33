from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.model import Evidence, FileRecord, FileStat, Observation
from file_watcher.processing.evidence import (
    Claim,
    folder_of,
    folders_above,
    may_stay_unread,
    name_of,
    prove_by_inode,
)
from tests.support.world import LIBRARY, fingerprint_of

OLD, NEW = b"/lib/old", b"/lib/new"
STAT = FileStat(size=3, mtime_ns=1_000, ctime_ns=2_000, device=7, inode=100)
RENAMED = STAT._replace(ctime_ns=3_000)
ONE, TWO = fingerprint_of(b"one"), fingerprint_of(b"two")
ROW = FileRecord(OLD, LIBRARY.id, "file", 1, STAT, ONE)
UNREAD = Observation(NEW, LIBRARY, RENAMED)
READ = replace(UNREAD, fingerprint=ONE)
COOKIE = frozenset({OLD})

Proof = tuple[Evidence, bool, bool]
"""Evidence, whether the hashes are carried, whether the content changed."""


def proof_of(seen: Observation, stat: FileStat = RENAMED, row: FileRecord = ROW) -> Proof | None:
    claim = prove_by_inode(seen, stat, row, owed=False)
    return None if claim is None else (claim.evidence, claim.carried, claim.content_changed)


def test_hashes_of_a_file_that_is_owed_a_reading_are_not_carried() -> None:
    assert prove_by_inode(replace(UNREAD, moved_from=COOKIE), RENAMED, ROW, owed=True) is None
    read = prove_by_inode(replace(READ, moved_from=COOKIE), RENAMED, ROW, owed=True)
    assert read is not None
    assert (read.evidence, read.carried) == (Evidence.COOKIE, False)


# -- with a cookie -------------------------------------------------------------------------------------


def test_a_cookie_with_equal_size_and_mtime_carries_the_hashes() -> None:
    assert proof_of(replace(UNREAD, moved_from=COOKIE)) == (Evidence.COOKIE, True, False)


@pytest.mark.parametrize("other", [{"size": 4}, {"mtime_ns": 1_001}])
def test_a_cookie_with_another_size_or_mtime_proves_nothing_unread(other: dict[str, int]) -> None:
    assert proof_of(replace(UNREAD, moved_from=COOKIE), RENAMED._replace(**other)) is None


@pytest.mark.parametrize("other", [{"size": 4}, {"mtime_ns": 1_001}])
def test_a_cookie_and_a_reading_prove_a_move_with_other_content(other: dict[str, int]) -> None:
    seen = replace(READ, moved_from=COOKIE, fingerprint=TWO)
    assert proof_of(seen, RENAMED._replace(**other)) == (Evidence.COOKIE, False, True)


def test_a_cookie_and_an_equal_reading_prove_a_mere_move() -> None:
    seen = replace(READ, moved_from=COOKIE)
    assert proof_of(seen) == (Evidence.COOKIE, False, False)
    assert proof_of(seen, RENAMED._replace(mtime_ns=1_001)) == (Evidence.COOKIE, False, False)


def test_a_cookie_from_elsewhere_is_no_cookie() -> None:
    assert proof_of(replace(UNREAD, moved_from=frozenset({b"/lib/other"}))) is None


@pytest.mark.parametrize("seen", [replace(UNREAD, growing=True), replace(UNREAD, error="forbidden")])
def test_a_cookie_moves_what_grows_or_cannot_be_read_and_its_content_is_judged_after(
    seen: Observation,
) -> None:
    stat = RENAMED._replace(size=9)
    assert proof_of(replace(seen, moved_from=COOKIE), stat) == (Evidence.COOKIE, False, True)


def test_a_cookie_does_not_carry_hashes_over_growth() -> None:
    assert proof_of(replace(UNREAD, moved_from=COOKIE, growing=True)) == (Evidence.COOKIE, False, True)


@pytest.mark.parametrize(
    "row", [replace(ROW, fingerprint=None), replace(ROW, fingerprint=None, growing=True)]
)
def test_a_row_without_hashes_has_none_to_carry(row: FileRecord) -> None:
    assert proof_of(replace(UNREAD, moved_from=COOKIE), row=row) is None
    assert proof_of(replace(READ, moved_from=COOKIE), row=row) == (Evidence.COOKIE, False, True)


def test_an_empty_file_is_proved_by_cookie_and_reading() -> None:
    nothing = fingerprint_of(b"")
    row = replace(ROW, stat=STAT._replace(size=0), fingerprint=nothing)
    stat = RENAMED._replace(size=0, mtime_ns=9)
    assert proof_of(replace(READ, moved_from=COOKIE, fingerprint=nothing), stat, row) == (
        Evidence.COOKIE,
        False,
        False,
    )
    assert proof_of(replace(READ, fingerprint=nothing), stat, row) is None


def test_a_row_without_hashes_equals_no_content() -> None:
    seen = replace(UNREAD, moved_from=COOKIE, error="forbidden")
    assert proof_of(seen, row=replace(ROW, fingerprint=None)) == (Evidence.COOKIE, False, True)


# -- without a cookie ----------------------------------------------------------------------------------


def test_the_inode_with_an_unchanged_ctime_carries_the_hashes() -> None:
    assert proof_of(UNREAD, STAT) == (Evidence.INODE, True, False)


def test_the_inode_with_another_ctime_proves_nothing_unread() -> None:
    assert proof_of(UNREAD) is None


@pytest.mark.parametrize("size", [1, 3])
def test_the_inode_with_equal_content_proves_a_move_unless_it_is_empty(size: int) -> None:
    row = replace(ROW, stat=STAT._replace(size=size))
    assert proof_of(READ, RENAMED._replace(size=size), row) == (Evidence.INODE, False, False)


def test_an_empty_file_with_an_unchanged_ctime_is_proved_by_its_inode_read_or_not() -> None:
    nothing = fingerprint_of(b"")
    stat = STAT._replace(size=0)
    row = replace(ROW, stat=stat, fingerprint=nothing)
    assert proof_of(UNREAD, stat, row) == (Evidence.INODE, True, False)
    assert proof_of(replace(READ, fingerprint=nothing), stat, row) == (Evidence.INODE, False, False)


def test_the_inode_with_other_content_proves_nothing() -> None:
    assert proof_of(replace(READ, fingerprint=TWO)) is None


def test_the_inode_with_another_size_proves_nothing() -> None:
    assert proof_of(READ, RENAMED._replace(size=4)) is None


def test_other_content_behind_an_unchanged_ctime_is_a_move_and_then_a_change() -> None:
    assert proof_of(replace(READ, fingerprint=TWO), STAT) == (Evidence.INODE, False, True)


@pytest.mark.parametrize("seen", [replace(UNREAD, growing=True), replace(UNREAD, error="forbidden"), READ])
@pytest.mark.parametrize(
    "row", [replace(ROW, fingerprint=None), replace(ROW, fingerprint=None, growing=True)]
)
def test_an_unchanged_ctime_identifies_a_file_whose_content_was_never_told(
    seen: Observation, row: FileRecord
) -> None:
    assert proof_of(seen, STAT, row) == (Evidence.INODE, False, True)


def test_neither_growth_nor_an_error_is_proof_by_itself() -> None:
    for seen in (replace(UNREAD, growing=True), replace(UNREAD, error="forbidden")):
        assert proof_of(seen) is None


# -- how good a claim is -------------------------------------------------------------------------------


def claim(**fields: object) -> Claim:
    seen = replace(READ, path=b"/lib/d/x")
    values: dict[str, object] = {
        "observation": seen,
        "stat": STAT,
        "row": ROW,
        "evidence": Evidence.INODE,
        "carried": True,
        "content_changed": False,
    }
    return Claim(**(values | fields))  # type: ignore[arg-type]


def test_carried_hashes_are_doubtful_if_the_ctime_changed_or_the_row_was_racy() -> None:
    assert not claim().doubtful
    assert claim(stat=RENAMED).doubtful
    assert claim(row=replace(ROW, racy=True)).doubtful
    assert not claim(carried=False, stat=RENAMED, row=replace(ROW, racy=True)).doubtful


def test_the_kernels_word_is_stronger_than_a_kept_name_and_that_than_the_rest() -> None:
    kept = claim(row=replace(ROW, path=b"/lib/e/x"))
    assert claim(evidence=Evidence.COOKIE).strength < kept.strength < claim().strength


# -- reading or not ------------------------------------------------------------------------------------


def test_a_row_at_the_path_saves_the_reading_only_with_the_same_stat() -> None:
    assert may_stay_unread(ROW, STAT, frozenset(), OLD)
    assert not may_stay_unread(ROW, RENAMED, frozenset(), OLD)
    assert not may_stay_unread(ROW, RENAMED, COOKIE, OLD)


def test_a_row_elsewhere_saves_the_reading_with_the_same_stat_or_a_cookie() -> None:
    assert may_stay_unread(ROW, STAT, frozenset(), NEW)
    assert not may_stay_unread(ROW, RENAMED, frozenset(), NEW)
    assert may_stay_unread(ROW, RENAMED, COOKIE, NEW)


@pytest.mark.parametrize("other", [{"size": 4}, {"mtime_ns": 9}, {"inode": 9}, {"device": 9}])
def test_a_cookie_saves_no_reading_where_size_mtime_or_inode_differ(other: dict[str, int]) -> None:
    assert not may_stay_unread(ROW, RENAMED._replace(**other), COOKIE, NEW)


def test_a_row_that_proves_nothing_saves_no_reading() -> None:
    for row in (replace(ROW, fingerprint=None), replace(ROW, growing=True)):
        assert not may_stay_unread(row, STAT, COOKIE, NEW)
        assert not may_stay_unread(row, STAT, frozenset(), OLD)


def test_a_racy_row_saves_the_reading_of_the_moved_file_but_not_of_its_own() -> None:
    racy = replace(ROW, racy=True)
    assert not may_stay_unread(racy, STAT, frozenset(), OLD)
    assert may_stay_unread(racy, STAT, frozenset(), NEW)


# -- parts of paths ------------------------------------------------------------------------------------


def test_the_folders_above_a_path_come_nearest_first_without_the_root_of_all() -> None:
    assert list(folders_above(b"/lib/d/e/z")) == [b"/lib/d/e", b"/lib/d", b"/lib"]
    assert list(folders_above(b"/lib")) == []


@given(st.lists(st.binary(min_size=1).filter(lambda name: b"/" not in name), min_size=1, max_size=5))
def test_a_path_is_its_folder_and_its_name(names: list[bytes]) -> None:
    path = b"/" + b"/".join(names)
    assert folder_of(path) + b"/" + name_of(path) == path
    assert name_of(path) == names[-1]
    assert all(path.startswith(folder + b"/") for folder in folders_above(path))
