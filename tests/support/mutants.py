"""Mutants of real media files: what transfers, disks, bad encoders and attackers make of them.

A seed gives all of them, so a run can be repeated; `Mutant.story` says how one came about.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_EXTREMES: Final = tuple(
    value.to_bytes(4, order)
    for value in (0, 1, 7, 8, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x7F7F_7F7F, 0x00FF_FFFF)
    for order in ("big", "little")
)
"""What parsers least expect in a field for a size, a count or an offset, in either order of bytes."""
_HEAD: Final = 2048
"""Most of what parsers believe stands at the beginning, some at the end."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One file to be written."""

    name: str
    content: bytes
    story: str


def mutants(originals: Sequence[Path], seed: int, count: int) -> Iterator[Mutant]:
    """So many mutants of these files. The same seed and originals always give the same ones."""
    dice = random.Random(seed)
    contents = [(path, path.read_bytes()) for path in originals]
    for number in range(count):
        path, content = dice.choice(contents)
        _, other = dice.choice(contents)
        steps = dice.choices(_MUTATIONS, k=dice.choice((1, 1, 1, 2, 3)))
        for step in steps:
            content = step(dice, content, other)
        suffix = path.suffix if dice.random() < 0.8 else dice.choice(contents)[0].suffix
        story = f"{path.name}: {', '.join(step.__name__.strip('_') for step in steps)}"
        yield Mutant(f"{number:06d}{suffix}", content, story)


def _place(dice: random.Random, content: bytes) -> int:
    """Where to strike: mostly near the beginning, sometimes near the end, else anywhere."""
    size = max(len(content), 1)
    near = min(size, _HEAD)
    return dice.choice(
        (
            dice.randrange(min(near, 64)),
            dice.randrange(near),
            size - 1 - dice.randrange(near),
            dice.randrange(size),
        )
    )


def _flipped_bits(dice: random.Random, content: bytes, _: bytes) -> bytes:
    changed = bytearray(content)
    for _number in range(dice.choice((1, 4, 64)) if changed else 0):
        changed[_place(dice, content)] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _truncated(dice: random.Random, content: bytes, _: bytes) -> bytes:
    return content[: _place(dice, content)]


def _without_beginning(dice: random.Random, content: bytes, _: bytes) -> bytes:
    return content[_place(dice, content) :]


def _repeated_block(dice: random.Random, content: bytes, _: bytes) -> bytes:
    at, length = _place(dice, content), dice.choice((4, 64, 1024, 8192))
    return (
        content[: at + length]
        + content[at : at + length] * dice.choice((1, 10, 100))
        + content[at + length :]
    )


def _missing_block(dice: random.Random, content: bytes, _: bytes) -> bytes:
    at = _place(dice, content)
    return content[:at] + content[at + dice.choice((1, 4, 64, 4096)) :]


def _strange_block(dice: random.Random, content: bytes, _: bytes) -> bytes:
    at, length = _place(dice, content), dice.choice((1, 8, 512))
    block = dice.choice((bytes(length), b"\xff" * length, dice.randbytes(length)))
    return content[:at] + block + content[at + length * dice.randrange(2) :]


def _extreme_sizes(dice: random.Random, content: bytes, _: bytes) -> bytes:
    for _number in range(dice.choice((1, 3, 10))):
        at = _place(dice, content) & ~dice.choice((0, 1, 3))
        content = content[:at] + dice.choice(_EXTREMES) + content[at + 4 :]
    return content


def _anothers_header(dice: random.Random, content: bytes, other: bytes) -> bytes:
    length = dice.choice((4, 12, 64, 512))
    return other[:length] + content[length:]


def _header_in_front(dice: random.Random, content: bytes, other: bytes) -> bytes:
    return other[: dice.choice((16, 128, 1024, 4096))] + content


def _spliced(dice: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: _place(dice, content)] + other[_place(dice, other) :]


_MUTATIONS: Final[tuple[Callable[[random.Random, bytes, bytes], bytes], ...]] = (
    _flipped_bits,
    _truncated,
    _without_beginning,
    _repeated_block,
    _missing_block,
    _strange_block,
    _extreme_sizes,
    _extreme_sizes,
    _anothers_header,
    _header_in_front,
    _spliced,
)
"""The sizes count twice: they are what makes a parser allocate, seek and loop."""
