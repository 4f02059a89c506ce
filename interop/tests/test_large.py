"""Large models: memory stays flat."""

import pathlib
import re
import subprocess
import time

import pytest
from conftest import BULLA, bulla

MIB = 1 << 20


def peak_mib(*arguments):
    """Peak anonymous memory of a run that must succeed: what is mapped is the page cache's."""
    process = subprocess.Popen(
        [BULLA, *map(str, arguments)], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    status = pathlib.Path(f"/proc/{process.pid}/status")
    peak = 0
    while process.poll() is None:
        # A process that has ended, and is not waited for yet, has no such line any more.
        found = re.search(r"RssAnon:\s+(\d+)", status.read_text())
        peak = max(peak, int(found[1]) / 1024 if found else 0)
        time.sleep(0.005)
    assert process.returncode == 0
    assert peak > 0, "it was never seen running"
    return peak


@pytest.fixture
def key(tmp_path):
    bulla("key", "generate", "--no-password", "--output", tmp_path / "signer.key")
    return tmp_path / "signer.key", tmp_path / "signer.pub"


def test_a_sparse_file_of_2_gib(tmp_path, key):
    private, public = key
    model = tmp_path / "sparse"
    model.mkdir()
    with (model / "weights.bin").open("wb") as file:
        file.truncate(2 * 1024 * MIB)
    how = ["--shard-size", "256MiB", "--hash", "blake3"]
    sign = peak_mib("sign", model, "--key", private, *how)
    verify = peak_mib("verify", model, "--key", public)
    assert sign < 64, f"{sign} MiB"
    assert verify < 64, f"{verify} MiB"


def test_a_hundred_thousand_files(tmp_path, key):
    private, public = key
    model = tmp_path / "many"
    for folder in range(100):
        (model / f"{folder:02}").mkdir(parents=True)
        for file in range(1000):
            (model / f"{folder:02}" / f"{file:03}.json").write_bytes(b"%d" % file)
    # Each thread has a buffer of its own: as many on every machine.
    sign = peak_mib("sign", model, "--key", private, "--threads", "2")
    verify = peak_mib("verify", model, "--key", public, "--threads", "2")
    bundle = (model / "model.sig").stat().st_size / MIB
    assert sign < 64 + 4 * bundle, f"{sign} MiB for a bundle of {bundle} MiB"
    assert verify < 64 + 4 * bundle, f"{verify} MiB for a bundle of {bundle} MiB"
    (model / "07" / "extra").write_bytes(b"")
    (model / "42" / "000.json").write_bytes(b"x")
    said = bulla("verify", model, "--key", public, code=1)
    assert "extra: 07/extra" in said
    assert "changed: 42/000.json" in said
