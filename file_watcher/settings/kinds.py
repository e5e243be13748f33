"""The kinds of settings: a type, how a value is read, what is accepted, said once for all settings.

Each kind is an annotated type. Its reader runs before pydantic's own validation, whose `Field` limits hold
the ranges; `Kind` carries the words for messages, the command's options and the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, SecretStr

from file_watcher.settings.addresses import (
    read_broker_url,
    read_database_url,
    read_host,
    read_listen_address,
)
from file_watcher.settings.lists import (
    read_list,
    read_path,
    read_paths,
    read_patterns,
    read_roots,
    read_wanted_patterns,
)
from file_watcher.settings.presets import PRESETS
from file_watcher.settings.quantities import (
    TEN_YEARS,
    or_never,
    or_off,
    read_boolean,
    read_duration,
    read_loss_guard,
    read_number,
    read_retention,
    read_size,
    read_whole,
)

T = TypeVar("T")

Display = Literal["plain", "url", "host", "hidden"]
"""How a value may appear in a message: as it is, as a URL without its secrets, as a host, or never."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a person is told about a setting of this kind."""

    name: str
    """One word: boolean, choice, preset, duration, list, number, path, size, text, url, address, secret."""
    accepts: str
    """Completes "write …"."""
    display: Display = "plain"


