"""In a terminal: password prompts, and a terminal that works afterwards."""

import os
import pty
import time

import pytest
from conftest import BULLA, bulla


def session(folder, typed):
    """Signs in a terminal of its own, types once a prompt is there, and returns all that was shown."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_PASSWORD")}
    line = f"trap : INT; {BULLA} sign small --key p.key; echo rc=$?; stty -a"
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execve("/bin/sh", ["sh", "-c", line], environment)
    shown = b""
    end = time.monotonic() + 30
    while b"Password of p.key" not in shown and time.monotonic() < end:
        shown += os.read(terminal, 4096)
    time.sleep(0.3)  # the prompt comes just before the echo is turned off
    os.write(terminal, typed)
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:
        pass  # Linux's way to say that the terminal's other end is closed
    os.waitpid(process, 0)
    return shown.decode()


@pytest.mark.parametrize(
    ("typed", "ends"), [(b"secret\n", "rc=0"), (b"other\n", "rc=3"), (b"\x03", "rc=130")]
)
def test_passwords_are_typed_without_an_echo(tmp_path, small, typed, ends):
    bulla("key", "generate", "--output", tmp_path / "p.key", BULLA_PASSWORD="secret")
    shown = session(tmp_path, typed)
    assert ends in shown
    assert "secret" not in shown and "other" not in shown
    # The echo is back, also after an interrupt.
    assert " echo " in shown and " -echo " not in shown
