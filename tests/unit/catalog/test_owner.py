from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from file_watcher.catalog.database import Database
from file_watcher.catalog.owner import OwnerLock, is_owned, owner_lock
from file_watcher.errors import CatalogBusy, CatalogError

OWN_IT = """
import sys
from pathlib import Path
from file_watcher.catalog.owner import OwnerLock
OwnerLock(Path(sys.argv[1])).acquire()
print("owned", flush=True)
sys.stdin.readline()
"""


def other_owner(catalog: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_IT, str(catalog)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "owned\n"
    return process


def test_a_catalog_that_another_process_owns_is_refused_and_its_owner_is_named(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.db"
    with other_owner(catalog) as other:
        with pytest.raises(CatalogBusy, match=f"process {other.pid}.*INSTANCE_ID or DATABASE_URL"):
            OwnerLock(catalog).acquire()
        assert is_owned(catalog) == other.pid
        other.communicate("go\n", timeout=10)


def test_an_owner_that_was_killed_owns_no_more(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.db"
    with other_owner(catalog) as other:
        other.send_signal(signal.SIGKILL)
        other.wait(10)
    lock = OwnerLock(catalog)

    lock.acquire()

    assert is_owned(catalog) == os.getpid()
    lock.release()


def test_asking_does_not_take_the_lock_away_from_this_process(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.db"
    lock = OwnerLock(catalog)
    lock.acquire()

    assert is_owned(catalog) == os.getpid()
    with pytest.raises(CatalogBusy):
        OwnerLock(catalog).acquire()

    command = [sys.executable, "-c", OWN_IT, str(catalog)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert f"CatalogBusy: Another file_watcher (process {os.getpid()})" in refused.stderr
    lock.release()


def test_a_lock_that_was_released_can_be_taken_again(tmp_path: Path) -> None:
    lock = OwnerLock(tmp_path / "catalog.db")
    for _ in range(2):
        lock.acquire()
        lock.release()
        lock.release()

    assert is_owned(tmp_path / "catalog.db") is None


def test_a_catalog_that_never_was_has_no_owner(tmp_path: Path) -> None:
    assert is_owned(tmp_path / "none.db") is None


def test_a_folder_that_cannot_be_written_to_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CatalogError, match="lock file"):
        OwnerLock(tmp_path / "file" / "catalog.db").acquire()


def test_a_sqlite_catalog_is_owned_by_the_lock_beside_it(tmp_path: Path) -> None:
    lock = owner_lock(Database(f"sqlite:///{tmp_path}/catalog.db"), "abc12345")

    lock.acquire()

    assert (tmp_path / "catalog.db.lock").exists()
    lock.release()


def test_a_catalog_that_is_what_it_was_is_kept_though_it_grew(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.db"
    catalog.write_bytes(b"one")
    lock = OwnerLock(catalog)
    lock.acquire()
    catalog.write_bytes(b"one and more")

    lock.keep()

    lock.release()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_catalog_that_was_removed_or_replaced_is_no_longer_ours_to_write(
    tmp_path: Path, is_replaced: bool
) -> None:
    catalog = tmp_path / "catalog.db"
    catalog.write_bytes(b"one")
    lock = OwnerLock(catalog)
    lock.acquire()
    catalog.rename(tmp_path / "aside.db")
    if is_replaced:
        catalog.write_bytes(b"one")

    with pytest.raises(CatalogError, match="removed or replaced while it was in use"):
        lock.keep()

    lock.release()
