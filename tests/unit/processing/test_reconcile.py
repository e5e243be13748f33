"""One round of decisions: the table and the rules of the specification, row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from file_watcher.model import EventType, Evidence
from tests.support.scene import Scene, paths, told
from tests.support.world import LIBRARY, fingerprint_of

A, B, C, D = b"/lib/a", b"/lib/b", b"/lib/c", b"/lib/d"


@pytest.fixture
def scene() -> Scene:
    return Scene()


# -- the decision table --------------------------------------------------------------------------------


def test_a_file_without_a_row_is_created(scene: Scene) -> None:
    scene.world.write(A, b"one")
    decision = scene.decide(scene.see(A))
    assert told(decision.events) == [("created", A)]
    created = decision.events[0]
    assert (created.fingerprint, created.version, created.previous_version) == (
        fingerprint_of(b"one"),
        1,
        None,
    )
    assert created.stat == scene.stat(A)
    assert created.metadata == {"title": "/lib/a"}
    assert (created.old_path, created.previous, created.evidence, created.changed) == (None, None, None, None)
    assert (created.reason, created.growing) == (None, False)
    row = decision.rows.inserts[0]
    assert (row.path, row.library_id, row.file_id, row.racy) == (A, LIBRARY.id, created.file_id, False)
    assert decision.recheck == []


def test_an_event_says_when_it_was_noticed_and_when_it_was_decided(scene: Scene) -> None:
    scene.world.write(A, b"one")
    seen = scene.see(A)
    noticed_ns = scene.world.now_ns
    scene.world.tick()
    event = scene.decide(seen).events[0]
    assert (event.noticed_ns, event.timestamp_ns) == (noticed_ns, scene.world.now_ns)
    assert event.event_id != event.file_id
    assert event.library == LIBRARY


def test_a_file_that_nobody_read_is_read_before_it_is_created(scene: Scene) -> None:
    scene.world.write(A, b"one")
    seen = scene.see(A, read=False)
    decision = scene.decide(seen)
    assert decision.again == [(seen, True)]
    assert decision.events == []


def test_a_file_with_the_stat_of_its_row_says_nothing(scene: Scene) -> None:
    scene.know(A, b"one")
    decision = scene.decide(scene.see(A, read=False))
    assert (decision.events, decision.rows.updates, decision.unchanged) == ([], [], 0)
    assert paths(decision.settled) == [A]


@pytest.mark.parametrize(
    "doubt", [{"racy": True}, {"fingerprint": None}, {"fingerprint": None, "growing": True}]
)
def test_a_row_that_proves_nothing_has_its_file_read(scene: Scene, doubt: dict[str, object]) -> None:
    scene.know(A, b"one", **doubt)
    seen = scene.see(A, read=False)
    assert scene.decide(seen).again == [(seen, True)]


def test_a_touch_refreshes_the_row_and_says_nothing(scene: Scene) -> None:
    row = scene.know(A, b"one")
    scene.world.touch(A)
    decision = scene.decide(scene.see(A))
    assert decision.events == []
    assert decision.unchanged == 1
    assert decision.rows.updates == [replace(row, stat=scene.stat(A))]


def test_a_file_whose_stat_differs_is_not_decided_unread(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.touch(A)
    seen = scene.see(A, read=False)
    assert scene.decide(seen).again == [(seen, True)]


def test_a_hash_that_confirms_the_row_exactly_counts_as_nothing(scene: Scene) -> None:
    scene.know(A, b"one")
    decision = scene.decide(scene.see(A))
    assert (decision.unchanged, decision.rows.updates, decision.events) == (0, [], [])


def test_other_content_is_modified(scene: Scene) -> None:
    row = scene.know(A, b"one", version=4)
    scene.world.write(A, b"three")
    decision = scene.decide(scene.see(A))
    assert told(decision.events) == [("modified", A)]
    event = decision.events[0]
    assert (event.file_id, event.previous_version, event.version) == (row.file_id, 4, 5)
    assert event.previous is not None
    assert (event.previous.path, event.previous.fingerprint) == (A, fingerprint_of(b"one"))
    assert (event.fingerprint, event.changed) == (fingerprint_of(b"three"), ("content",))
    assert event.metadata == {"title": "/lib/a"}
    assert event.stat == scene.stat(A)
    assert decision.rows.updates[0].stat == scene.stat(A)


def test_a_file_replaced_by_rename_is_modified_and_stays_the_same_file(scene: Scene) -> None:
    row = scene.know(A, b"one")
    scene.world.replace(A, b"two")
    decision = scene.decide(scene.see(A))
    assert told(decision.events) == [("modified", A)]
    assert decision.events[0].file_id == row.file_id


def test_a_partial_name_that_becomes_final_is_created(scene: Scene) -> None:
    scene.world.write(b"/lib/a.part", b"one")
    scene.world.rename(b"/lib/a.part", A)
    assert scene.told(scene.see(A, b"/lib/a.part")) == [("created", A)]


def test_a_file_that_is_gone_waits_for_a_move_and_is_then_deleted(scene: Scene) -> None:
    row = scene.know(A, b"one", version=2, metadata={"title": "One"})
    scene.world.delete(A)
    decision = scene.decide(scene.see(A))
    assert paths(decision.held) == [A]
    assert decision.events == []
    decision = scene.decide(scene.see(A), expired=True)
    assert told(decision.events) == [("deleted", A)]
    event = decision.events[0]
    assert (event.fingerprint, event.metadata) == (fingerprint_of(b"one"), {"title": "One"})
    assert (event.file_id, event.version, event.previous_version, event.reason) == (row.file_id, 3, 2, None)
    assert decision.rows.deletes == [row]
    assert paths(decision.settled) == [A]


def test_a_flicker_says_nothing(scene: Scene) -> None:
    decision = scene.decide(scene.see(A), expired=True)
    assert decision.events == []
    assert paths(decision.settled) == [A]


def test_a_file_that_the_filters_no_longer_want_is_deleted_as_unmatched(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.delete(A)
    scene.unmatched.add(A)
    assert scene.decide(scene.see(A), expired=True).events[0].reason == "unmatched"


# -- rule 1: every involved path is looked at again ----------------------------------------------------


def test_an_observation_that_has_aged_decides_nothing(scene: Scene) -> None:
    scene.world.write(A, b"one")
    seen = scene.see(A)
    scene.world.write(A, b"two")
    decision = scene.decide(seen)
    assert decision.again == [(seen, False)]
    assert decision.events == []


def test_a_file_that_came_back_is_not_deleted(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.delete(A)
    seen = scene.see(A)
    scene.world.write(A, b"two")
    decision = scene.decide(seen, expired=True)
    assert decision.again == [(seen, False)]
    assert decision.events == []


def test_a_file_that_vanished_after_it_was_read_is_not_created(scene: Scene) -> None:
    scene.world.write(A, b"one")
    seen = scene.see(A)
    scene.world.delete(A)
    assert scene.decide(seen).again == [(seen, False)]


# -- rule 2: what cannot be told decides nothing -------------------------------------------------------


def test_what_cannot_be_told_decides_nothing(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.know(B, b"two")
    scene.world.write(B, b"other")
    gone, changed = replace(scene.see(A), sight=scene.world.look(C)), scene.see(B)
    scene.world.hidden.update({A, B})
    decision = scene.decide(gone, changed, expired=True)
    assert decision.events == []
    assert paths(decision.unknown) == [A, B]


def test_an_observation_that_could_not_tell_decides_nothing_although_the_file_is_there(scene: Scene) -> None:
    scene.world.hidden.add(A)
    seen = scene.see(A)
    scene.world.hidden.clear()
    scene.world.write(A, b"one")
    assert paths(scene.decide(seen).unknown) == [A]


@pytest.mark.parametrize("cookie", [(A,), ()])
def test_a_row_at_a_path_that_cannot_be_told_is_never_claimed(
    scene: Scene, cookie: tuple[bytes, ...]
) -> None:
    scene.know(A, b"one")
    scene.world.rename(A, B)
    scene.world.hidden.add(A)
    assert scene.told(scene.see(B, *cookie)) == [("created", B)]


# -- rule 3: a move is proved --------------------------------------------------------------------------


def test_a_cookie_carries_the_hashes_and_has_them_read_once_more(scene: Scene) -> None:
    row = scene.know(A, b"one", version=7, metadata={"title": "One"})
    scene.world.rename(A, B)
    scene.world.reads = 0
    decision = scene.decide(scene.see(A), scene.see(B, A, read=False))
    assert told(decision.events) == [("renamed", B, A)]
    event = decision.events[0]
    assert event.evidence is Evidence.COOKIE
    assert (event.fingerprint, event.metadata) == (fingerprint_of(b"one"), {"title": "One"})
    assert (event.file_id, event.version, event.previous_version) == (row.file_id, 8, 7)
    assert event.previous is not None
    assert event.previous.path == A
    assert event.changed is None
    assert scene.world.reads == 0
    assert decision.recheck == decision.rows.updates
    assert decision.rows.updates == [replace(row, path=B, version=8, stat=scene.stat(B), racy=True)]
    assert paths(decision.settled) == [A, B]


def test_another_folder_makes_it_moved(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.rename(A, b"/lib/d/x")
    assert scene.told(scene.see(b"/lib/d/x", A)) == [("moved", b"/lib/d/x", A)]


def test_a_cookie_for_a_file_that_has_another_size_or_mtime_is_not_taken_on_trust(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.touch(A)
    scene.world.rename(A, B)
    seen = scene.see(B, A, read=False)
    assert scene.decide(seen).again == [(seen, True)]


def test_a_cookie_names_another_file_if_the_inode_differs(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.files[B] = scene.world._new_inode(b"two")
    scene.world.files.pop(A)
    decision = scene.decide(scene.see(A), scene.see(B, A), expired=True)
    assert told(decision.events) == [("deleted", A), ("created", B)]


def test_a_folders_move_is_proved_by_inode_and_ctime_and_reads_nothing(scene: Scene) -> None:
    rows = [scene.know(b"/lib/d/x", b"one"), scene.know(b"/lib/d/e/z", b"")]
    scene.world.rename_folder(D, b"/lib/f")
    scene.world.reads = 0
    decision = scene.decide(
        scene.see(b"/lib/f/x", read=False),
        scene.see(b"/lib/f/e/z", read=False),
        scene.see(b"/lib/d/x"),
        scene.see(b"/lib/d/e/z"),
    )
    assert sorted(told(decision.events)) == [
        ("moved", b"/lib/f/e/z", b"/lib/d/e/z"),
        ("moved", b"/lib/f/x", b"/lib/d/x"),
    ]
    assert {event.evidence for event in decision.events} == {Evidence.INODE}
    assert scene.world.reads == 0
    assert decision.recheck == [], "the same ctime leaves no doubt"
    assert {row.stat for row in decision.rows.updates} == {row.stat for row in rows}


def test_a_racy_row_that_moves_unread_is_read_once_more(scene: Scene) -> None:
    scene.know(b"/lib/d/x", b"one", racy=True)
    scene.world.rename_folder(D, b"/lib/f")
    decision = scene.decide(scene.see(b"/lib/f/x", read=False))
    assert [row.path for row in decision.recheck] == [b"/lib/f/x"]


def test_without_a_cookie_the_inode_counts_with_equal_content(scene: Scene) -> None:
    scene.know(A, b"one", metadata={"title": "old"})
    scene.world.rename(A, B)
    decision = scene.decide(scene.see(B))
    assert told(decision.events) == [("renamed", B, A)]
    assert decision.events[0].evidence is Evidence.INODE
    assert decision.events[0].metadata == {"title": "/lib/b"}
    assert decision.recheck == [], "it has just been read"


def test_without_a_cookie_a_renamed_file_is_read_before_it_is_believed(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.rename(A, B)
    seen = scene.see(B, read=False)
    assert scene.decide(seen).again == [(seen, True)]


def test_a_reused_inode_is_another_file(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.delete(A)
    scene.world.write(B, b"two")
    assert scene.stat(B).inode == scene.rows[A].stat.inode
    decision = scene.decide(scene.see(A), scene.see(B), expired=True)
    assert told(decision.events) == [("deleted", A), ("created", B)]
    assert decision.events[1].file_id != decision.events[0].file_id


def test_a_reused_inode_of_equal_content_but_unequal_size_in_the_row_is_another_file(scene: Scene) -> None:
    row = scene.know(A, b"one")
    scene.rows[A] = replace(row, stat=row.stat._replace(size=4))
    scene.world.rename(A, B)
    assert scene.told(scene.see(B)) == [("created", B)]


def test_a_reused_inode_of_an_empty_file_is_never_claimed_without_a_cookie(scene: Scene) -> None:
    scene.know(A, b"")
    scene.world.rename(A, B)
    assert scene.told(scene.see(A), scene.see(B), expired=True) == [("deleted", A), ("created", B)]


def test_an_empty_file_moves_with_a_cookie(scene: Scene) -> None:
    scene.know(A, b"")
    scene.world.touch(A)
    scene.world.rename(A, B)
    assert scene.told(scene.see(A), scene.see(B, A), expired=True) == [("renamed", B, A)]


def test_a_copy_whose_original_is_gone_is_the_moved_file(scene: Scene) -> None:
    row = scene.know(A, b"one")
    scene.world.write(b"/lib/d/x", b"one")
    scene.world.delete(A)
    decision = scene.decide(scene.see(b"/lib/d/x"))
    assert told(decision.events) == [("moved", b"/lib/d/x", A)]
    assert decision.events[0].evidence is Evidence.CONTENT
    assert decision.events[0].file_id == row.file_id


def test_a_file_moved_by_content_needs_no_second_reading_and_has_its_new_metadata(scene: Scene) -> None:
    scene.know(A, b"one", metadata={"title": "old"})
    scene.world.write(B, b"one")
    scene.world.delete(A)
    decision = scene.decide(scene.see(B))
    assert decision.recheck == []
    assert decision.events[0].metadata == {"title": "/lib/b"}


def test_a_moved_file_that_was_read_too_early_is_read_once_more(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.rename(A, B)
    scene.world.read_lag_ns = 0
    assert [row.path for row in scene.decide(scene.see(B, A)).recheck] == [B]


def test_a_moved_file_keeps_its_metadata_if_the_reading_gave_none(scene: Scene) -> None:
    scene.know(A, b"one", metadata={"title": "One"})
    scene.world.rename(A, B)
    seen = replace(scene.see(B, A), metadata=None)
    assert scene.decide(seen).events[0].metadata == {"title": "One"}


def test_a_known_file_replaced_by_a_copy_of_a_vanished_one_is_modified(scene: Scene) -> None:
    """Equal content proves no move onto a file that is known."""
    scene.know(A, b"one")
    scene.know(B, b"two")
    scene.world.replace(B, b"one")
    scene.world.delete(A)
    assert scene.told(scene.see(A), scene.see(B), expired=True) == [("deleted", A), ("modified", B)]


def test_a_copy_whose_original_is_still_there_is_created(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.write(B, b"one")
    assert scene.told(scene.see(B)) == [("created", B)]


def test_equal_content_does_not_claim_a_row_whose_file_was_replaced(scene: Scene) -> None:
    """Only a path where nothing is counts: at A another file is, which is told as what it is."""
    scene.know(A, b"one")
    scene.world.replace(A, b"two")
    scene.world.write(C, b"takes the inode that A had")
    scene.world.write(B, b"one")
    assert scene.told(scene.see(A), scene.see(B)) == [("modified", A), ("created", B)]


def test_an_empty_file_is_never_claimed_by_content(scene: Scene) -> None:
    scene.know(A, b"")
    scene.world.files.pop(A)
    scene.world.write(B, b"")
    assert scene.told(scene.see(A), scene.see(B), expired=True) == [("deleted", A), ("created", B)]


def test_of_several_rows_of_equal_content_the_one_of_the_same_name_is_claimed(scene: Scene) -> None:
    for path in (b"/lib/d/x", b"/lib/d/y"):
        scene.know(path, b"one")
    scene.world.write(b"/lib/f/y", b"one")
    scene.world.delete(b"/lib/d/x")
    scene.world.delete(b"/lib/d/y")
    assert scene.told(scene.see(b"/lib/f/y")) == [("moved", b"/lib/f/y", b"/lib/d/y")]


def test_of_several_rows_of_equal_content_none_is_claimed_by_another_name(scene: Scene) -> None:
    for path in (A, B):
        scene.know(path, b"one")
    scene.world.write(C, b"one")
    scene.world.delete(A)
    scene.world.delete(B)
    assert scene.told(*map(scene.see, (A, B, C)), expired=True) == [
        ("deleted", A),
        ("deleted", B),
        ("created", C),
    ]


def test_of_several_files_of_equal_content_the_one_of_the_same_name_claims(scene: Scene) -> None:
    scene.know(b"/lib/d/y", b"one")
    scene.world.write(b"/lib/f/x", b"one")
    scene.world.write(b"/lib/f/y", b"one")
    scene.world.delete(b"/lib/d/y")
    assert scene.told(scene.see(b"/lib/f/x"), scene.see(b"/lib/f/y")) == [
        ("moved", b"/lib/f/y", b"/lib/d/y"),
        ("created", b"/lib/f/x"),
    ]


def test_several_files_of_equal_content_and_name_claim_nothing(scene: Scene) -> None:
    scene.know(b"/lib/d/x", b"one")
    for path in (b"/lib/e/x", b"/lib/f/x"):
        scene.world.write(path, b"one")
    scene.world.delete(b"/lib/d/x")
    seen = [scene.see(path) for path in (b"/lib/d/x", b"/lib/e/x", b"/lib/f/x")]
    assert scene.told(*seen, expired=True) == [
        ("deleted", b"/lib/d/x"),
        ("created", b"/lib/e/x"),
        ("created", b"/lib/f/x"),
    ]


def test_a_known_file_of_equal_content_is_no_rival(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.know(C, b"one")
    scene.world.write(B, b"one")
    scene.world.delete(A)
    assert scene.told(scene.see(B), scene.see(C)) == [("renamed", B, A)]


def test_the_inode_proves_more_than_equal_content(scene: Scene) -> None:
    scene.know(b"/lib/d/x", b"one")
    scene.know(b"/lib/d/y", b"one")
    scene.world.rename(b"/lib/d/x", b"/lib/f/y")
    scene.world.delete(b"/lib/d/y")
    assert scene.told(scene.see(b"/lib/f/y")) == [("moved", b"/lib/f/y", b"/lib/d/x")]


def test_two_names_of_one_inode_are_two_files(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.link(A, B)
    decision = scene.decide(scene.see(A), scene.see(B, A))
    assert told(decision.events) == [("created", B)]
    assert decision.unchanged == 1


def test_of_two_new_names_of_a_vanished_one_only_one_is_the_moved_file(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.link(A, B)
    scene.world.rename(A, C)
    assert scene.told(scene.see(B), scene.see(C, A)) == [("renamed", C, A), ("created", B)]


def test_of_two_vanished_names_of_one_inode_only_one_is_the_moved_file(scene: Scene) -> None:
    """The kernel's word names which."""
    scene.know(A, b"one")
    scene.world.link(A, B)
    for path in (A, B):
        scene.know_as_is(path)
    scene.world.rename(B, C)
    scene.world.delete(A)
    seen = [scene.see(A), scene.see(B), scene.see(C, B)]
    assert scene.told(*seen, expired=True) == [("deleted", A), ("renamed", C, B)]


