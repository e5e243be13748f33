"""What a library's rule `jobs` may say, and the words for what it may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from file_watcher.errors import UsageError
from file_watcher.jobs.rules import JobRule, Per, jobs_of, problems_of_jobs, read_rules


def one(**rule: Any) -> JobRule:
    (read,) = read_rules(json.dumps([{"type": "media:scan", **rule}]))
    return read


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(UsageError) as caught:
        read_rules(text)
    return caught.value.problems


def problem(**rule: Any) -> str:
    (line,) = problems(json.dumps({"type": "media:scan", **rule}))
    return line


def test_a_staging_library_asks_for_a_scan_without_a_rule_of_its_own() -> None:
    (rule,) = jobs_of("staging", None)

    assert (rule.type, rule.queue, rule.per, rule.window_seconds) == (
        "media:staging_scan",
        "maintenance",
        Per.LIBRARY,
        5.0,
    )
    assert rule.on == {"created", "moved_in"}
    assert rule.routing_key == "maintenance.media.staging_scan"
    assert rule.declare is None
    assert jobs_of("production", None) == ()


@pytest.mark.parametrize("off", ["[]", "off", " Off ", "", "none"])
def test_jobs_can_be_switched_off(off: str) -> None:
    assert jobs_of("staging", off) == ()


def test_a_rule_says_everything() -> None:
    rule = one(
        on=["deleted"],
        queue="sweeping_2",
        per="folder",
        window="1.5m",
        rate_limit="30/m",
        patterns=["*.wav"],
        declare=True,
    )

    assert (rule.on, rule.queue, rule.per, rule.window_seconds) == (
        frozenset({"deleted"}),
        "sweeping_2",
        Per.FOLDER,
        90.0,
    )
    assert (rule.rate, rule.patterns) == (0.5, ("*.wav",))
    assert rule.declare == (("x-queue-type", "quorum"),)
    assert rule.wants("a.wav", "x/a.wav")
    assert not rule.wants("a.mp3", "x/a.mp3")


@pytest.mark.parametrize(
    ("kind", "on", "per", "window"),
    [
        ("file:created", {"created", "moved_in"}, Per.FILE, 0.0),
        ("file:modified", {"modified"}, Per.FILE, 0.0),
        ("file:removed", {"deleted", "moved_out"}, Per.FILE, 0.0),
        (
            "directory:changed",
            {"created", "modified", "deleted", "moved", "renamed", "idle", "moved_in", "moved_out"},
            Per.FOLDER,
            1.0,
        ),
    ],
)
def test_a_built_in_type_knows_what_it_waits_for(kind: str, on: set[str], per: Per, window: float) -> None:
    rule = one(type=kind)
    assert (set(rule.on), rule.per, rule.window_seconds) == (on, per, window)
    assert one(type=kind, per="library", window=7).window_seconds == 7.0


def test_a_queue_is_declared_as_the_rule_asks() -> None:
    rule = one(
        declare={
            "delivery_limit": 5,
            "dead_letter_exchange": "dead",
            "dead_letter_routing_key": "scan",
            "message_ttl": "90s",
            "max_length": 1000,
            "x-overflow": "reject-publish",
        }
    )
    assert dict(rule.declare or ()) == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 5,
        "x-dead-letter-exchange": "dead",
        "x-dead-letter-routing-key": "scan",
        "x-message-ttl": 90_000,
        "x-max-length": 1000,
        "x-overflow": "reject-publish",
    }
    assert one(declare={"kind": "classic"}).declare == (("x-queue-type", "classic"),)
    assert one(declare=False).declare is None


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"type": "media.scan"}, 'type is "media.scan"; accepted are letters'),
        ({"type": None}, "type is null"),
        ({"type": "media:*"}, "such as media:staging_scan"),
        ({"queue": "main.tenance"}, 'queue is "main.tenance"; accepted are letters, digits, _ and -'),
        ({"queue": "#"}, "such as maintenance"),
        ({"on": "deleted_soon"}, 'on is "deleted_soon"; accepted are some of created, modified'),
        ({"on": []}, "on is []"),
        ({"on": [7]}, "on is [7]"),
        ({"per": "disk"}, 'per is "disk"; accepted is library, folder or file'),
        ({"window": "soon"}, 'window is "soon"; accepted is a duration such as 500ms, 5s or 1m'),
        ({"window": "48h"}, "up to 86400 s"),
        ({"window": -1}, "window is -1"),
        ({"window": True}, "window is true"),
        ({"rate_limit": "many"}, 'rate_limit is "many"; accepted are jobs a second, or such as 1/s, 10/m'),
        ({"rate_limit": 0}, "rate_limit is 0"),
        ({"patterns": 3}, "patterns is 3"),
        ({"patterns": ["[z-a"]}, "patterns: "),
        ({"declare": "yes"}, 'declare is "yes"; accepted is true, false, or an object of kind'),
        ({"declare": {"kind": "stream"}}, 'declare: kind is "stream"; accepted is quorum or classic'),
        ({"declare": {"delivery_limit": 0}}, "declare: delivery_limit is 0; accepted is a whole number"),
        ({"declare": {"delivery_limit": 2, "kind": "classic"}}, "delivery_limit needs a quorum queue"),
        ({"declare": {"dead_letter_exchange": 5}}, "dead_letter_exchange is 5; accepted is a name"),
        ({"declare": {"dead_letter_routing_key": "x"}}, "needs a dead_letter_exchange"),
        ({"declare": {"ttl": 5}}, 'declare: there is no "ttl": 5; accepted are kind, delivery_limit'),
        ({"declare": {"x-a": None}}, "names that begin with x-"),
        ({"windows": 5}, 'there is no "windows"; accepted are type, queue, on'),
        ({"type": "t" * 200, "queue": "q" * 100}, "too long together; accepted are 254 characters"),
    ],
)
def test_what_cannot_be_used_is_told_with_what_could(rule: dict[str, Any], words: str) -> None:
    line = problem(**rule)
    assert line.startswith("rule 1: ")
    assert words in line


def test_all_problems_are_told_at_once_each_with_its_rule() -> None:
    lines = problems('[{"type": "ok"}, 5, {"type": "x", "per": "y", "window": "z"}]')
    assert [line.split(":")[0] for line in lines] == [
        'rule 2 is 5; accepted is an object such as {"type"',
        "rule 3",
        "rule 3",
    ]
    assert "rule 2 is 5; accepted is an object" in lines[0]


def test_a_text_is_judged_before_it_is_used() -> None:
    assert problems_of_jobs('{"type": "media:scan"}') == ()
    (line,) = problems_of_jobs('{"type": "media scan"}')
    assert line.startswith('rule 1: type is "media scan"')


def test_a_text_that_is_no_json_is_told_as_such() -> None:
    (line,) = problems("[{")
    assert "it is no JSON" in line
    assert "accepted is a list of rules, or off" in line


def test_there_may_be_only_so_many_rules() -> None:
    (line,) = problems(json.dumps([{"type": f"t{number}"} for number in range(33)]))
    assert "there are 33 rules; accepted are at most 32" in line


def test_two_rules_do_not_say_the_same_nor_declare_one_queue_in_two_ways() -> None:
    (same,) = problems('[{"type": "a", "window": 1}, {"type": "a", "window": 2}]')
    assert "rule 2 says the same as an earlier one" in same
    (other,) = problems('[{"type": "a", "declare": true}, {"type": "b", "declare": {"kind": "classic"}}]')
    assert "rule 2 declares queue maintenance in another way" in other
    assert len(read_rules('[{"type": "a", "declare": true}, {"type": "b"}]')) == 2


def test_rules_that_say_the_same_are_equal_whoever_read_them() -> None:
    assert one(patterns=["*.mp3"]) == one(patterns=["*.mp3"])
    assert one(patterns=["*.mp3"]) != one(patterns=["*.wav"])


def test_a_window_s_name_is_the_same_after_a_restart_and_differs_by_what_it_is_of() -> None:
    rule = one()
    assert rule.key(1, b"/m") == one(window="9s").key(1, b"/m") == one(rate_limit=1).key(1, b"/m")
    others = {rule.key(2, b"/m"), rule.key(1, b"/m/a"), one(queue="q").key(1, b"/m")}
    others |= {one(on="deleted").key(1, b"/m"), one(patterns=["*.mp3"]).key(1, b"/m")}
    assert len(others | {rule.key(1, b"/m")}) == 6
