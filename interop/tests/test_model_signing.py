"""Bulla and the Python reference, model-signing 1.1.1, in both directions."""

import json
import os
import time

import pytest
from conftest import bulla, peer


def flip(path):
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)


# Bulla signs, Python verifies.


def test_python_verifies_a_key_signature(model, key):
    private, public = key
    bulla("sign", model, "--key", private)
    verify = ["verify", "key", model, "--signature", model / "model.sig", "--public_key", public]
    peer(*verify)
    flip(model / "weights.safetensors")
    peer(*verify, code=1)


def test_python_verifies_a_certificate_signature(model, authority):
    bulla(
        "sign", model, "--key", authority.key,
        "--certificate", authority.leaf, "--chain", authority.middle,
    )  # fmt: skip
    verify = [
        "verify", "certificate", model, "--signature", model / "model.sig",
        "--certificate_chain", authority.root,
    ]  # fmt: skip
    peer(*verify)
    flip(model / "a-b")
    peer(*verify, code=1)


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_python_verifies_a_signature_with_ignored_paths(model, key):
    private, public = key
    bulla("sign", model, "--key", private, "--ignore", "deep", "--ignore", "a/b")
    (model / "deep/another").write_bytes(b"not signed")
    verify = ["verify", "key", model, "--signature", model / "model.sig", "--public_key", public]
    peer(*verify)
    (model / "another").write_bytes(b"not signed")
    peer(*verify, code=1)


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_python_verifies_what_was_measured_in_parts(model, key, tmp_path):
    private, public = key
    parts = [tmp_path / f"{number}.json" for number in range(3)]
    for number, part in enumerate(parts):
        bulla("digest", model, "--partition", f"{number}/3", "--job", "a", "--output", part)
    bulla("sign", model, "--key", private, "--from-partials", *parts, "--job", "a")
    verify = ["verify", "key", model, "--signature", model / "model.sig", "--public_key", public]
    peer(*verify)
    flip(model / "weights.safetensors")
    peer(*verify, code=1)


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_python_verifies_what_was_signed_with_a_cache(model, key, tmp_path):
    private, public = key
    sign = ["sign", model, "--key", private, "--digest-cache", tmp_path / "cache"]
    verify = ["verify", "key", model, "--signature", model / "model.sig", "--public_key", public]
    for _ in range(2):
        time.sleep(0.3)  # what was just written is not remembered
        bulla(*sign)
        peer(*verify)
    flip(model / "weights.safetensors")
    peer(*verify, code=1)
    bulla(*sign)
    peer(*verify)


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_python_verifies_a_signature_beside_claims(model, key):
    private, public = key
    bulla("sign", model, "--key", private)
    (model / "claims.jsonl").write_text("{}\n")
    peer("verify", "key", model, "--signature", model / "model.sig", "--public_key", public)


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_python_verifies_a_signature_over_links_to_files(model, key):
    private, public = key
    (model / "link").symlink_to("weights.safetensors")
    (model / "a/up").symlink_to("../a-b")
    bulla("sign", model, "--key", private, "--follow-symlinks")
    peer(
        "verify", "key", model, "--allow_symlinks",
        "--signature", model / "model.sig", "--public_key", public,
    )  # fmt: skip


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_python_verifies_a_single_file_with_compat(tmp_path, key):
    private, public = key
    file = tmp_path / "weights.bin"
    file.write_bytes(b"weights")
    verify = [
        "verify", "key", file, "--signature", tmp_path / "weights.bin.sig",
        "--public_key", public,
    ]  # fmt: skip
    bulla("sign", file, "--key", private, "--compat", "model-signing")
    peer(*verify)
    # The specification's own form, which 1.1.1 does not read: this test tells when it does.
    bulla("sign", file, "--key", private)
    peer(*verify, code=1)
    bulla("verify", file, "--key", public)


# Python signs, Bulla verifies.


def test_bulla_verifies_a_key_signature(model, key):
    private, public = key
    peer("sign", "key", model, "--signature", model / "model.sig", "--private_key", private)
    bulla("verify", model, "--key", public)
    flip(model / "weights.safetensors")
    assert "changed: weights.safetensors" in bulla("verify", model, "--key", public, code=1)