def test_the_kept_name_is_preferred_among_links_without_a_cookie(scene: Scene) -> None:
    scene.know(b"/lib/d/x", b"one")
    scene.world.link(b"/lib/d/x", b"/lib/a")
    scene.world.rename(b"/lib/d/x", b"/lib/f/x")
    assert scene.told(scene.see(b"/lib/f/x"), scene.see(A)) == [
        ("moved", b"/lib/f/x", b"/lib/d/x"),
        ("created", A),
    ]


def test_a_file_at_its_own_path_is_never_another_moved_file(scene: Scene) -> None:
    """A and B are links; A vanished. B is still B."""
    scene.know(A, b"one")
    scene.world.link(A, B)
    scene.know_as_is(B)
    scene.know_as_is(A)
    scene.world.delete(A)
    assert scene.told(scene.see(A), scene.see(B, A), expired=True) == [("deleted", A)]


# -- rule 4: connected moves ---------------------------------------------------------------------------


def test_a_chain_is_told_tail_first(scene: Scene) -> None:
    for path, content in ((A, b"one"), (B, b"two"), (C, b"three")):
        scene.know(path, content)
    for old, new in ((C, D), (B, C), (A, B)):
        scene.world.rename(old, new)
    seen = [scene.see(A), scene.see(B, A), scene.see(C, B), scene.see(D, C)]
    assert scene.told(*seen) == [("renamed", D, C), ("renamed", C, B), ("renamed", B, A)]


