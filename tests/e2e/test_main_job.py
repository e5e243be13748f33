"""The main job, as an operator and a consumer see it: real files, real processes, real servers."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import mutagen.flac
import pytest

from tests.support.consumer import Consumer, Message
from tests.support.databases import MOSTLY_POSTGRESQL, MOSTLY_SQLITE
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, disk, running
from tests.support.tones import ENCODINGS, SOUNDS
from tests.support.waiting import wait_for

Told = Callable[[], list[Message]]


@pytest.fixture
def consumer(broker_url: str, exchange: str) -> Consumer:
    """A consumer that is subscribed before anything is published."""
    consumer = Consumer(broker_url, exchange)
    consumer.subscribe()
    return consumer


@pytest.fixture
def library(tagged_library: Path) -> Path:
    """More than 40 real files: one of every extension that ffmpeg made, and all sounds that Debian ships."""
    for sound in sorted(SOUNDS.glob("*.oga")):
        shutil.copyfile(sound, tagged_library / "sounds" / sound.name)
    return tagged_library


@pytest.fixture
def service(
    tmp_path: Path, library: Path, broker_url: str, exchange: str, database_url: str, consumer: Consumer
) -> Iterator[ServiceProcess]:
    """The service over the library, running and ready; once with each database."""
    with running(ServiceProcess(tmp_path, library, broker_url, exchange, database_url)) as service:
        yield service


@pytest.fixture
def told(service: ServiceProcess, consumer: Consumer) -> Told:
    """Waits for the barrier and gives the file events since the last call."""

    def since_last() -> list[Message]:
        service.sync()
        return [message for message in consumer.drain() if message.routing_key.startswith("file.")]

    return since_last


def kinds(messages: list[Message]) -> list[str]:
    return [message.kind for message in messages]


def one(messages: list[Message], kind: str) -> Message:
    """The one message there is, which must be of this kind."""
    assert kinds(messages) == [kind], [message.body for message in messages]
    return messages[0]


@MOSTLY_SQLITE
def test_every_kind_of_change_to_real_files_is_told_exactly_once(
    library: Path, consumer: Consumer, told: Told
) -> None:
    files = [path for path in library.rglob("*") if path.is_file()]
    assert len(files) >= 40
    assert {path.suffix[1:] for path in files} >= ENCODINGS.keys()

    created = told()
    assert Counter(kinds(created)) == {"created": len(files)}
    assert consumer.mirror.files == disk(library)
    by_name = {Path(message.body["file_path"]).name: message.body for message in created}
    for extension in ENCODINGS:
        metadata = by_name[f"tone.{extension}"]["metadata"]
        assert metadata["tags"]["artist"] == "The Tones"
        assert metadata["duration"] == pytest.approx(1.0, abs=0.2)

    flac = mutagen.flac.FLAC(library / "tone.flac")
    flac["title"] = "Edited in place"
    flac.save()
    modified = one(told(), "modified")
    assert modified.body["metadata"]["tags"]["title"] == "Edited in place"
    assert modified.body["file_id"] == by_name["tone.flac"]["file_id"]
    assert modified.body["changed"] == ["content"]
    assert modified.body["previous"]["sha256_hash"] == by_name["tone.flac"]["sha256_hash"]

    (library / "tone.mp3").rename(library / "renamed.mp3")
    renamed = one(told(), "renamed")
    assert renamed.body["old_path"] == str(library / "tone.mp3")
    assert renamed.body["evidence"] == "cookie"
    assert renamed.body["sha256_hash"] == by_name["tone.mp3"]["sha256_hash"]

    (library / "renamed.mp3").rename(library / "sounds" / "moved.mp3")
    moved = one(told(), "moved")
    assert (moved.body["version"], moved.body["previous_version"]) == (3, 2)
    assert moved.body["file_id"] == by_name["tone.mp3"]["file_id"]

    (library / "tone.ogg").unlink()
    deleted = one(told(), "deleted")
    assert deleted.body["operation"] == "delete"
    assert deleted.body["sha256_hash"] == by_name["tone.ogg"]["sha256_hash"]
    assert deleted.body["metadata"]["tags"]["title"] == "Tone ogg"

    below = len(list((library / "sounds").iterdir()))
    (library / "sounds").rename(library / "noises")
    assert Counter(kinds(told())) == {"moved": below}
    (library / "deeper").mkdir()
    (library / "noises").rename(library / "deeper" / "noises")
    assert Counter(kinds(told())) == {"moved": below}
    shutil.rmtree(library / "deeper")
    assert Counter(kinds(told())) == {"deleted": below}

    assert consumer.mirror.files == disk(library)
    assert consumer.mirror.problems == []
    assert consumer.mirror.duplicates == 0


@MOSTLY_POSTGRESQL
def test_what_other_programs_do_is_told_as_what_it_means(
    library: Path, consumer: Consumer, told: Told
) -> None:
    told()

    os.utime(library / "tone.wav")
    assert told() == [], "touch says nothing"

    shutil.copyfile(library / "tone.mp3", library / "download.mp3.part")
    assert told() == [], "a download that is not finished is nobody's business"
    (library / "download.mp3.part").rename(library / "download.mp3")
    assert one(told(), "created").body["file_path"] == str(library / "download.mp3")

    shutil.copyfile(library / "tone.wma", library / ".tone.m4a.tmp")
    (library / ".tone.m4a.tmp").rename(library / "tone.m4a")
    replaced = one(told(), "modified")
    assert replaced.body["file_path"] == str(library / "tone.m4a")
    assert replaced.body["version"] == 2

    (library / "tone.m4b").rename(library / "tone.m4b.part")
    assert one(told(), "deleted").body["file_path"] == str(library / "tone.m4b")

    first, second, spare = library / "tone.aac", library / "tone.opus", library / "spare.aac"
    first.rename(spare)
    second.rename(first)
    spare.rename(second)
    assert kinds(told()) == ["modified", "modified"], "a swap changes what is at either path"

    names = [library / f"{number}.mp3" for number in range(1, 5)]
    for number, name in enumerate(names[:3]):
        name.write_bytes(b"%d" % number * 1000)
    assert Counter(kinds(told())) == {"created": 3}
    for source, target in ((names[2], names[3]), (names[1], names[2]), (names[0], names[1])):
        source.rename(target)
    chain = told()
    assert [message.body["old_path"] for message in chain] == [str(names[2]), str(names[1]), str(names[0])]
    assert kinds(chain) == ["renamed"] * 3

    assert consumer.mirror.files == {
        path: hashes for path, hashes in disk(library).items() if not path.endswith(b".part")
    }
    assert consumer.mirror.problems == []


@MOSTLY_SQLITE
def test_a_restart_reads_nothing_that_is_unchanged(
    tmp_path: Path,
    tagged_library: Path,
    broker_url: str,
    exchange: str,
    database_url: str,
    consumer: Consumer,
) -> None:
    service = ServiceProcess(tmp_path, tagged_library, broker_url, exchange, database_url)
    with running(service):
        service.sync()
        assert service.metric("watcher_hashed_bytes_total") > 0
    consumer.drain()
    (tagged_library / "while down.mp3").write_bytes(b"new")
    (tagged_library / "tone.mp3").rename(tagged_library / "sounds" / "tone.mp3")
    (tagged_library / "tone.wav").unlink()
    with running(service):
        service.sync()
        read = service.metric("watcher_hashed_bytes_total")
    told = [message for message in consumer.drain() if message.routing_key.startswith("file.")]
    assert Counter(kinds(told)) == {"created": 1, "moved": 1, "deleted": 1}
    assert read <= 3 + (tagged_library / "sounds" / "tone.mp3").stat().st_size
    assert consumer.mirror.files == disk(tagged_library)


@MOSTLY_POSTGRESQL
def test_a_kill_in_the_middle_of_an_import_loses_and_invents_nothing(
    tmp_path: Path, broker_url: str, exchange: str, database_url: str, consumer: Consumer
) -> None:
    library = tmp_path / "library"
    for number in range(500):
        path = library / f"album {number % 25}" / f"{number}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(20_000) + b"%d" % number)
    slowly = {"FILE_WATCH_READ_RATE_LIMIT": "0.5"}
    service = ServiceProcess(tmp_path, library, broker_url, exchange, database_url, **slowly)
    service.start()
    wait_for(lambda: consumer.drain() and len(consumer.events()) >= 50, "the import to be under way", 60)
    service.kill()
    consumer.drain()
    before = len(consumer.mirror.files)
    service.environment.pop("FILE_WATCH_READ_RATE_LIMIT")
    with running(service):
        service.sync()
    consumer.drain()
    assert consumer.mirror.files == disk(library)
    assert consumer.mirror.problems == []
    assert before < 500, "the kill came too late to prove anything"


def test_without_a_broker_events_are_kept_and_all_arrive_in_order_later(
    tmp_path: Path, server_folder: Path, tagged_library: Path, exchange: str
) -> None:
    node = RabbitNode(server_folder / "late-rabbit")
    service = ServiceProcess(tmp_path, tagged_library, node.url, exchange)
    consumer = Consumer(node.url, exchange)
    try:
        node.start()
        consumer.subscribe()
        node.stop()
        service.start()
        wait_for(lambda: "broker" in service.ask("/readyz")[1].get("components", {}), "the health page", 60)
        wait_for(lambda: service.metric("watcher_outbox_messages") >= 20, "the outbox to fill", 60)
        status, answer = service.ask("/readyz")
        assert status == 503
        assert f"127.0.0.1:{node.port}" in answer["components"]["broker"]["detail"]
        (tagged_library / "tone.mp3").rename(tagged_library / "other.mp3")
        wait_for(lambda: service.metric("watcher_enqueue_total", type="renamed") == 1, "the rename", 30)
        node.start()
        service.sync()
        consumer.drain()
        wait_for(lambda: service.ask("/readyz")[0] == 200, "the broker to be trusted", 60)
        assert service.stop() == 0
    except BaseException:
        print(service.tail(80))
        raise
    finally:
        service.kill()
        node.kill9()
    assert "kept and will be delivered" in service.log.read_text()
    assert consumer.mirror.files == disk(tagged_library)
    assert consumer.mirror.problems == []
    sequence = [message.body["event_id"] for message in consumer.events()]
    assert len(sequence) == len(set(sequence))
