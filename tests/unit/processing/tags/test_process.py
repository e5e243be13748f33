"""What a child process has of its parent, seen from outside: its descriptors, its environment, its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.crafted_media import id3, mpeg_frames, slow_mp3, text_frame
from tests.support.tag_children import submit, tag_children, tag_reader
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[4]
PATIENCE = 60.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def song(folder: Path) -> Path:
    path = folder / "song.mp3"
    path.write_bytes(id3(text_frame("TIT2", "Song")) + mpeg_frames())
    return path


def test_a_child_holds_its_pipes_and_nothing_that_the_parent_has_open(tmp_path: Path) -> None:
    """Not even what a library left inheritable, as C code does."""
    secret = tmp_path / "catalog.db"
    with (
        secret.open("wb") as file,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as connection,
        tag_reader() as reader,
    ):
        for descriptor in (file.fileno(), server.fileno(), connection.fileno()):
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - takes no keywords
        submit(reader, song(tmp_path)).result(PATIENCE)
        (child,) = tag_children()
        held = [os.readlink(each) for each in Path(f"/proc/{child.pid}/fd").iterdir()]
    pipes = [target for target in held if target.startswith("pipe:")]
    own = [target for target in held if target.startswith("/memfd:fw-tags-")]
    assert len(pipes) == 2, "for requests and answers"
    assert sorted(pipes + own) == sorted(held)


def test_a_child_knows_no_address_and_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_PASS", "geheim")
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:geheim@host/db")
    with tag_reader() as reader:
        submit(reader, song(tmp_path)).result(PATIENCE)
        (child,) = tag_children()
        environment = child.environ()
    assert "geheim" not in repr(environment)
    assert "PYTHONPATH" in environment


_PARENT = """
import os, sys, threading
from pathlib import Path
from tests.support.tag_children import submit, tag_reader
with tag_reader() as reader:
    submit(reader, Path(sys.argv[1])).result(60)
    for path in sys.argv[2:]:
        submit(reader, Path(path))
    print(flush=True)
    threading.Event().wait()
"""


@pytest.mark.parametrize("busy", [True, False], ids=["reading", "waiting"])
def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path, *, busy: bool) -> None:
    slow = [tmp_path / "slow.mp3"] if busy else []
    for path in slow:
        path.write_bytes(slow_mp3(300_000))
    command = [sys.executable, "-c", _PARENT, str(song(tmp_path)), *map(str, slow)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"\n"
            child = wait_for(lambda: child_of(parent.pid, busy=busy), "the child")
        finally:
            parent.kill()
    assert child is not None
    child.wait(10)


def child_of(parent: int, *, busy: bool) -> psutil.Process | None:
    """The parent's child, reading a file where it shall be busy."""
    (child,) = psutil.Process(parent).children()
    is_reading = any(file.path.endswith("slow.mp3") for file in child.open_files())
    return child if is_reading == busy else None
