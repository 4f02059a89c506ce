"""cosign's key files, in both directions. Needs COSIGN; `make interop-go` runs it."""

import os

import pytest
from conftest import bulla, run

COSIGN = os.environ.get("COSIGN")


def cosign(*arguments, **how):
    assert COSIGN, "COSIGN names no program: run `make interop-go`"
    return run(COSIGN, *arguments, **how)


def test_bulla_signs_with_a_key_of_cosign(tmp_path, small):
    cosign("generate-key-pair", "--output-key-prefix", tmp_path / "cosign", COSIGN_PASSWORD="secret")
    private, public = tmp_path / "cosign.key", tmp_path / "cosign.pub"
    assert "BEGIN ENCRYPTED SIGSTORE PRIVATE KEY" in private.read_text()
    bulla("sign", small, "--key", private, COSIGN_PASSWORD="secret")
    bulla("verify", small, "--key", public)
    said = bulla("sign", small, "--key", private, COSIGN_PASSWORD="other", code=3)
    assert "password does not open" in said


def test_an_empty_password_is_a_password(tmp_path, small):
    cosign("generate-key-pair", "--output-key-prefix", tmp_path / "cosign", COSIGN_PASSWORD="")
    bulla("sign", small, "--key", tmp_path / "cosign.key", COSIGN_PASSWORD="")
    bulla("verify", small, "--key", tmp_path / "cosign.pub")


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-3072"])
def test_cosign_signs_with_a_key_of_bulla(tmp_path, algorithm):
    private, public = tmp_path / "signer.key", tmp_path / "signer.pub"
    bulla(
        "key", "generate", "--output", private, "--algorithm", algorithm, "--format", "cosign",
        COSIGN_PASSWORD="secret",
    )  # fmt: skip
    said = cosign("public-key", "--key", private, COSIGN_PASSWORD="secret")
    assert public.read_text().strip() in said
    if algorithm not in ("ecdsa-p256", "rsa-3072"):
        return  # cosign 3.1.2 does not verify its own blob bundles by the other two

    blob, bundle = tmp_path / "blob", tmp_path / "bundle"
    blob.write_bytes(b"blob")
    cosign(
        "sign-blob", "--yes", "--key", private, "--use-signing-config=false", "--tlog-upload=false",
        "--bundle", bundle, blob, COSIGN_PASSWORD="secret",
    )  # fmt: skip
    cosign("verify-blob", "--key", public, "--insecure-ignore-tlog", "--bundle", bundle, blob)


def test_a_key_changes_its_file_format_and_stays_the_same(tmp_path, small):
    first, second = tmp_path / "first.key", tmp_path / "second.key"
    bulla("key", "generate", "--output", first, BULLA_PASSWORD="one")
    bulla(
        "key", "encrypt", first, "--output", second, "--format", "cosign",
        BULLA_PASSWORD="one", BULLA_NEW_PASSWORD="two",
    )  # fmt: skip
    said = cosign("public-key", "--key", second, COSIGN_PASSWORD="two")
    assert (tmp_path / "first.pub").read_text().strip() in said
