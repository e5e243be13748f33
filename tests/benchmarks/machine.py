"""What was measured on: a figure without its machine says little."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import ssl
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

_PACKAGES: Final = ("mutagen", "pika", "psycopg", "sqlalchemy", "watchdog", "xxhash")


def machine() -> dict[str, Any]:
    """Processor, memory, system and filesystem, for the reader of a JSON file. Reads /proc."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "has_sha_extensions": "sha_ni" in _cpuinfo("flags").split() or "sha2" in _cpuinfo("Features").split(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "filesystem": _filesystem(Path(tempfile.gettempdir())),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Of everything that takes part in what is measured."""
    return {
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "sqlite": sqlite3.sqlite_version,
        "rabbitmq": _debian("rabbitmq-server"),
        "file_watcher": version("file-watcher"),
        **{package: version(package) for package in _PACKAGES},
    }


def _processor() -> str:
    return _cpuinfo("model name") or platform.machine()


def _cpuinfo(field: str) -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""


def _filesystem(folder: Path) -> str:
    inside = [each for each in psutil.disk_partitions(all=True) if folder.is_relative_to(each.mountpoint)]
    return max(inside, key=lambda each: len(each.mountpoint)).fstype if inside else "unknown"


def _debian(package: str) -> str:
    query = shutil.which("dpkg-query")
    if query is None:
        return "unknown"
    command = [query, "--show", "--showformat=${Version}", package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout or "unknown"
