"""Asks a service's pages over HTTP. Blocks on the caller's thread, a few seconds at most."""

from __future__ import annotations

import os
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from file_watcher.cli.options import Given
from file_watcher.errors import FileWatcherError, UsageError
from file_watcher.ops.health import ask
from file_watcher.settings.addresses import read_listen_address
from file_watcher.settings.sources import from_environment, from_file, from_options
from file_watcher.settings.state import config_file as user_config_file
from file_watcher.settings.state import kept_instance_id
from file_watcher.settings.variables import BY_KEY

if TYPE_CHECKING:
    from file_watcher.catalog.requests import Instance

_ANSWER_SECONDS: Final = 2.0
_LOOPBACK: Final = ("127.", "localhost", "::1")


def http_address(given: Given) -> tuple[str, int]:
    """WATCHER_HTTP_ADDR alone: no other setting is judged, and no folder to watch is looked at.

    A probe that a supervisor asks every few seconds must not hang on a dead disk. Raises UsageError where
    the address cannot be used, or is switched off.
    """
    return _required(_alone("watcher_http_addr", given))


def own_name(given: Given) -> str | None:
    """INSTANCE_ID alone, else the name that a service of this user has kept; None where there is neither.

    Raises UsageError where INSTANCE_ID cannot be used.
    """
    named: str | None = _alone("instance_id", given)
    return kept_instance_id(os.environ) if named is None else named


def _alone(key: str, given: Given) -> Any:
    """One setting out of all layers but the database, or its default. Raises UsageError."""
    variable = BY_KEY[key]
    names = variable.info.environment
    path = given.config_file or user_config_file(os.environ)
    layers = [
        from_options({variable.info.key: given.options.get(variable.info.key)}),
        from_environment({name: os.environ[name] for name in names if name in os.environ}),
        from_file(path, named=given.config_file is not None),
    ]
    for layer in layers:
        if variable.info.toml in layer.unusable:
            raise UsageError(
                *(line for line in layer.problems if line.startswith((variable.info.option, names[0])))
            )
        if found := layer.values.get(variable.info.toml):
            return variable.read(found.raw)
    return variable.model.model_fields[variable.field].default


def readiness(instance: Instance) -> tuple[bool, list[str]] | None:
    """Whether an instance is ready, and what stands against it; None where it cannot be asked from here."""
    text = instance.detail.get("http")
    if not isinstance(text, str):
        return None
    try:
        address = _address(text)
    except ValueError:
        return None
    elsewhere = instance.host != socket.gethostname()
    if elsewhere and address[0].startswith(_LOOPBACK):
        return None
    if elsewhere and address[0] in {"0.0.0.0", "::", ""}:  # noqa: S104
        address = (instance.host, address[1])
    try:
        status, document = ask(address, "/readyz", _ANSWER_SECONDS)
    except FileWatcherError as exc:
        return False, [str(exc)]
    if document.get("instance_id") != instance.instance_id:
        return False, [f"{text} is answered by another service ({document.get('instance_id')})"]
    return status == HTTPStatus.OK, [str(reason) for reason in document.get("reasons", [])]


def reasons_against(instance: Instance | None) -> list[str]:
    """What stands against an instance's readiness, as far as it can be asked."""
    answer = None if instance is None else readiness(instance)
    return [] if answer is None else answer[1]


def health_document(address: tuple[str, int]) -> tuple[int, dict[str, Any]]:
    """The status and document of /healthz. Raises RetryableError or PermanentError."""
    return ask(address, "/healthz", _ANSWER_SECONDS)


def _required(address: Any) -> tuple[str, int]:
    if address is None:
        raise UsageError("WATCHER_HTTP_ADDR is off: there is no page to ask; give it an address")
    host, port = address
    return host, port


def _address(text: str) -> tuple[str, int]:
    """`host:port`, where the host may be an IPv6 address without brackets."""
    host, _, port = text.rpartition(":")
    if ":" in host and not host.startswith("["):
        text = f"[{host}]:{port}"
    return read_listen_address(text)
