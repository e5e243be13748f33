"""Vorbis comments, which FLAC and every codec in Ogg carry. Used by both readers."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from file_watcher.processing.tags.medium import Medium
from file_watcher.processing.tags.names import named

_BLOCK: Final = "metadata_block_picture"
"""A FLAC picture block in base 64."""
_BARE: Final = "coverart"
"""The older way: the picture alone in base 64."""
_BLOCK_SIZE: Final = 32
"""Of the block's numbers; its two texts and the picture come on top."""
_LOOKED_AT: Final = 4096
"""Characters in which the lengths of the two texts are looked for."""


def take_comments(comments: Iterable[tuple[str, str]] | None, medium: Medium) -> None:
    """Take the tags, and the sizes of pictures among them."""
    pairs = list(comments or ())
    medium.tags.extend(named(pairs))
    for key, value in pairs:
        if (name := key.lower()) in {_BLOCK, _BARE}:
            overhead = _overhead(value) if name == _BLOCK else 0
            medium.picture_sizes.append(max(0, len(value.rstrip("=")) * 3 // 4 - overhead))


def _overhead(value: str) -> int:
    """Bytes of the block that are not the picture."""
    head = b""
    with suppress(ValueError):
        head = base64.b64decode(value[:_LOOKED_AT] + "==")
    media_type_size = int.from_bytes(head[4:8])
    text_at = 8 + media_type_size
    return _BLOCK_SIZE + media_type_size + int.from_bytes(head[text_at : text_at + 4])