def test_bulla_verifies_a_certificate_signature(model, authority):
    peer(
        "sign", "certificate", model, "--signature", model / "model.sig",
        "--private_key", authority.key, "--signing_certificate", authority.leaf,
        "--certificate_chain", authority.middle,
    )  # fmt: skip
    bulla("verify", model, "--ca", authority.root)
    bulla("verify", model, "--ca", authority.root, "--signer", "team@example.com")
    bulla("verify", model, "--ca", authority.root, "--signer", "eve@example.com", code=1)
    bulla("verify", model, "--ca", authority.leaf, code=1)


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_bulla_verifies_a_signature_with_ignored_paths(model, key):
    private, public = key
    peer(
        "sign", "key", model, "--signature", model / "model.sig", "--private_key", private,
        "--ignore-paths", model / "deep",
    )  # fmt: skip
    (model / "deep/another").write_bytes(b"not signed")
    bulla("verify", model, "--key", public)
    (model / "another").write_bytes(b"not signed")
    assert "extra: another" in bulla("verify", model, "--key", public, code=1)


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_bulla_verifies_a_signature_over_links_to_files(model, key):
    private, public = key
    (model / "link").symlink_to("weights.safetensors")
    (model / "a/up").symlink_to("../a-b")
    peer(
        "sign", "key", model, "--allow_symlinks",
        "--signature", model / "model.sig", "--private_key", private,
    )  # fmt: skip
    bulla("verify", model, "--key", public)


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_trap_6_a_linked_directory_is_walked(model, key):
    """Python skips what is in a linked directory, so a file added there still verifies for it."""
    private, public = key
    (model / "link").symlink_to("deep")
    peer(
        "sign", "key", model, "--allow_symlinks",
        "--signature", model / "model.sig", "--private_key", private,
    )  # fmt: skip
    said = bulla("verify", model, "--key", public, code=1)
    assert "extra: link/er/and/deeper/file" in said


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_bulla_verifies_a_single_file(tmp_path, key):
    private, public = key
    file = tmp_path / "weights.bin"
    file.write_bytes(b"weights")
    signature = tmp_path / "weights.bin.sig"
    peer("sign", "key", file, "--signature", signature, "--private_key", private)
    bulla("verify", file, "--key", public)
    file.write_bytes(b"Weights")
    bulla("verify", file, "--key", public, code=1)


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_trap_2_shards_as_python_writes_them(model, key):
    """Python cannot verify its own shards; Bulla can."""
    from model_signing import hashing, signing

    private, public = key
    (model / "empty").unlink()
    config = hashing.Config().use_shard_serialization(shard_size=100_000)
    config.set_ignored_paths(paths=[model / "model.sig"])
    signer = signing.Config().use_elliptic_key_signer(private_key=private)
    signer.set_hashing_config(config).sign(model, model / "model.sig")
    bulla("verify", model, "--key", public)
    flip(model / "weights.safetensors")
    assert "1 shard of 11" in bulla("verify", model, "--key", public, code=1)


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
@pytest.mark.parametrize("algorithm", ["blake2", "blake3"])
def test_other_hashes_as_python_writes_them(model, key, algorithm):
    from model_signing import hashing, signing

    private, public = key
    config = hashing.Config().use_file_serialization(hashing_algorithm=algorithm)
    config.set_ignored_paths(paths=[model / "model.sig"])
    signer = signing.Config().use_elliptic_key_signer(private_key=private)
    signer.set_hashing_config(config).sign(model, model / "model.sig")
    bulla("verify", model, "--key", public)
    flip(model / "a-b")
    bulla("verify", model, "--key", public, code=1)


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_the_root_is_the_same_where_the_order_is(tmp_path, key):
    """For names that sort alike by component and by code point."""
    model = tmp_path / "plain"
    model.mkdir()
    for name in "abc":
        (model / name).write_text(name)
    private, _ = key
    peer("sign", "key", model, "--signature", model / "model.sig", "--private_key", private)
    theirs = json.loads(bulla("inspect", model, "--json"))["subject_sha256"]
    ours = json.loads(bulla("digest", model, "--json"))["oms"]
    assert ours == f"oms:{theirs}"


@pytest.mark.parametrize("curve", ["P-256"], indirect=True)
def test_the_flags_of_model_signing_are_understood(model, key):
    private, public = key
    bulla("sign", model, "--private_key", private, "--signature", model / "model.sig")
    bulla("verify", model, "--public_key", public, "--signature", model / "model.sig")
    bulla("verify", model, f"--public_key={public}", "--ignore_unsigned_files")
    assert os.path.exists(model / "model.sig")
