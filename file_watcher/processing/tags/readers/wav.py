"""WAV files, by the chunk reader in `riff`; an ID3 chunk by mutagen."""

from __future__ import annotations

from typing import BinaryIO, Final

from file_watcher.processing.tags.medium import Beginning, Claim, Medium, MetadataReader
from file_watcher.processing.tags.readers.id3 import read_id3
from file_watcher.processing.tags.riff import Wave, read_wave


class _Wav(MetadataReader):
    def recognise(self, beginning: Beginning) -> Claim | None:
        header = beginning.header
        is_wave = header.startswith((b"RIFF", b"RF64")) and header[8:12] == b"WAVE"
        return Claim("audio/wav", "wav") if is_wave else None

    def read(self, file: BinaryIO, medium: Medium) -> None:
        """An ID3 chunk, where there is one, counts before the INFO chunks: it is the richer of the two."""
        wave = Wave()
        try:
            read_wave(file, wave)
        finally:
            medium.channels, medium.sample_rate = wave.channels, wave.sample_rate
            medium.bitrate, medium.duration = wave.byte_rate * 8, wave.duration
            medium.tags.extend(wave.tags)
        if wave.id3_at is not None:
            file.seek(wave.id3_at)
            read_id3(file, medium, load_v1=False)


READER: Final[MetadataReader] = _Wav()
