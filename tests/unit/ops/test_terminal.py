"""One line per message for the person at the terminal."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import struct
import termios
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.ops.terminal import EventPrinter, cut_middle, display_width, fold_line
from file_watcher.publishing.message import encode_job
from tests.support.jobs import job

any_text = st.text(max_size=60)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def message(**fields: Any) -> dict[str, Any]:
    return {
        "event_type": "created",
        "file_path": "/data/music/Artist/Album/01 Song.flac",
        "old_path": None,
        "timestamp": "2026-01-01T12:00:00.123456Z",
        "library": {"id": 1, "name": "music", "type": "production"},
        "size": 5_123_456,
        "reason": None,
        "growing": False,
        "metadata": {"duration": 222.3, "tags": {"title": "Title", "artist": "Artist"}},
    } | fields


def printed(columns: int = 200, color: bool = False, **fields: Any) -> str:
    stream = io.StringIO()
    EventPrinter(stream, color, columns).event(json.dumps(message(**fields)).encode(), b"/data/music")
    line, rest = stream.getvalue().split("\n", 1)
    assert rest == ""
    return line


def test_a_created_song_shows_time_library_path_size_length_and_title() -> None:
    assert printed() == (
        '12:00:00 created   music  Artist/Album/01 Song.flac  5.1 MB  3:42  "Title" – Artist'
    )


def test_a_path_outside_of_the_librarys_root_is_shown_whole() -> None:
    assert "  /data/musical/x.mp3" in printed(file_path="/data/musical/x.mp3")


def test_a_moved_file_shows_where_from_and_where_to() -> None:
    line = printed(
        event_type="moved", old_path="/data/music/a/x.mp3", file_path="/data/music/b/x.mp3", metadata=None
    )
    assert line == "12:00:00 moved     music  a/x.mp3 → b/x.mp3  5.1 MB"


def test_a_renamed_file_shows_only_its_new_name() -> None:
    line = printed(
        event_type="renamed", old_path="/data/music/a/x.mp3", file_path="/data/music/a/y.mp3", metadata=None
    )
    assert line == "12:00:00 renamed   music  a/x.mp3 → y.mp3  5.1 MB"


def test_a_deleted_file_shows_its_reason_and_no_size() -> None:
    line = printed(event_type="deleted", reason="unmatched", metadata=None)
    assert line == "12:00:00 deleted   music  Artist/Album/01 Song.flac  unmatched"


def test_a_growing_and_an_unreadable_file_say_so() -> None:
    assert printed(growing=True, metadata=None).endswith("01 Song.flac  still growing  5.1 MB")
    assert printed(metadata={"error": "no frames"}).endswith("01 Song.flac  unreadable: no frames  5.1 MB")


def test_why_a_medium_cannot_be_read_is_told_in_words_for_people() -> None:
    metadata = {"error": "Part of the content is damaged (mutagen.flac.error)."}
    assert printed(metadata=metadata).endswith("  unreadable: Part of the content is damaged  5.1 MB")


def test_that_a_medium_cannot_be_read_finds_room_before_its_size() -> None:
    metadata = {"error": "The content is damaged or no media at all (mutagen.mp3.HeaderNotFoundError)."}
    line = printed(columns=80, file_path="/srv/other/library/text.mp3", size=6, metadata=metadata)
    assert line.endswith("ary/text.mp3  unreadable: T… media at all")
    assert display_width(line) <= 80


def test_of_a_file_that_is_gone_it_is_not_told_whether_it_could_be_read() -> None:
    metadata = {"duration": 3, "error": "The file is empty."}
    assert printed(event_type="deleted", metadata=metadata).endswith("01 Song.flac  0:03")


def test_a_file_that_is_told_again_does_not_look_as_if_it_were_new() -> None:
    assert printed(snapshot="0191", metadata=None).endswith("01 Song.flac  (snapshot)  5.1 MB")
    assert "(snapshot)" not in printed(snapshot=None)


def test_a_notice_shows_its_kind_and_library() -> None:
    stream = io.StringIO()
    notice = {
        "event_type": "library.scanned",
        "timestamp": "2026-01-01T12:00:00Z",
        "library": {"name": "music"},
    }
    EventPrinter(stream, color=False).event(json.dumps(notice).encode())
    assert stream.getvalue() == "12:00:00 library.scanned music\n"


def test_a_library_that_goes_on_shows_its_trouble_as_gone() -> None:
    trouble: dict[str, Any] = {
        "file_path": None,
        "size": None,
        "metadata": None,
        "reason": "The folder cannot be used",
    }
    resumed = printed(event_type="library.resumed", **trouble)
    assert resumed == "12:00:00 library.resumed music  was: The folder cannot be used"
    suspended = printed(event_type="library.suspended", **trouble)
    assert suspended == "12:00:00 library.suspended music  The folder cannot be used"


def test_a_job_shows_what_is_asked_for_where_and_for_how_many_events() -> None:
    stream = io.StringIO()
    body = encode_job(job(path=b"/data/music/Album"), "abc12345")
    EventPrinter(stream, color=False, columns=200).event(body, b"/data/music/")
    assert stream.getvalue() == "12:00:05 media:scan music  Album  for maintenance  2 created, 1 moved\n"


def test_of_a_job_rather_the_path_is_cut_than_what_it_is_about() -> None:
    stream = io.StringIO()
    path = b"/data/music/" + b"very long/" * 10
    body = encode_job(job(type="media:staging_scan", path=path), "abc12345")
    EventPrinter(stream, color=False, columns=80).event(body)
    line = stream.getvalue().removesuffix("\n")
    assert line.startswith("12:00:05 media:staging_scan music  /da")
    assert line.endswith("  for maintenance  2 created, 1 moved")
    assert display_width(line) <= 80


def test_a_line_that_is_too_long_goes_on_indented_and_broken_between_words() -> None:
    line = "12:00:00 warning  \x1b[2mreason=\x1b[0mwords and more words, and " + "x" * 50 + " end"
    assert fold_line(line, 48, 9).split("\n") == [
        "12:00:00 warning  \x1b[2mreason=\x1b[0mwords and more words,",
        "         and",
        "         " + "x" * 50,
        "         end",
    ]


@given(st.text("ab  é中", max_size=200), st.integers(40, 90))
def test_a_folded_line_keeps_every_word_and_fits(line: str, columns: int) -> None:
    folded = fold_line(line, columns, 9)
    assert folded.split() == line.split()
    longest = max(map(display_width, line.split()), default=0)
    assert all(display_width(each) <= max(columns, 9 + longest) for each in folded.split("\n"))


@pytest.mark.parametrize("columns", [0, 39, 200])
def test_a_line_that_fits_or_where_no_width_is_known_stays_as_it_is(columns: int) -> None:
    line = "word  " * 20
    assert fold_line(line, columns, 9) == line


def test_a_path_outside_the_roots_is_shown_whole() -> None:
    assert "  /elsewhere/x.mp3  " in printed(file_path="/elsewhere/x.mp3")
    assert "  /data2/x.mp3  " in printed(file_path="/data2/x.mp3")


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_950, "1.0 MB"),
        (5_123_456, "5.1 MB"),
        (10**17, "100.0 PB"),
    ],
)
def test_sizes_are_shown_in_units_of_a_thousand(size: int, shown: str) -> None:
    assert printed(size=size, metadata=None).endswith(f"01 Song.flac  {shown}")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0:00"), (59.6, "1:00"), (222.3, "3:42"), (3723, "1:02:03")]
)
def test_durations_are_shown_as_a_player_shows_them(seconds: float, shown: str) -> None:
    assert printed(metadata={"duration": seconds}).endswith(f"5.1 MB  {shown}")


def test_unknown_values_are_left_out() -> None:
    line = printed(size=None, metadata={"duration": None, "tags": {"artist": "Artist"}})
    assert line == "12:00:00 created   music  Artist/Album/01 Song.flac  Artist"


def test_only_the_type_is_coloured_and_only_when_asked() -> None:
    assert "\x1b" not in printed()
    assert printed(color=True).startswith("12:00:00 \x1b[32mcreated\x1b[0m   music  ")


def test_control_characters_in_names_and_tags_reach_no_terminal() -> None:
    line = printed(file_path="/data/music/a\n\x1b[2Jb.mp3", metadata={"tags": {"title": "t\x07\u202e"}})
    assert line.endswith(r'a\n\x1b[2Jb.mp3  5.1 MB  "t\x07\u202e"')


def test_a_long_path_loses_its_middle_and_keeps_its_name_and_the_size() -> None:
    line = printed(columns=60, file_path=f"/data/music/{'deep/' * 40}song.flac", metadata=None)
    assert display_width(line) == 60
    assert line.startswith("12:00:00 created   music  deep/")
    assert line.endswith("/song.flac  5.1 MB")
    assert "…" in line


def test_what_finds_no_room_beside_the_path_is_left_out_rather_than_cut() -> None:
    metadata = {"duration": 222.3, "tags": {"title": "A Rather Long Title", "artist": "Somebody"}}
    narrow = printed(
        columns=70, file_path="/data/music/Somebody/An Album/01 A Rather Long Title.flac", metadata=metadata
    )
    assert narrow.endswith("Long Title.flac  5.1 MB  3:42")
    wide = printed(columns=120, file_path="/data/music/a.flac", metadata=metadata)
    assert wide.endswith('a.flac  5.1 MB  3:42  "A Rather Long Title" – Somebody')


def test_a_long_move_keeps_something_of_both_ends() -> None:
    line = printed(
        columns=70,
        event_type="moved",
        old_path=f"/data/music/{'old/' * 40}a.mp3",
        file_path=f"/data/music/{'new/' * 40}b.mp3",
        metadata=None,
        size=None,
    )
    assert display_width(line) == 70
    old, new = line.split(" → ")
    assert old.endswith("a.mp3")
    assert new.startswith("new/")
    assert new.endswith("b.mp3")


@given(any_text, any_text, any_text, st.integers(60, 200))
def test_no_line_is_wider_than_the_terminal(path: str, old_path: str, title: str, columns: int) -> None:
    line = printed(columns, file_path=path, old_path=old_path, metadata={"tags": {"title": title}})
    assert display_width(line) <= columns


@given(any_text, st.integers(1, 40))
def test_a_cut_text_fits_and_is_made_of_its_own_ends(text: str, columns: int) -> None:
    text = text.replace("…", ".")
    cut = cut_middle(text, columns)
    assert display_width(cut) <= columns
    head, ellipsis, tail = cut.partition("…")
    assert bool(ellipsis) is (display_width(text) > columns)
    assert text.startswith(head)
    assert text.endswith(tail)


def test_width_counts_wide_letters_twice_and_marks_not_at_all() -> None:
    assert display_width("坂本.mp3") == 8
    assert display_width("e\u0301") == 1
    assert cut_middle("坂本龍一坂本龍一", 8) == "坂…龍一"
    assert cut_middle("abcdefghe\u0301", 3) == "a…e\u0301"


@given(st.binary(max_size=60) | any_json.map(lambda value: json.dumps(value).encode()))
def test_nothing_that_is_handed_over_raises_or_takes_more_than_a_line(body: bytes) -> None:
    stream = io.StringIO()
    EventPrinter(stream, color=True).event(body)
    assert stream.getvalue().count("\n") == 1


@given(st.dictionaries(st.sampled_from(sorted(message())), any_json))
def test_a_message_with_wrong_types_still_gives_one_line(fields: dict[str, Any]) -> None:
    assert isinstance(printed(**fields), str)


def test_a_closed_terminal_raises_nothing() -> None:
    stream = io.StringIO()
    stream.close()
    EventPrinter(stream, color=False).event(json.dumps(message()).encode())


def test_the_width_is_asked_of_the_terminal_for_every_line() -> None:
    master, slave = pty.openpty()
    body = json.dumps(message(file_path="x" * 300)).encode()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        printer = EventPrinter(stream, color=False)
        for columns in (100, 64):
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            printer.event(body)
            assert display_width(os.read(master, 4096).decode().rstrip("\r\n")) == columns
    os.close(master)


def test_without_a_terminal_a_line_has_eighty_columns() -> None:
    stream = io.StringIO()
    EventPrinter(stream, color=False).event(json.dumps(message(file_path="x" * 300)).encode())
    assert display_width(stream.getvalue().rstrip("\n")) == 80
