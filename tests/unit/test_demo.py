"""The demo library: real, tagged WAV files that never replace what is there."""

from __future__ import annotations

import io
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher import demo


def chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks of a RIFF body by name, read by the rules of the format."""
    found, at = {}, 0
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found[data[at : at + 4]] = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    assert at == len(data)
    return found


def test_every_track_is_a_wav_file_of_the_promised_length(tmp_path: Path) -> None:
    written = demo.make_library(tmp_path)
    assert len(written) == len(demo.TRACKS) == len(set(written))
    for path in written:
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, demo.SAMPLE_RATE)
            assert file.getnframes() == demo.SECONDS * demo.SAMPLE_RATE
            assert any(file.readframes(file.getnframes()))


def test_no_two_tracks_have_the_same_bytes(tmp_path: Path) -> None:
    assert len({path.read_bytes() for path in demo.make_library(tmp_path)}) == len(demo.TRACKS)


def test_files_lie_in_folders_of_artist_and_album(tmp_path: Path) -> None:
    demo.make_library(tmp_path)
    assert (tmp_path / "Pitch Pipe" / "Standard Pitch" / "01 Concert A.wav").is_file()


@given(st.dictionaries(st.binary(min_size=4, max_size=4), st.text(), max_size=4))
def test_any_tags_can_be_read_back_and_the_sound_is_not_harmed(info: dict[bytes, str]) -> None:
    data = demo.tone(440.0, info, seconds=0.01)
    assert data[:4] == b"RIFF"
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    parts = chunks(data[12:])
    assert parts[b"LIST"][:4] == b"INFO"
    read = chunks(parts[b"LIST"][4:])
    assert {name: text.rstrip(b"\0").decode() for name, text in read.items()} == {
        name: text.rstrip("\0") for name, text in info.items()
    }
    with wave.open(io.BytesIO(data)) as file:
        assert file.getnframes() == 220


def test_a_second_run_writes_nothing_and_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main([str(tmp_path)]) == 0
    assert "wrote 6 tones" in capsys.readouterr().out
    assert demo.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


def test_a_file_of_the_same_name_is_kept_as_it_is(tmp_path: Path) -> None:
    mine = tmp_path / demo.TRACKS[0].path
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"my own recording")
    written = demo.make_library(tmp_path)
    assert mine not in written
    assert len(written) == len(demo.TRACKS) - 1
    assert mine.read_bytes() == b"my own recording"


def test_a_write_that_fails_leaves_no_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(demo, "tone", no_space)
    assert demo.main([str(tmp_path)]) == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_in_the_place_of_the_folder_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("x")
    assert demo.main([str(tmp_path / "taken")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path / 'taken'} is not a folder; name one that does not exist yet, or an empty one"
    ]


def test_a_folder_that_cannot_be_made_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("x")
    assert demo.main([str(tmp_path / "taken" / "below")]) == 2
    assert "name a folder that you may write to" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["one", "two"]])
def test_anything_but_one_folder_is_wrong_use(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "file_watcher.demo", str(tmp_path / "library")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == f"wrote 6 tones into {tmp_path / 'library'}\n"
    assert done.stderr == ""