def test_a_row_update_leaves_its_place_before_the_next_takes_it(scene: Scene) -> None:
    for path, content in ((A, b"one"), (B, b"two")):
        scene.know(path, content)
    scene.world.rename(B, C)
    scene.world.rename(A, B)
    decision = scene.decide(scene.see(B, A), scene.see(C, B))
    assert [row.path for row in decision.rows.updates] == [C, B]


def test_a_swap_is_modified_of_each_path(scene: Scene) -> None:
    rows = [scene.know(A, b"one", metadata={"title": "One"}), scene.know(B, b"two")]
    scene.world.rename(A, C)
    scene.world.rename(B, A)
    scene.world.rename(C, B)
    decision = scene.decide(scene.see(A, B, read=False), scene.see(B, A, C, read=False))
    assert sorted(told(decision.events)) == [("modified", A), ("modified", B)]
    assert scene.mirror.files == {A: fingerprint_of(b"two"), B: fingerprint_of(b"one")}
    assert {event.path: event.file_id for event in decision.events} == {row.path: row.file_id for row in rows}
    assert {event.path: event.metadata for event in decision.events} == {A: None, B: {"title": "One"}}
    assert sorted(row.path for row in decision.recheck) == [A, B], "carried hashes are read once more"
    assert {row.path: row.stat for row in decision.rows.updates} == {
        path: scene.stat(path) for path in (A, B)
    }


