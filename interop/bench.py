"""Compares the speed of `bulla` with its peers' and with what the machine can do, in one run.

Whatever is compared runs in turn (A B A B …), so that whatever else the machine does hits all of it.
Tables give medians with the fastest and slowest run, the ratio to the first column, and the peak
memory of the process: anonymous memory, for mapped files are the page cache's.

ROUNDS=5 SCALE=1.0 (of 4 GiB) FOLDER=/somewhere make bench
"""

import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

BULLA = os.environ["BULLA"]
LIMITS = os.environ["LIMITS"]
B3SUM = os.environ["B3SUM"]
PEER = pathlib.Path(sys.executable).parent / "model_signing"
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SCALE = float(os.environ.get("SCALE", "1"))
MIB = 1 << 20


class Run:
    """A command that must succeed: wall seconds and peak anonymous MiB."""

    def __init__(self, *command):
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        self.peak = 0
        done = threading.Event()
        watcher = threading.Thread(target=self.watch, args=(process.pid, done))
        watcher.start()
        said = process.stderr.read()
        process.wait()
        self.seconds = time.perf_counter() - start
        done.set()
        watcher.join()
        assert process.returncode == 0, f"{command}: {said.decode()}"

    def watch(self, pid, done):
        while not done.is_set():
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
            except OSError:
                return
            found = re.search(r"RssAnon:\s+(\d+)", status)
            self.peak = max(self.peak, int(found[1]) / 1024 if found else 0)
            done.wait(0.005)


def compare(title, commands, rounds=ROUNDS, before=lambda: None, size=None):
    """Runs the commands in turn and prints a table; returns the medians."""
    runs = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            before()
            runs[name].append(Run(*command))
    first = None
    print(f"\n### {title}\n")
    print("| command | median | fastest | slowest | GB/s | peak | times as fast |")
    print("|---|---|---|---|---|---|---|")
    medians = {}
    for name, done in runs.items():
        seconds = [run.seconds for run in done]
        median = medians[name] = statistics.median(seconds)
        first = first or median
        rate = f"{size / median / 1e9:.2f}" if size else ""
        print(
            f"| {name} | {median:.3f} s | {min(seconds):.3f} s | {max(seconds):.3f} s | {rate} "
            f"| {max(run.peak for run in done):.0f} MiB | {first / median:.2f} |",
            flush=True,
        )
    return medians


