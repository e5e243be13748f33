"""Any kind of file: deep trees of JSON with the preset for code, and git at work in a watched folder.

Figures are printed (`make soak` shows them), the large size runs only there; nothing here is a timed test.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.chronicle import contradictions
from tests.support.consumer import Consumer, Message, path_of
from tests.support.service import ServiceProcess, disk, running

PROJECT = Path(__file__).parents[2]
PATIENCE = 240
LEVELS = 25
LEFT_OUT = (".git", "node_modules", "build", "dist", "__pycache__")


@dataclass
class Stage:
    """A watched folder, the service over it and a consumer."""

    root: Path
    service: ServiceProcess
    consumer: Consumer

    def told(self) -> list[Message]:
        """The file events since the last call, once everything that happened is confirmed."""
        self.service.sync(PATIENCE)
        return [message for message in self.consumer.drain() if message.routing_key.startswith("file.")]


@pytest.fixture
def stage(tmp_path: Path, broker_url: str, exchange: str) -> Stage:
    root = tmp_path / "root"
    root.mkdir()
    consumer = Consumer(broker_url, exchange)
    consumer.subscribe()
    service = ServiceProcess(tmp_path, root, broker_url, exchange, FILE_WATCH_LOSS_GUARD="off")
    return Stage(root, service, consumer)


# A tree of JSON files


def grow(root: Path, count: int, generation: str) -> None:
    """So many JSON files on 25 levels, a third of them syntax trees, and beside them what is none of them."""
    for number in range(count):
        depth = number % LEVELS
        folder = root.joinpath(*(f"level{level:02d}" for level in range(depth)))
        name = (f"{number}.json", f"ast/{number}.json", f"{number}.AST.json")[number % 3]
        write(folder / name, f'{{"{generation}": {number}}}')
        if number % 10 == 0:
            write(folder / f"{number}.py", "print()")
            write(folder / LEFT_OUT[number // 10 % 5] / f"deep/{number}.json", "{}")


def write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def wanted(root: Path) -> dict[bytes, tuple[str | None, str | None]]:
    """What the preset wants of the disk."""
    return {path: hashes for path, hashes in disk(root, suffixes=(".json",)).items() if is_wanted(root, path)}


def is_wanted(root: Path, path: bytes) -> bool:
    return not set(LEFT_OUT) & set(Path(os.fsdecode(path)).relative_to(root).parts)


def watched_folders(root: Path) -> int:
    return sum(path.is_dir() and is_wanted(root, os.fsencode(path)) for path in (root, *root.rglob("*")))


def agree(stage: Stage) -> None:
    assert stage.consumer.mirror.files == wanted(stage.root)
    assert stage.consumer.mirror.problems == []
    assert contradictions(stage.consumer.events()) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [500, pytest.param(20_000, marks=pytest.mark.soak)])
def test_a_deep_tree_of_json_files_is_told_without_what_builds_leave_behind(stage: Stage, count: int) -> None:
    stage.service.environment["FILE_WATCH_PRESET"] = "code"
    del stage.service.environment["FILE_WATCH_DEBOUNCE_TIME"]
    grow(stage.root, count // 2, "before")
    top = stage.root / "level00"
    with running(stage.service):
        assert Counter(message.kind for message in stage.told()) == {"created": count // 2}
        started = time.monotonic()
        grow(stage.root, count, "after")
        created = Counter(message.kind for message in stage.told())
        assert created == {"created": count - count // 2, "modified": count // 2}
        print(f"\n{count} JSON files on {LEVELS} levels: {created} in {time.monotonic() - started:.1f} s")
        assert stage.service.metric("watcher_watches", state="active") == watched_folders(stage.root)
        agree(stage)

        middle = top.joinpath(*(f"level{level:02d}" for level in range(1, 12)))
        below = len(wanted(middle))
        middle.rename(stage.root / "elsewhere")
        assert Counter(message.kind for message in stage.told()) == {"moved": below}
        (stage.root / "elsewhere").rename(top / "build")
        assert Counter(message.kind for message in stage.told()) == {"deleted": below}
        agree(stage)
        shutil.rmtree(top)
        left = len(wanted(stage.root))
        assert Counter(message.kind for message in stage.told()) == {"deleted": count - below - left}
        agree(stage)


# git checkout


class Repository:
    """A clone of this project's own history."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._git("clone", "--quiet", "--no-hardlinks", "--no-checkout", PROJECT, folder, at=folder.parent)
        # One that was cloned itself may know less than its whole history.
        self.commits = self._git("rev-list", "--first-parent", "--reverse", "HEAD").split()

    def check_out(self, commit: str) -> None:
        self._git("checkout", "--quiet", "--force", "--detach", commit)

    def changed(self, before: str, after: str) -> dict[bytes, str]:
        """What git says: A, M or D by absolute path. A mode alone is no content."""
        answer = self._git("diff-tree", "-r", "-z", "--no-renames", before, after).split("\0")
        found = {}
        for about, path in zip(answer[::2], answer[1::2], strict=False):
            _, _, old, new, status = about.split(" ")
            if old != new:
                found[os.fsencode(self.folder / path)] = status
        return found

    def files(self) -> dict[bytes, str]:
        """SHA-256 of each file that is checked out, by absolute path."""
        found = {}
        for path in filter(None, self._git("ls-files", "-z").split("\0")):
            if not (file := self.folder / path).is_symlink():
                found[os.fsencode(file)] = hashlib.sha256(file.read_bytes()).hexdigest()
        return found

    def _git(self, *arguments: str | Path, at: Path | None = None) -> str:
        return subprocess.run(
            ["git", "-c", "safe.directory=*", "-c", "gc.auto=0", *arguments],
            cwd=at or self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder.parent), "LC_ALL": "C"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=60,
        ).stdout


