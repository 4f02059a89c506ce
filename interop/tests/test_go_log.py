"""Logs, checked by Go's own transparency logs (golang.org/x/mod/sumdb). Needs GO_LOG; `make interop-go` runs it."""

import os
import pathlib
import shutil
import subprocess
import tarfile
import time

import pytest
from conftest import bulla, run

GO_LOG = os.environ.get("GO_LOG")
THROUGHPUT = os.environ.get("THROUGHPUT")
FIXTURE = pathlib.Path(__file__).parents[2] / "crates/bulla-cli/tests/cmd/log-fixture"


def go_log(log, vkey, *checkpoints, **how):
    assert GO_LOG, "GO_LOG names no program: run `make interop-go`"
    return run(GO_LOG, log, vkey.read_text().strip(), *checkpoints, **how)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A log that many callers appended to at once, and checkpoints that it showed meanwhile."""
    assert THROUGHPUT, "THROUGHPUT names no program: run `make interop-go`"
    root = tmp_path_factory.mktemp("grown") / "root"
    with subprocess.Popen([THROUGHPUT, root, "32", "2", "100"]) as running:
        seen = []
        while running.poll() is None:
            time.sleep(0.1)
            current = root / "log" / "checkpoint"
            if current.exists():
                seen.append(shutil.copy(current, root / f"{len(seen)}.checkpoint"))
    assert running.returncode == 0
    return root, seen


def test_go_finds_every_entry_and_every_checkpoint_in_one_tree(grown):
    root, seen = grown
    said = go_log(root / "log", root / "log.vkey", *seen)
    entries = int(said.split()[1])
    assert entries > 300, "it should have full tiles"
    assert f"({entries} entries)" in bulla("log", "verify", root / "log", "--key", root / "log.vkey")


def test_an_export_is_the_same_log(grown, tmp_path):
    root, seen = grown
    bulla("log", "export", root / "log", "--key", root / "log.vkey", "--output", tmp_path / "log.tar")
    with tarfile.open(tmp_path / "log.tar") as archive:
        archive.extractall(tmp_path / "copy", filter="data")
    go_log(tmp_path / "copy", root / "log.vkey", *seen)


@pytest.mark.parametrize("wrong", ["changed-tile", "changed-entry", "forked-log"])
def test_both_refuse_the_same(wrong, tmp_path):
    key, last = FIXTURE / "log.vkey", tmp_path / "last.checkpoint"
    shutil.copy(FIXTURE / "last.checkpoint", last)
    assert "refused" in go_log(FIXTURE / wrong, key, last, code=1)
    assert "refused" in bulla("log", "verify", FIXTURE / wrong, "--key", key, "--state", last, code=1)
