"""Files that the benchmarks import, made from what ffmpeg encodes."""

from __future__ import annotations

from pathlib import Path

import mutagen
import pytest

from tests.benchmarks.corpus import sized_library


@pytest.mark.parametrize("size", [4096, 5001, 700_000, 2 << 20])
def test_a_sized_file_has_exactly_its_size_and_is_real_media(tmp_path: Path, size: int) -> None:
    paths = sized_library(tmp_path, 21, size)

    assert {path.stat().st_size for path in paths} == {size}
    assert len({path.read_bytes() for path in paths}) == 21
    last = mutagen.File(paths[-1], easy=True)
    assert last["title"] == ["Song 00020"]
    assert last.info.bitrate == 192_000