def fill(path, size):
    """Bytes that are no holes and do not repeat within a block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = os.urandom(min(size, MIB))
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(block[: min(MIB, size - start)])


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.key = folder / "key"
        Run(BULLA, "key", "generate", "--no-password", "--output", f"{self.key}.key")
        self.number = 0

    def model(self, files, size):
        """A new model; the last one is gone, to leave the page cache to this one."""
        model = self.folder / "model"
        shutil.rmtree(model, ignore_errors=True)
        for index in range(files):
            fill(model / f"{index // 1000:03}" / f"{index:06}.bin", size)
        # Not written while something is measured.
        os.sync()
        return model

    def sign(self, model, *options):
        self.number += 1
        signature = self.folder / f"{self.number}.sig"
        Run(BULLA, "sign", model, "--key", f"{self.key}.key", "--output", signature, *options)
        return signature

    def ours(self, model, signature, *options):
        return [BULLA, "verify", model, "--key", f"{self.key}.pub", "--signature", signature, *options]

    def theirs(self, model, signature):
        return [PEER, "verify", "key", model, "--public_key", f"{self.key}.pub", "--signature", signature]


def forget(model):
    """Drops a model from the page cache."""
    for path in model.rglob("*.bin"):
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    has = [name for name in ("sha_ni", "avx2", "avx512bw") if name in flags]
    print(f"{os.cpu_count()} cores, {cpu[1] if cpu else 'unknown'} ({', '.join(has)}), "
          f"{memory / MIB:.0f} GiB, Linux {os.uname().release}; {ROUNDS} rounds")


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bulla-bench-", dir=os.environ.get("FOLDER")))
    try:
        bench = Bench(folder)
        whole = int(4096 * SCALE) * MIB
        machine()
        said = subprocess.run([LIMITS], capture_output=True, text=True, check=True).stdout
        limits = {name: float(rate) for name, rate in (line.split() for line in said.splitlines())}
        print("\n### Bytes that are in memory already, all cores\n\n| what | GB/s |\n|---|---|")
        for name, rate in limits.items():
            print(f"| {name} | {rate / 1e9:.2f} |", flush=True)

        for files in (32, 16):
            model = bench.model(files, whole // files)
            signature = bench.sign(model)
            medians = compare(
                f"{files} files of {whole // files // MIB} MiB, SHA-256",
                {
                    "model_signing verify": bench.theirs(model, signature),
                    "bulla verify": bench.ours(model, signature),
                    "bulla verify --threads 1": bench.ours(model, signature, "--threads", "1"),
                },
                size=whole,
            )
            lanes = whole / medians["bulla verify"] / limits["sha256-lanes"]
            print(f"\n{100 * lanes:.0f} % of full lanes in memory.")
            if files == 16:
                blake3 = bench.sign(model, "--hash", "blake3")
                compare(
                    f"{files} files of {whole // files // MIB} MiB, BLAKE3 against SHA-256",
                    {
                        "model_signing verify (SHA-256)": bench.theirs(model, signature),
                        "bulla verify (BLAKE3)": bench.ours(model, blake3),
                        "b3sum": [B3SUM, *sorted(model.rglob("*.bin"))],
                    },
                    size=whole,
                )
                cache = folder / "digests.json"
                time.sleep(3)  # what was just written is not remembered
                sign = [BULLA, "sign", model, "--key", f"{bench.key}.key", "--output", folder / "c.sig"]
                changed = sorted(model.rglob("*.bin"))[5]

                def change():
                    with changed.open("r+b") as file:
                        file.write(os.urandom(64))
                    time.sleep(0.2)

                for title, options in {"": [], " (shards of 64 MiB)": ["--shard-size", "64MiB"]}.items():
                    cached = [*sign, *options, "--digest-cache", cache]
                    Run(*cached)
                    medians = compare(
                        f"signing again after 1 of 16 files changed{title}",
                        {"bulla sign": [*sign, *options], "bulla sign --digest-cache": cached},
                        before=change,
                    )
                    full, again = medians.values()
                    print(f"\n{100 * again / full:.0f} % of a full run.")
            else:
                direct = f"for f in {model}/*/*.bin; do dd if=$f of=/dev/null iflag=direct bs=8M status=none; done"
                compare(
                    f"{files} files of {whole // files // MIB} MiB, from the disk",
                    {
                        "dd iflag=direct bs=8M": ["sh", "-c", direct],
                        "bulla verify": bench.ours(model, signature),
                        "bulla verify --no-page-cache": bench.ours(model, signature, "--no-page-cache"),
                    },
                    rounds=max(ROUNDS, 5),
                    before=lambda: forget(model),
                    size=whole,
                )

        model = bench.model(1, whole)
        (file,) = model.rglob("*.bin")
        signature, shards = bench.sign(model), bench.sign(model, "--shard-size", "64MiB")
        compare(
            f"1 file of {whole // MIB} MiB, SHA-256",
            {
                "model_signing verify": bench.theirs(model, signature),
                "openssl dgst -sha256": ["openssl", "dgst", "-sha256", file],
                "bulla verify": bench.ours(model, signature),
                "bulla verify (shards of 64 MiB)": bench.ours(model, shards),
            },
            size=whole,
        )

        for files, size, title in ((10, 5 * MIB, "10 files of 5 MiB"), (int(100_000 * SCALE), 4096, None)):
            model = bench.model(files, size)
            signature = bench.sign(model)
            compare(
                title or f"{files:,} files of 4 KiB",
                {
                    "model_signing verify": bench.theirs(model, signature),
                    "bulla verify": bench.ours(model, signature),
                },
                rounds=ROUNDS if title else 3,
                size=files * size,
            )
            if not title:
                sign = [BULLA, "sign", model, "--key", f"{bench.key}.key", "--output", folder / "m.sig"]
                peak = Run(*sign).peak
                print(f"\nbundle {signature.stat().st_size / MIB:.1f} MiB; sign: {peak:.0f} MiB at its peak.")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
