"""How a rule wants its queue to be declared: durable, with arguments that RabbitMQ knows. Pure.

`"declare": true` asks for a quorum queue. An object says more: how often a job is delivered before it is given up,
where it goes then, how long it may wait, how many may wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from file_watcher.jobs.reading import Problems, one_of, read_seconds, shown, whole

Arguments = tuple[tuple[str, str | int | bool], ...]
"""`x-` arguments of a queue by name, in the order of their names, so that two can be compared."""

_LONGEST_TTL: Final = 365 * 86_400.0
_KINDS: Final = ("quorum", "classic")
_NAME_BYTES: Final = 255
"""Names are short strings (AMQP 0-9-1, section 4.2.5.3)."""


def read_declare(value: Any, problems: Problems) -> Arguments | None:
    """The arguments; None where the queue is not to be declared (null, false)."""
    if value is None or value is False:
        return None
    given: Any = {} if value is True else value
    if not isinstance(given, Mapping):
        problems.add(
            f"declare is {shown(value)}; accepted is true, false, or an object of {', '.join(_READ)}"
        )
        return None
    here = problems.within("declare")
    arguments: dict[str, str | int | bool] = {"x-queue-type": "quorum"}
    for name, each in given.items():
        _read_one(name, each, arguments, here)
    if arguments["x-queue-type"] != "quorum" and "x-delivery-limit" in arguments:
        here.add("delivery_limit needs a quorum queue; leave it out, or leave kind out")
    if "x-dead-letter-routing-key" in arguments and "x-dead-letter-exchange" not in arguments:
        here.add("dead_letter_routing_key needs a dead_letter_exchange")
    return tuple(sorted(arguments.items()))


def _read_one(name: str, value: Any, arguments: dict[str, str | int | bool], problems: Problems) -> None:
    if name in _READ:
        argument, read = _READ[name]
        arguments[argument] = read(value, name, problems)
    elif name.startswith("x-") and isinstance(value, str | int):
        arguments[name] = value
    else:
        problems.add(
            f"there is no {shown(name)}: {shown(value)}; accepted are {', '.join(_READ)}, and names that begin "
            "with x- with a text, a whole number or true or false"
        )


def _kind(value: Any, name: str, problems: Problems) -> str:
    return one_of(value, name, _KINDS, problems)


def _count(value: Any, name: str, problems: Problems) -> int:
    if (number := whole(value)) is not None:
        return number
    problems.add(f"{name} is {shown(value)}; accepted is a whole number above zero")
    return 1


def _milliseconds(value: Any, name: str, problems: Problems) -> int:
    return round(1000 * read_seconds(value, name, _LONGEST_TTL, problems))


def _text(value: Any, name: str, problems: Problems) -> str:
    if isinstance(value, str) and len(value.encode("utf-8", "replace")) <= _NAME_BYTES:
        return value
    problems.add(f"{name} is {shown(value)}; accepted is a name of up to {_NAME_BYTES} bytes")
    return ""


_READ: Final[Mapping[str, tuple[str, Callable[[Any, str, Problems], str | int]]]] = {
    "kind": ("x-queue-type", _kind),
    "delivery_limit": ("x-delivery-limit", _count),
    "dead_letter_exchange": ("x-dead-letter-exchange", _text),
    "dead_letter_routing_key": ("x-dead-letter-routing-key", _text),
    "message_ttl": ("x-message-ttl", _milliseconds),
    "max_length": ("x-max-length", _count),
}
"""What may be said, and the argument that it becomes."""
