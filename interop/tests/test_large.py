"""Large models: memory stays flat."""

import os
import subprocess

import pytest
from conftest import BULLA, bulla

MIB = 1 << 20


def peak_mib(*arguments):
    """Peak resident memory of a run that must succeed."""
    process = subprocess.Popen(
        [BULLA, *map(str, arguments)], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024


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
    # Each thread maps 64 MiB of the page cache, which counts as resident.
    how += ["--threads", "2"]
    assert peak_mib("sign", model, "--key", private, *how) < 64 + 2 * 64
    assert peak_mib("verify", model, "--key", public, "--threads", "2") < 64 + 2 * 64


def test_a_hundred_thousand_files(tmp_path, key):
    private, public = key
    model = tmp_path / "many"
    for folder in range(100):
        (model / f"{folder:02}").mkdir(parents=True)
        for file in range(1000):
            (model / f"{folder:02}" / f"{file:03}.json").write_bytes(b"%d" % file)
    sign = peak_mib("sign", model, "--key", private)
    verify = peak_mib("verify", model, "--key", public)
    bundle = (model / "model.sig").stat().st_size / MIB
    assert sign < 64 + 6 * bundle, f"{sign} MiB for a bundle of {bundle} MiB"
    assert verify < 64 + 6 * bundle, f"{verify} MiB for a bundle of {bundle} MiB"
    (model / "07" / "extra").write_bytes(b"")
    (model / "42" / "000.json").write_bytes(b"x")
    said = bulla("verify", model, "--key", public, code=1)
    assert "extra: 07/extra" in said
    assert "changed: 42/000.json" in said
