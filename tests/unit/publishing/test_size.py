"""What becomes of messages that are larger than the broker takes."""

from __future__ import annotations

import json

import pytest
from pika.exceptions import ChannelClosedByBroker
from structlog.testing import capture_logs

from file_watcher.publishing.broker import BrokerConfig
from file_watcher.publishing.message import encode_event
from file_watcher.publishing.outage import explain
from file_watcher.publishing.size import SizeLimit, limit_in
from tests.support.messages import METADATA, event, recorded, validated

REFUSED = ChannelClosedByBroker(
    406, "PRECONDITION_FAILED - message size 70000 is larger than configured max size 65536"
)


def heavy(tags: int, **metadata: object) -> bytes:
    told = event(metadata={**METADATA, **metadata, "tags": {"title": "音" * tags}})
    return encode_event(told, "abc12345")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("PRECONDITION_FAILED - message size 70000 is larger than configured max size 65536", 65536),
        ("PRECONDITION_FAILED - message size 536870913 larger than max size 536870912", 536870912),
        ("PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x'", None),
    ],
)
def test_the_limit_stands_in_the_broker_s_words(text: str, limit: int | None) -> None:
    assert limit_in(ChannelClosedByBroker(406, text)) == limit


def test_another_loss_says_nothing_about_a_limit() -> None:
    assert limit_in(None) is None
    assert limit_in(ConnectionResetError()) is None


def test_a_limit_is_news_once_and_again_when_it_is_lower() -> None:
    sizes = SizeLimit()
    lower = ChannelClosedByBroker(406, str(REFUSED.reply_text).replace("65536", "1000"))

    with capture_logs() as logs:
        assert [sizes.learn(error) for error in (REFUSED, REFUSED, lower, REFUSED)] == [
            True,
            False,
            True,
            False,
        ]

    assert [entry["limit_bytes"] for entry in logs] == [65536, 1000]


def test_before_a_limit_is_known_and_after_it_is_forgotten_everything_is_sent_whole() -> None:
    sizes, message = SizeLimit(), recorded(1, body=heavy(40_000))
    assert sizes.fit(message) is message.body
    sizes.learn(REFUSED)
    assert sizes.fit(message) != message.body

    sizes.forget()

    assert sizes.fit(message) is message.body
    assert sizes.learn(REFUSED), "it may be learnt anew"


def test_tags_are_cut_first_and_the_rest_stays_as_it_was() -> None:
    sizes, message = SizeLimit(), recorded(1, body=heavy(40_000))
    sizes.learn(REFUSED)

    body = sizes.fit(message)

    assert body is not None
    document, whole = validated(body), json.loads(message.body)
    assert document.pop("metadata") == {**METADATA, "tags": {}, "truncated": True}
    assert document == {key: value for key, value in whole.items() if key != "metadata"}
    assert (sizes.cut, sizes.set_aside) == (1, 0)


def test_all_metadata_goes_where_it_is_large_without_its_tags() -> None:
    sizes, message = SizeLimit(), recorded(1, body=heavy(10, error="x" * 70_000))
    sizes.learn(REFUSED)

    body = sizes.fit(message)

    assert body is not None
    assert validated(body)["metadata"] == {"truncated": True}


def test_what_cannot_be_cut_is_set_aside_and_told_once_for_each_routing_key() -> None:
    sizes = SizeLimit()
    sizes.learn(ChannelClosedByBroker(406, str(REFUSED.reply_text).replace("65536", "100")))

    with capture_logs() as logs:
        for number in range(1, 4):
            assert sizes.fit(recorded(number)) is None
        assert (
            sizes.fit(
                recorded(4, routing_key="library.scanned", body=b'{"metadata":null,"x":"%s"}' % (b"x" * 99))
            )
            is None
        )

    assert sizes.set_aside == 4
    assert [entry["routing_key"] for entry in logs] == ["file.created", "library.scanned"]
    assert all(entry["log_level"] == "error" and "max_message_size" in entry["note"] for entry in logs)


def test_the_outage_says_what_is_done_about_it() -> None:
    outage = explain(REFUSED, BrokerConfig())

    assert (outage.kind, outage.lasting) == ("size", False)
    assert "65536 bytes" in outage.sentence
