"""Named sets of settings to begin with: what is watched, and how patiently, for one kind of files.

A preset is a layer of its own, between the configuration file and the defaults (see `loading`): whatever a
file, the database, a variable or an option says of a setting holds over it. The figures are starting
values, each with its reason; which of them fits best depends on the disks and on who writes the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

LEFTOVERS: Final = ("*.part", "~$*", ".*", "*.tmp", "*~", "*.crdownload", "*.swp")
"""What other programs leave beside files while they write them, and what is hidden."""
AUDIO: Final = (
    *("*.mp3", "*.flac", "*.wav", "*.wave", "*.ogg", "*.oga", "*.aac", "*.opus", "*.m4a", "*.m4b"),
    *("*.m4p", "*.m4v", "*.m4r", "*.mp4", "*.wma"),
)
"""The audio files that the tag readers know."""
SIDECARS: Final = ("*.metadata.json",)
"""What music programs write beside the songs."""

_VIDEO: Final = (
    *("*.mp4", "*.m4v", "*.mkv", "*.webm", "*.mov", "*.avi", "*.mpg", "*.mpeg", "*.ts", "*.m2ts", "*.mts"),
    *("*.vob", "*.ogv", "*.wmv", "*.flv", "*.3gp"),
)
_DOCUMENTS: Final = (
    *("*.pdf", "*.doc", "*.docx", "*.odt", "*.rtf", "*.xls", "*.xlsx", "*.ods", "*.csv", "*.ppt", "*.pptx"),
    *("*.odp", "*.epub", "*.txt", "*.md", "*.html", "*.htm", "*.tex"),
)
_TREES: Final = ("*.json", "**/*.ast.json", "**/ast/*.json")
_GENERATED: Final = (".git", "node_modules", "build", "dist", "__pycache__")


@dataclass(frozen=True, slots=True)
class Preset:
    """A set of settings, by the names of `FileWatchSettings`, in the form in which they are used."""

    about: str
    """For which files it is, and why its figures are what they are: one line for the documentation."""
    values: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


DEFAULT_PRESET: Final = "music"

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        DEFAULT_PRESET: Preset("Songs and audio books: the defaults of all settings"),
        "video": Preset(
            "Films and recordings: few and large, written with long pauses, so all is more patient, and two"
            " readers keep a disk busy",
            MappingProxyType(
                {
                    "patterns": _VIDEO,
                    "ignore_patterns": (*LEFTOVERS, "*.ytdl"),
                    "debounce_time": 5.0,
                    "max_wait": 60.0,
                    "buffer_size": 256,
                    "scan_workers": 2,
                    "tag_timeout": 30.0,
                }
            ),
        ),
        "documents": Preset(
            "Texts and tables: office programs save by writing a copy and renaming twice, which the longer"
            " windows take for one change",
            MappingProxyType(
                {
                    "patterns": _DOCUMENTS,
                    "ignore_patterns": (*LEFTOVERS, "*.bak"),
                    "debounce_time": 2.0,
                    "move_window": 5.0,
                    "buffer_size": 1_024,
                }
            ),
        ),
        "code": Preset(
            "JSON and AST trees: many small files that are written at once, told soon and in large commits",
            MappingProxyType(
                {
                    "patterns": _TREES,
                    "ignore_patterns": _GENERATED,
                    "debounce_time": 0.1,
                    "buffer_size": 8_192,
                    "batch_size": 1_024,
                }
            ),
        ),
        "all": Preset(
            "Every file of any name, hidden ones too, as a copy of the folder would need",
            MappingProxyType({"patterns": ("*",), "ignore_patterns": (), "buffer_size": 4_096}),
        ),
    }
)
