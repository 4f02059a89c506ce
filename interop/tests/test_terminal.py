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


def test_an_interrupt_is_the_commands(tmp_path):
    """The handler of the password prompt must not end the program while a command runs."""
    bulla("key", "generate", "--output", tmp_path / "p.key", BULLA_PASSWORD="secret")
    (tmp_path / "train.sh").write_text(
        "trap 'echo tidied up; exit 3' INT\nmkdir -p made; echo w > made/w; echo trains\n"
        "while :; do sleep 0.1; done\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_PASSWORD")}
    line = f"trap : INT; {BULLA} run --output made --kind pretrain --key p.key -- sh train.sh; echo rc=$?"
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.execve("/bin/sh", ["sh", "-c", line], environment)
    shown = b""

    def until(text):
        nonlocal shown
        end = time.monotonic() + 30
        while text not in shown and time.monotonic() < end:
            shown += os.read(terminal, 4096)

    until(b"Password of p.key")
    time.sleep(0.3)
    os.write(terminal, b"secret\n")
    until(b"trains")
    os.write(terminal, b"\x03")
    until(b"rc=")
    os.waitpid(process, 0)
    assert b"tidied up" in shown and b"rc=3" in shown, shown.decode()
    assert not (tmp_path / "made" / "model.sig").exists()
    assert '"end"' in (tmp_path / "made.training.jsonl").read_text()
