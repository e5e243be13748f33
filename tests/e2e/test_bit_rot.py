"""A disk that loses a bit: no time of the file changes, and only reading it can tell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ports import free_port

_STORY = r"""
image=$1 disk=$2 python=$3
truncate -s 24M "$image"
mkfs.ext4 -q -F "$image"
mount -o loop "$image" "$disk"
for number in 0 1 2; do yes "MARK$number" | head -c 1000000 > "$disk/$number.bin"; done
sync
"$python" -m file_watcher run --log-level ERROR --patterns '*.bin' & service=$!
for _ in $(seq 300); do
    [ "$("$python" -m file_watcher events --json --type created 2>/dev/null | wc -l)" = 3 ] && break
    sleep 0.2
done
kill -TERM $service
wait $service
"$python" -m file_watcher verify --json
umount "$disk"
"$python" - "$image" <<'ROT'
import sys
with open(sys.argv[1], "r+b") as image:
    content = image.read()
    # Well inside of the second file's data, which lies behind the filesystem's own.
    place = content.index(b"MARK1\n" * 100) + 12_345
    image.seek(place)
    image.write(bytes([content[place] ^ 1]))
ROT
mount -o loop "$image" "$disk"
"$python" -m file_watcher verify --json && code=0 || code=$?
umount "$disk"
exit $code
"""


@pytest.mark.soak
def test_a_bit_that_the_disk_lost_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").mkdir()
    for name, value in {
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "DATA_DIR": str(tmp_path / "disk"),
        "WATCHER_HTTP_ADDR": "off",
        "RABBITMQ_PORT": str(free_port()),
    }.items():
        monkeypatch.setenv(name, value)
    story = ["sh", "-euc", _STORY, "sh", str(tmp_path / "image"), str(tmp_path / "disk"), sys.executable]
    told = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", *story],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert told.returncode == 1, told
    before, finding, after = told.stdout.splitlines()
    assert '"intact": 3' in before
    assert '"verdict": "corrupt"' in finding
    assert f"{tmp_path}/disk/1.bin" in finding
    assert '"intact": 2, "corrupt": 1' in after
