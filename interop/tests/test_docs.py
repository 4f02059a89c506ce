"""The shell lines of the documentation run as they stand there."""

import os
import pathlib
import re
import subprocess

import pytest
from conftest import BULLA

DOCS = pathlib.Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["certificates.md"])
def test_the_lines_run(tmp_path, page):
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert blocks
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model" / "weights.bin").write_bytes(b"weights")
    path = f"{pathlib.Path(BULLA).parent}:{os.environ['PATH']}"
    for block in blocks:
        script = f"set -eu\n{block}"
        result = subprocess.run(
            ["sh", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
    assert "verified: my-model" in result.stdout
    assert "signed by  email:team@example.com" in result.stdout