def test_a_swap_that_was_read_needs_no_second_reading(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.know(B, b"two")
    scene.world.rename(A, C)
    scene.world.rename(B, A)
    scene.world.rename(C, B)
    decision = scene.decide(scene.see(A), scene.see(B))
    assert sorted(told(decision.events)) == [("modified", A), ("modified", B)]
    assert decision.recheck == []
    assert {event.path: event.metadata for event in decision.events} == {
        A: {"title": "/lib/a"},
        B: {"title": "/lib/b"},
    }


def test_a_swap_of_equal_contents_says_nothing(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.know(B, b"one")
    scene.world.rename(A, C)
    scene.world.rename(B, A)
    scene.world.rename(C, B)
    decision = scene.decide(scene.see(A, B, read=False), scene.see(B, C, A, read=False))
    assert decision.events == []
    assert decision.unchanged == 2
    assert {row.path: (row.stat, row.version) for row in decision.rows.updates} == {
        path: (scene.stat(path), 1) for path in (A, B)
    }


def test_a_cycle_of_three_is_modified_of_each_path(scene: Scene) -> None:
    for path, content in ((A, b"one"), (B, b"two"), (C, b"three")):
        scene.know(path, content)
    for old, new in ((C, D), (B, C), (A, B), (D, A)):
        scene.world.rename(old, new)
    decision = scene.decide(scene.see(A, C), scene.see(B, A), scene.see(C, B))
    assert sorted(told(decision.events)) == [("modified", A), ("modified", B), ("modified", C)]
    assert scene.mirror.files == scene.world.contents()


def test_a_chain_into_a_cycle_waits_only_for_what_it_must(scene: Scene) -> None:
    """A and B swap, C is renamed to D: three independent truths in one commit."""
    for path, content in ((A, b"one"), (B, b"two"), (C, b"three")):
        scene.know(path, content)
    scene.world.rename(C, D)
    for old, new in ((A, C), (B, A), (C, B)):
        scene.world.rename(old, new)
    decision = scene.decide(scene.see(A, B), scene.see(B, A), scene.see(D, C))
    assert sorted(told(decision.events)) == [("modified", A), ("modified", B), ("renamed", D, C)]
    assert scene.mirror.files == scene.world.contents()


def test_a_file_overwritten_by_a_move_is_deleted_first_once_nobody_can_claim_it(scene: Scene) -> None:
    scene.know(A, b"one")
    row = scene.know(B, b"two", version=3)
    scene.world.rename(A, B)
    decision = scene.decide(scene.see(A), scene.see(B, A))
    assert decision.events == []
    assert paths(decision.held) == [A, B]
    decision = scene.decide(scene.see(A), scene.see(B, A), expired=True)
    assert told(decision.events) == [("deleted", B), ("renamed", B, A)]
    deleted = decision.events[0]
    assert (deleted.file_id, deleted.version, deleted.reason) == (row.file_id, 4, "overwritten")
    assert deleted.fingerprint == fingerprint_of(b"two")
    assert paths(decision.settled) == [A, B]


def test_only_the_last_of_a_chain_was_overwritten(scene: Scene) -> None:
    for path, content in ((A, b"one"), (B, b"two"), (C, b"three")):
        scene.know(path, content)
    scene.world.rename(B, C)
    scene.world.rename(A, B)
    seen = [scene.see(A), scene.see(B, A), scene.see(C, B)]
    assert scene.decide(*seen).events == []
    assert scene.told(*seen, expired=True) == [("deleted", C), ("renamed", C, B), ("renamed", B, A)]


def test_an_overwritten_file_that_lives_elsewhere_is_moved_instead(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.know(B, b"two")
    scene.world.rename(B, C)
    scene.world.rename(A, B)
    seen = [scene.see(A), scene.see(B, A), scene.see(C)]
    assert scene.told(*seen, expired=True) == [("renamed", C, B), ("renamed", B, A)]


def test_a_moved_file_whose_content_changed_on_the_way_is_moved_then_modified(scene: Scene) -> None:
    row = scene.know(A, b"one", metadata={"title": "One"})
    scene.world.rename(A, B)
    scene.world.write(B, b"longer")
    decision = scene.decide(scene.see(A), scene.see(B, A))
    assert told(decision.events) == [("renamed", B, A), ("modified", B)]
    moved, modified = decision.events
    assert (moved.fingerprint, moved.metadata) == (fingerprint_of(b"one"), {"title": "One"})
    assert moved.stat == row.stat, "size and time belong to the hashes beside them"
    assert (modified.fingerprint, modified.metadata) == (fingerprint_of(b"longer"), {"title": "/lib/b"})
    assert modified.stat == scene.stat(B)
    assert modified.previous is not None
    assert (modified.previous.path, modified.previous.fingerprint) == (B, fingerprint_of(b"one"))
    assert [event.version for event in decision.events] == [2, 3]
    assert decision.rows.updates[0].stat == scene.stat(B)
    assert paths(decision.settled) == [A, B]


def test_hashes_that_contradict_an_unchanged_stat_are_told_after_the_move(scene: Scene) -> None:
    """A store through a mapping may not show in the mtime; a reading is always believed."""
    scene.know(A, b"one")
    scene.world.rename(A, B)
    scene.world.files[B].content = b"two"
    assert scene.told(scene.see(B, A)) == [("renamed", B, A), ("modified", B)]


def test_a_place_that_was_left_and_taken_by_an_unknown_file_is_looked_at(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.rename(A, B)
    scene.world.write(A, b"two")
    decision = scene.decide(scene.see(B, A))
    assert told(decision.events) == [("renamed", B, A)]
    assert decision.look_at == [A], "nobody may have hinted at it"


def test_a_place_that_was_left_empty_is_not_looked_at(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.rename(A, B)
    assert scene.decide(scene.see(B, A)).look_at == []


def test_a_new_file_at_a_place_that_was_left_is_created_after_the_move(scene: Scene) -> None:
    row = scene.know(A, b"one")
    scene.world.rename(A, B)
    scene.world.write(A, b"two")
    decision = scene.decide(scene.see(A), scene.see(B, A))
    assert told(decision.events) == [("renamed", B, A), ("created", A)]
    assert decision.events[1].file_id != row.file_id


def test_a_claim_that_waited_too_long_for_an_occupied_place_is_given_up(scene: Scene) -> None:
    """The file moved below what is still told as a file."""
    row = scene.know(A, b"one", version=3)
    scene.know(D, b"two")
    scene.world.rename(A, B)
    scene.world.files[b"/lib/d/x"] = scene.world.files.pop(B)
    seen = scene.see(b"/lib/d/x", A)
    decision = scene.decide(seen)
    assert decision.events == []
    assert paths(decision.held) == [b"/lib/d/x"]
    decision = scene.decide(seen, expired=True)
    assert told(decision.events) == [("deleted", A)]
    assert (decision.events[0].file_id, decision.events[0].version) == (row.file_id, 4)
    assert decision.rows.deletes == [row]
    assert paths(decision.held) == [b"/lib/d/x"], "nothing can be told below what is still told as a file"
    assert decision.look_at == []


def test_a_claim_on_a_row_of_another_library_is_given_up_without_a_word_for_that_one(scene: Scene) -> None:
    """Whether its root still stands is not this decision's to know."""
    scene.know(A, b"one", library_id=2)
    scene.know(D, b"two")
    scene.world.rename(A, B)
    scene.world.files[b"/lib/d/x"] = scene.world.files.pop(B)
    decision = scene.decide(scene.see(b"/lib/d/x", A), expired=True)
    assert (decision.events, decision.look_at) == ([], [A])


def test_claims_that_wait_for_one_another_are_given_up_one_by_one(scene: Scene) -> None:
    """Each file took the name of the folder that the other one was in."""
    scene.know(b"/lib/a/x", b"one")
    scene.know(b"/lib/b/y", b"two")
    one, two = scene.world.files.pop(b"/lib/a/x"), scene.world.files.pop(b"/lib/b/y")
    scene.world.files[B], scene.world.files[A] = one, two
    seen = [scene.see(A), scene.see(B)]
    assert scene.decide(*seen).events == []
    decision = scene.decide(*seen, expired=True)
    assert told(decision.events) == [("deleted", b"/lib/b/y"), ("moved", B, b"/lib/a/x"), ("created", A)]
    assert scene.mirror.files == scene.world.contents()


def test_a_claim_that_is_given_up_leaves_a_place_that_was_taken_again_alone(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.know(D, b"two")
    scene.world.rename(A, B)
    scene.world.files[b"/lib/d/x"] = scene.world.files.pop(B)
    scene.world.write(A, b"three")
    decision = scene.decide(scene.see(b"/lib/d/x", A), expired=True)
    assert decision.events == []
    assert decision.look_at == [A], "what is there now is told as what it is"


def test_a_file_that_became_a_folder_is_deleted_before_what_is_in_it_is_created(scene: Scene) -> None:
    scene.know(D, b"one")
    scene.world.delete(D)
    scene.world.write(b"/lib/d/x", b"two")
    decision = scene.decide(scene.see(D), scene.see(b"/lib/d/x"))
    assert decision.events == []
    assert paths(decision.held) == [D, b"/lib/d/x"]
    assert scene.told(scene.see(b"/lib/d/x"), scene.see(D), expired={D}) == [
        ("deleted", D),
        ("created", b"/lib/d/x"),
    ]


def test_a_file_that_moved_into_the_folder_of_its_old_name_is_moved(scene: Scene) -> None:
    scene.know(D, b"one")
    scene.world.rename(D, A)
    scene.world.rename(A, b"/lib/d/x")
    assert scene.told(scene.see(D), scene.see(b"/lib/d/x", A, D)) == [("moved", b"/lib/d/x", D)]


def test_a_file_that_took_the_name_of_its_old_folder_is_moved(scene: Scene) -> None:
    scene.know(b"/lib/d/x", b"one")
    scene.world.rename(b"/lib/d/x", A)
    scene.world.rename(A, D)
    assert scene.told(scene.see(b"/lib/d/x"), scene.see(D, A, b"/lib/d/x")) == [("moved", D, b"/lib/d/x")]


def test_a_folder_that_became_a_file_is_emptied_first(scene: Scene) -> None:
    scene.know(b"/lib/d/x", b"one")
    scene.know(b"/lib/d/y", b"two")
    scene.world.delete(b"/lib/d/x")
    scene.world.delete(b"/lib/d/y")
    scene.world.write(D, b"three")
    seen = [scene.see(D), scene.see(b"/lib/d/x"), scene.see(b"/lib/d/y")]
    assert scene.told(*seen, expired={b"/lib/d/x"}) == [("deleted", b"/lib/d/x")]
    assert scene.told(*seen, expired={b"/lib/d/x", b"/lib/d/y"}) == [
        ("deleted", b"/lib/d/x"),
        ("deleted", b"/lib/d/y"),
        ("created", D),
    ]


def test_a_file_waits_while_what_was_below_it_may_live_elsewhere_and_is_moved_there_first(
    scene: Scene,
) -> None:
    scene.know(b"/lib/d/x", b"one")
    scene.world.rename(b"/lib/d/x", A)
    scene.world.write(D, b"three")
    assert scene.told(scene.see(D), scene.see(A, b"/lib/d/x")) == [
        ("moved", A, b"/lib/d/x"),
        ("created", D),
    ]


def test_what_is_gone_is_told_before_what_takes_its_place(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.know(B, b"two")
    scene.world.delete(A)
    scene.world.write(C, b"three")
    seen = [scene.see(C), scene.see(A)]
    assert scene.told(*seen, expired=True) == [("deleted", A), ("created", C)]


def test_a_row_that_a_waiting_move_claims_is_not_deleted(scene: Scene) -> None:
    """B's place is not free yet; A is gone for long. Its file lives at B."""
    scene.know(A, b"one")
    scene.know(B, b"two")
    scene.world.rename(A, B)
    decision = scene.decide(scene.see(A), scene.see(B, A), expired={A})
    assert decision.events == []
    assert paths(decision.held) == [A, B]


# -- rule 5: unchanged is provable ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lead_ns", "is_racy"), [(20_000_001, False), (20_000_000, True), (0, True), (-1_000_000_000, True)]
)
@pytest.mark.parametrize("field", ["mtime_ns", "ctime_ns"])
def test_hashes_are_racy_unless_both_times_lie_clearly_before_the_reading(
    scene: Scene, field: str, lead_ns: int, is_racy: bool
) -> None:
    scene.world.write(A, b"one")
    inode = scene.world.files[A]
    inode.mtime_ns = inode.ctime_ns = scene.world.now_ns - 10_000_000_000
    setattr(inode, field, scene.world.now_ns)
    seen = replace(scene.see(A), read_at_ns=scene.world.now_ns + lead_ns)
    decision = scene.decide(seen)
    assert decision.rows.inserts[0].racy is is_racy
    assert decision.recheck == (decision.rows.inserts if is_racy else [])


@pytest.mark.parametrize(("ahead_ns", "is_racy"), [(20_000_000, True), (20_000_001, False)])
def test_a_time_that_lies_ahead_was_set_by_hand_and_hides_nothing(
    scene: Scene, ahead_ns: int, is_racy: bool
) -> None:
    """A later write would take it back to its own."""
    scene.world.write(A, b"one")
    scene.world.tick()
    scene.world.files[A].mtime_ns = scene.world.now_ns + ahead_ns
    decision = scene.decide(replace(scene.see(A), read_at_ns=scene.world.now_ns))
    assert decision.rows.inserts[0].racy is is_racy


def test_a_racy_row_that_is_confirmed_is_trusted_from_then_on(scene: Scene) -> None:
    row = scene.know(A, b"one", racy=True)
    decision = scene.decide(scene.see(A))
    assert decision.rows.updates == [replace(row, racy=False)]
    assert decision.recheck == []


def test_a_second_write_that_hides_behind_the_same_stat_is_modified(scene: Scene) -> None:
    scene.know(A, b"one", racy=True)
    scene.world.files[A].content = b"two"
    assert scene.told(scene.see(A)) == [("modified", A)]


# -- growing and unreadable files ----------------------------------------------------------------------


def test_a_growing_file_is_created_without_hashes(scene: Scene) -> None:
    scene.world.write(A, b"on")
    scene.world.files[A].mtime_ns = scene.world.files[A].ctime_ns = 10**19
    decision = scene.decide(scene.see(A, growing=True))
    event = decision.events[0]
    assert (event.event_type, event.growing, event.fingerprint) == (EventType.CREATED, True, None)
    row = decision.rows.inserts[0]
    assert (row.growing, row.racy) == (True, True)
    assert decision.recheck == [], "it is looked at again because it is open"


def test_a_growing_file_may_have_grown_since_it_was_seen(scene: Scene) -> None:
    scene.world.write(A, b"on")
    seen = scene.see(A, growing=True)
    scene.world.write(A, b"one")
    assert scene.decide(seen).events[0].stat == scene.stat(A)


def test_a_growing_file_that_was_replaced_since_it_was_seen_is_looked_at_again(scene: Scene) -> None:
    scene.world.write(A, b"on")
    seen = scene.see(A, growing=True)
    scene.world.replace(A, b"one")
    assert scene.decide(seen).again == [(seen, False)]


def test_a_known_file_that_grows_is_modified_and_keeps_its_metadata(scene: Scene) -> None:
    scene.know(A, b"on", metadata={"title": "On"})
    scene.world.write(A, b"one")
    decision = scene.decide(scene.see(A, growing=True))
    event = decision.events[0]
    assert (event.event_type, event.growing, event.fingerprint) == (EventType.MODIFIED, True, None)
    assert event.metadata == {"title": "On"}
    assert decision.rows.updates[0].racy


def test_a_settled_file_that_would_not_hold_still_grows_even_if_its_stat_is_the_old_one(
    scene: Scene,
) -> None:
    scene.know(A, b"on")
    assert scene.told(scene.see(A, growing=True)) == [("modified", A)]


def test_growth_is_told_again_only_if_it_grew(scene: Scene) -> None:
    scene.know(A, b"on", growing=True, fingerprint=None)
    decision = scene.decide(scene.see(A, growing=True))
    assert decision.events == []
    assert paths(decision.settled) == [A]
    scene.world.write(A, b"one")
    assert scene.told(scene.see(A, growing=True)) == [("modified", A)]


def test_a_file_that_has_grown_up_is_modified_with_its_hashes(scene: Scene) -> None:
    scene.know(A, b"one", growing=True, fingerprint=None, racy=True)
    decision = scene.decide(scene.see(A))
    event = decision.events[0]
    assert (event.event_type, event.growing, event.fingerprint) == (
        EventType.MODIFIED,
        False,
        fingerprint_of(b"one"),
    )
    assert decision.rows.updates[0].growing is False


def test_a_deleted_file_does_not_grow(scene: Scene) -> None:
    scene.know(A, b"one", growing=True, fingerprint=None)
    scene.world.delete(A)
    event = scene.decide(scene.see(A), expired=True).events[0]
    assert (event.growing, event.fingerprint) == (False, None)


def test_a_growing_file_that_is_renamed_is_moved_and_grows_on(scene: Scene) -> None:
    scene.know(A, b"on", growing=True, fingerprint=None)
    scene.world.rename(A, B)
    decision = scene.decide(scene.see(B, A, growing=True))
    assert told(decision.events) == [("renamed", B, A)]
    assert decision.events[0].growing
    assert decision.events[0].stat == scene.stat(B)


def test_a_growing_file_that_is_renamed_and_closed_is_moved_then_modified(scene: Scene) -> None:
    scene.know(A, b"on", growing=True, fingerprint=None)
    scene.world.rename(A, B)
    decision = scene.decide(scene.see(B, A))
    assert told(decision.events) == [("renamed", B, A), ("modified", B)]
    assert [event.growing for event in decision.events] == [True, False]


@pytest.mark.parametrize("cookie", [(), (b"/lib/d/x",)])
@pytest.mark.parametrize("how", [{"growing": True}, {"error": "forbidden"}])
def test_an_untold_file_moves_with_its_folder(
    scene: Scene, how: dict[str, bool], cookie: tuple[bytes, ...]
) -> None:
    """Its inode and its ctime are proof enough: nobody needs to know the content."""
    scene.know(b"/lib/d/x", b"on", fingerprint=None, growing="growing" in how)
    scene.world.rename_folder(D, b"/lib/f")
    assert scene.told(scene.see(b"/lib/f/x", *cookie, **how)) == [  # type: ignore[arg-type]
        ("moved", b"/lib/f/x", b"/lib/d/x")
    ]


def test_an_unreadable_file_that_is_renamed_is_renamed(scene: Scene) -> None:
    scene.know(A, b"one", fingerprint=None)
    scene.world.rename(A, B)
    assert scene.told(scene.see(A), scene.see(B, A, error="forbidden"), expired=True) == [("renamed", B, A)]


def test_an_unreadable_file_is_created_without_hashes_and_says_why(scene: Scene) -> None:
    scene.world.write(A, b"one")
    decision = scene.decide(scene.see(A, error="forbidden"))
    event = decision.events[0]
    assert (event.event_type, event.fingerprint, event.reason) == (EventType.CREATED, None, "forbidden")
    assert decision.recheck == [], "only a scan or a hint looks at it again"


def test_a_file_that_may_no_longer_be_read_is_told_once_it_has_changed(scene: Scene) -> None:
    scene.know(A, b"one")
    scene.world.chmod(A)
    assert scene.told(scene.see(A, error="forbidden")) == []
    scene.world.write(A, b"two")
    decision = scene.decide(scene.see(A, error="forbidden"))
    event = decision.events[0]
    assert (event.event_type, event.fingerprint, event.reason) == (EventType.MODIFIED, None, "forbidden")
    assert event.metadata is None
    assert decision.rows.updates[0].racy
    scene.rows[A] = decision.rows.updates[0]
    assert scene.told(scene.see(A, error="forbidden")) == [], "told once"
    assert scene.told(scene.see(A)) == [("modified", A)], "and again when it can be read"


@pytest.mark.parametrize("change", ["size", "mtime_ns", "inode"])
def test_a_forbidden_file_counts_as_changed_by_size_mtime_or_inode(scene: Scene, change: str) -> None:
    row = scene.know(A, b"one")
    scene.rows[A] = replace(row, stat=row.stat._replace(**{change: 1}))
    assert scene.told(scene.see(A, error="forbidden")) == [("modified", A)]


def test_a_growing_file_that_may_no_longer_be_read_stops_growing(scene: Scene) -> None:
    scene.know(A, b"one", growing=True, fingerprint=None)
    decision = scene.decide(scene.see(A, error="forbidden"))
    assert told(decision.events) == [("modified", A)]
    assert decision.rows.updates[0].growing is False


# -- tags that could not be read before ------------------------------------------------------------------


def test_tags_that_could_not_be_read_are_told_once_they_can_be(scene: Scene) -> None:
    row = scene.know(A, b"one", metadata={"error": "the child was killed"})
    scene.world.touch(A)
    seen = scene.see(A)
    decision = scene.decide(seen)
    (event,) = decision.events
    assert (event.event_type, event.changed, event.metadata) == (
        EventType.MODIFIED,
        ("attributes",),
        seen.metadata,
    )
    assert (event.version, event.previous_version, event.fingerprint) == (2, 1, row.fingerprint)
    assert decision.rows.updates[0].metadata == seen.metadata


@pytest.mark.parametrize("metadata", [{"error": "no frames"}, None])
def test_tags_that_can_be_read_no_better_are_told_once(scene: Scene, metadata: dict[str, str] | None) -> None:
    scene.know(A, b"one", metadata={"error": "no frames"})
    scene.world.touch(A)
    assert scene.told(replace(scene.see(A), metadata=metadata)) == []


def test_tags_that_were_read_are_not_told_again_with_the_same_content(scene: Scene) -> None:
    scene.know(A, b"one", metadata={"title": "before"})
    scene.world.touch(A)
    assert scene.told(replace(scene.see(A), metadata={"error": "the child was killed"})) == []
