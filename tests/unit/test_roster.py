"""The roster of what is watched: by number, by path, while it changes."""

from __future__ import annotations

from file_watcher.model import Library
from file_watcher.roster import Roster, Watched
from file_watcher.settings import FileWatchSettings

MUSIC = Library(1, "music", "production", b"/data/music")
VIDEO = Library(2, "video", "production", b"/data/music2")


def watched(library: Library, *patterns: str) -> Watched:
    return Watched.by(library, FileWatchSettings(patterns=patterns or ("*.mp3",)))


def test_a_path_lies_in_the_library_whose_root_is_above_it_by_whole_components() -> None:
    roster = Roster([watched(MUSIC), watched(VIDEO)])
    assert roster.of(b"/data/music/a.mp3") == MUSIC
    assert roster.of(b"/data/music2/a.mp3") == VIDEO
    assert roster.of(b"/data/music3/a.mp3") is None


def test_a_library_that_left_is_not_found_but_what_is_under_way_still_knows_its_rules() -> None:
    roster = Roster([watched(MUSIC)])
    before = roster.all()
    roster.put(watched(VIDEO, "*.mkv"))
    roster.drop(MUSIC.id)
    roster.drop(MUSIC.id)
    assert [each.library for each in before] == [MUSIC], "who iterates goes on with what it has"
    assert roster.libraries() == [VIDEO]
    assert roster.get(MUSIC.id) is None
    assert roster.of(b"/data/music/a.mp3") is None
    assert roster.filter_of(MUSIC).wants_file(b"/data/music/a.mp3")
    assert roster.rules_of(VIDEO).patterns == ("*.mkv",)


def test_a_library_has_the_jobs_that_its_type_or_its_rule_says_as_long_as_it_is_watched() -> None:
    inbox = Library(3, "inbox", "staging", b"/data/inbox")
    roster = Roster([watched(MUSIC), watched(inbox)])
    assert roster.jobs_of(MUSIC.id) == ()
    assert [rule.type for rule in roster.jobs_of(inbox.id)] == ["media:staging_scan"]
    assert roster.job_queues() == {}
    roster.put(
        Watched.by(MUSIC, FileWatchSettings(), '{"type": "media:scan", "queue": "q", "declare": true}')
    )
    assert [rule.type for rule in roster.jobs_of(MUSIC.id)] == ["media:scan"]
    assert roster.job_queues() == {"q": {"x-queue-type": "quorum"}}
    roster.put(Watched.by(inbox, FileWatchSettings(), "off"))
    roster.drop(MUSIC.id)
    assert roster.jobs_of(inbox.id) == roster.jobs_of(MUSIC.id) == ()
    assert roster.job_queues() == {}