def told_paths(messages: list[Message]) -> set[bytes]:
    paths = {path_of(message.body, key) for message in messages for key in ("file_path", "old_path")}
    return {path for path in paths if path is not None}


def judge(
    repository: Repository, messages: list[Message], before: dict[bytes, str], said: dict[bytes, str]
) -> None:
    """The messages told what git says, no more and no less."""
    after = repository.files()
    assert told_paths(messages) == said.keys()
    state = dict(before)
    for message in messages:
        path, old = path_of(message.body, "file_path"), path_of(message.body, "old_path")
        assert path is not None
        if message.kind != "created":
            del state[path if old is None else old]
        if message.body["operation"] == "put":
            state[path] = message.body["sha256_hash"]
            assert after.get(path) == state[path], f"what never was at {path!r} was told"
    assert state == after


def test_what_git_checks_out_is_told_as_git_says_it_changed(stage: Stage) -> None:
    if shutil.which("git") is None or not (PROJECT / ".git").exists():
        pytest.skip("there is no git, or no history of this project (an exported archive)")
    stage.root.rmdir()
    repository = Repository(stage.root)
    if len(repository.commits) < 10:
        pytest.skip("this checkout knows too little of the project's history (a shallow clone)")
    first, middle, last = (repository.commits[at] for at in (0, len(repository.commits) // 2, -1))
    repository.check_out(first)
    stage.service.environment |= {"FILE_WATCH_PRESET": "all", "FILE_WATCH_IGNORE_PATTERNS": "/.git/"}
    with running(stage.service):
        assert {path_of(message.body, "file_path") for message in stage.told()} == repository.files().keys()
        for before, after in itertools.pairwise((first, last, middle, first, middle)):
            files = repository.files()
            repository.check_out(after)
            messages, said = stage.told(), repository.changed(before, after)
            print(f"\ngit: {Counter(said.values())}; told: {Counter(message.kind for message in messages)}")
            judge(repository, messages, files, said)
    files = repository.files()
    repository.check_out(last)
    with running(stage.service):
        judge(repository, stage.told(), files, repository.changed(middle, last))
        assert stage.consumer.mirror.problems == []
        assert contradictions(stage.consumer.events()) == []
