"""Listening addresses, as commands look at them and show them. Owns no thread."""

from __future__ import annotations

import os
import socket


def shown(address: tuple[str, int]) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_free(address: tuple[str, int]) -> str | None:
    """None where we could listen there, else why not. Listens for an instant, and not for connections."""
    host, port = address
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as trial:
            # As the server does: an address whose last connections still linger is free.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(place)
    except OSError as exc:
        return exc.strerror or (os.strerror(exc.errno) if exc.errno else str(exc))
    return None
