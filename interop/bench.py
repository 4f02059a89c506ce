"""Compares the speed of `bulla verify` with its peers', in one run, files in the page cache.

Each shape is verified by both in turn (A B A B …), so that whatever else the machine does hits both.
The table gives medians, the ratio, and the peak memory of each process.
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BULLA = os.environ["BULLA"]
PEER = pathlib.Path(sys.executable).parent / "model_signing"
ROUNDS = int(os.environ.get("ROUNDS", "3"))
MIB = 1 << 20

SHAPES = {
    "32 files of 32 MiB": [32 * MIB] * 32,
    "1 file of 1 GiB": [1024 * MIB],
    "10 files of 5 MiB": [5 * MIB] * 10,
    "20,000 files of 4 KiB": [4096] * 20_000,
}


def fill(path, size):
    """Bytes that are no holes and do not repeat within a block."""
    block = os.urandom(min(size, MIB))
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(block[: min(MIB, size - start)])


def measure(*command):
    """Wall seconds and peak MiB of a command that must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command}: {said.decode()}"
    return seconds, usage.ru_maxrss / 1024


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bulla-bench-"))
    try:
        key = folder / "key"
        measure(BULLA, "key", "generate", "--no-password", "--output", f"{key}.key")
        print(f"{os.cpu_count()} cores, {ROUNDS} rounds, median of each\n")
        print("| shape | bulla verify | peak | model_signing verify | peak | ratio |")
        print("|---|---|---|---|---|---|")
        for name, sizes in SHAPES.items():
            model = folder / "model"
            for index, size in enumerate(sizes):
                path = model / f"{index // 1000:03}" / f"{index:06}.bin"
                path.parent.mkdir(parents=True, exist_ok=True)
                fill(path, size)
            signature = folder / "model.sig"
            measure(BULLA, "sign", model, "--key", f"{key}.key", "--output", signature)
            ours = [BULLA, "verify", model, "--key", f"{key}.pub", "--signature", signature]
            theirs = [PEER, "verify", "key", model, "--public_key", f"{key}.pub"]
            theirs += ["--signature", signature]
            runs = [(measure(*ours), measure(*theirs)) for _ in range(ROUNDS)]
            a = statistics.median(run[0][0] for run in runs)
            b = statistics.median(run[1][0] for run in runs)
            peak_a = max(run[0][1] for run in runs)
            peak_b = max(run[1][1] for run in runs)
            print(
                f"| {name} | {a:.3f} s | {peak_a:.0f} MiB | {b:.3f} s | {peak_b:.0f} MiB "
                f"| {b / a:.1f} |",
                flush=True,
            )
            shutil.rmtree(model)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