def _read_word(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004  (pydantic turns ValueError into a problem, TypeError into a crash)
    return value.strip()


def _or_none(read: Callable[[object], T]) -> Callable[[object], T | None]:
    """The reader, with None (not given) passed through."""
    return lambda value: None if value is None else read(value)


def _read_secret(value: object) -> str | SecretStr:
    """Secrets are taken to the letter: a blank at the end may be part of a password."""
    if isinstance(value, str | SecretStr):
        return value
    raise ValueError


def _read_short_text(value: object) -> str:
    text = _read_word(value)
    # RabbitMQ's names travel as AMQP short strings: 255 bytes of UTF-8 (AMQP 0-9-1, section 4.2.5.3).
    if not text or "\0" in text or len(text.encode("utf-8", "surrogateescape")) > 255:
        raise ValueError
    return text


def _read_level(value: object) -> str:
    level = _read_word(value).upper()
    return {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(level, level)


def _read_choice(value: object) -> str:
    return _read_word(value).casefold()


def _read_preset(value: object) -> str:
    named = {name.casefold() for name in read_list(value)}
    if len(named) > 1:
        raise ValueError("only one preset can be the base; take one, and set by themselves what differs")
    if not named or not named <= PRESETS.keys():
        raise ValueError("there is no such preset")
    return next(iter(named))


def _read_instance_id(value: object) -> str:
    text = _read_word(value)
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text):
        raise ValueError
    return text


def _read_broker_secret(value: object) -> str:
    return read_broker_url(_revealed(value))


def _read_database_secret(value: object) -> str:
    return read_database_url(_revealed(value))


def _revealed(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _read_share(value: object) -> tuple[float, int]:
    share, files = read_loss_guard(value)
    if not 0 < share <= 1 or files < 0:
        raise ValueError("the share is not above 0% and at most 100%")
    return share, files


def _read_bounded_retention(value: object) -> tuple[float, int]:
    seconds, events = read_retention(value)
    if not 0 < seconds <= TEN_YEARS or events < 0:
        raise ValueError
    return seconds, events


_DURATION = "a duration such as 500ms, 2s, 5m or 1h"
_WHOLE = "a whole number"

Switch = Annotated[bool, BeforeValidator(read_boolean), Kind("boolean", "true or false")]
Duration = Annotated[
    float,
    BeforeValidator(read_duration),
    Field(gt=0, le=TEN_YEARS),
    Kind("duration", f"{_DURATION}, above 0 and at most ten years"),
]
Debounce = Annotated[
    float,
    BeforeValidator(read_duration),
    Field(gt=0, le=3_600),
    Kind("duration", f"{_DURATION}, above 0 and at most 1h"),
]
OptionalDuration = Annotated[
    Annotated[float, Field(gt=0, le=TEN_YEARS)] | None,
    BeforeValidator(or_off(read_duration)),
    Kind("duration", f"off or {_DURATION}, at most ten years"),
]
IdleTimeout = Annotated[
    Annotated[float, Field(gt=0, le=TEN_YEARS)] | None,
    BeforeValidator(or_never(read_duration)),
    Kind("duration", f"off or {_DURATION}, above 0 and at most ten years"),
]
Size = Annotated[
    int,
    BeforeValidator(read_size),
    # Less than this and a Python process cannot even start below it.
    Field(ge=64_000_000, le=2**50),
    Kind("size", "a size such as 512MB or 1GiB, at least 64MB"),
]
OptionalRate = Annotated[
    Annotated[float, Field(gt=0, le=1e9)] | None,
    BeforeValidator(or_off(read_number)),
    Kind("number", "off or a number above 0, without a unit"),
]
Amount = Annotated[
    int,
    BeforeValidator(read_whole),
    Field(ge=1, le=1_000_000_000),
    Kind("number", f"{_WHOLE} from 1 to 1000000000"),
]
OptionalAmount = Annotated[
    Annotated[int, Field(ge=1, le=1_000_000_000)] | None,
    BeforeValidator(or_off(read_whole)),
    Kind("number", f"off or {_WHOLE} from 1 to 1000000000"),
]
Workers = Annotated[
    int, BeforeValidator(read_whole), Field(ge=1, le=1_024), Kind("number", f"{_WHOLE} from 1 to 1024")
]
InFlight = Annotated[
    int, BeforeValidator(read_whole), Field(ge=1, le=100_000), Kind("number", f"{_WHOLE} from 1 to 100000")
]
Nice = Annotated[
    int, BeforeValidator(read_whole), Field(ge=0, le=19), Kind("number", f"{_WHOLE} from 0 to 19")
]
OptionalPort = Annotated[
    Annotated[int, Field(ge=1, le=65_535)] | None,
    BeforeValidator(_or_none(read_whole)),
    Kind("number", "a port from 1 to 65535"),
]
LossGuard = Annotated[
    tuple[float, int] | None,
    BeforeValidator(or_off(_read_share)),
    Kind("text", "off, a share such as 50%, or a share and a number of files such as 50%,100"),
]
Retention = Annotated[
    tuple[float, int],
    BeforeValidator(_read_bounded_retention),
    Kind("text", "a duration such as 7d, or a duration and a number of events such as 7d,1000000"),
]

_PATTERNS = Kind("list", "patterns as in a .gitignore, such as *.mp3, separated by commas or as a JSON array")
PresetName = Annotated[
    str, BeforeValidator(_read_preset), Kind("preset", f"{', '.join([*PRESETS][:-1])} or {[*PRESETS][-1]}")
]
Patterns = Annotated[tuple[str, ...], BeforeValidator(read_patterns), _PATTERNS]
SomePatterns = Annotated[
    tuple[str, ...], BeforeValidator(read_wanted_patterns), Field(min_length=1), _PATTERNS
]
Roots = Annotated[
    tuple[Path, ...],
    BeforeValidator(read_roots),
    Kind("list", "one folder, or several separated by : (colon)"),
]
Paths = Annotated[
    tuple[Path, ...],
    BeforeValidator(read_paths),
    Kind("list", "folders, separated by commas or as a JSON array"),
]
OptionalPath = Annotated[
    Path | None, BeforeValidator(_or_none(read_path)), Kind("path", "the path of a file")
]

ShortText = Annotated[str, BeforeValidator(_read_short_text), Kind("text", "a text of 1 to 255 bytes")]
OptionalName = Annotated[
    str | None, BeforeValidator(or_off(_read_short_text)), Kind("text", "off or a name of at most 255 bytes")
]
Secret = Annotated[SecretStr, BeforeValidator(_read_secret), Kind("secret", "a text, in quotes", "hidden")]
InstanceId = Annotated[
    str | None,
    BeforeValidator(_or_none(_read_instance_id)),
    Kind("text", "1 to 64 letters, digits, dots, dashes or underscores"),
]
Host = Annotated[
    str,
    BeforeValidator(read_host),
    Kind("text", "a host name or an IP address; the port and the user have settings of their own", "host"),
]
ListenAddress = Annotated[
    tuple[str, int] | None,
    BeforeValidator(or_off(read_listen_address)),
    Kind("address", "host:port, [IPv6]:port, :port or off", "host"),
]
BrokerUrl = Annotated[
    SecretStr | None,
    BeforeValidator(_or_none(_read_broker_secret)),
    Kind("url", "amqp://user:password@host:port/vhost or amqps://…", "url"),
]
DatabaseUrl = Annotated[
    SecretStr | None,
    BeforeValidator(_or_none(_read_database_secret)),
    Kind("url", "sqlite:////folder/catalog.sqlite3 or postgresql://user:password@host/database", "url"),
]

LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(_read_level),
    Kind("choice", "DEBUG, INFO, WARNING, ERROR or CRITICAL"),
]
DatabaseLog = Annotated[
    Literal["warning", "info", "off"],
    BeforeValidator(_read_choice),
    Kind("choice", "warning, info or off"),
]
LogFormat = Annotated[
    Literal["auto", "console", "json"],
    BeforeValidator(_read_choice),
    Kind("choice", "console, json or auto"),
]
Declare = Annotated[
    Literal["active", "passive", "none"],
    BeforeValidator(_read_choice),
    Kind("choice", "active, passive or none"),
]
Hashing = Annotated[
    Literal["full", "none"],
    BeforeValidator(_read_choice),
    Kind("choice", "full or none"),
]
Observer = Annotated[
    Literal["auto", "native", "polling"],
    BeforeValidator(_read_choice),
    Kind("choice", "auto, native or polling"),
]
