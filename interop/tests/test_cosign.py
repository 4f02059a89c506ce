"""cosign's key files, in both directions. Needs COSIGN; `make interop-go` runs it."""

import hashlib
import json
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


@pytest.mark.parametrize("version", [1, 2])
def test_cosign_and_the_authority(sigstore, version, tmp_path):
    artifact, token = tmp_path / "artifact", tmp_path / "token"
    artifact.write_text("hello")
    statement = tmp_path / "statement.json"
    digest = hashlib.sha256(b"hello").hexdigest()
    statement.write_text(
        json.dumps(
            {
                "_type": "https://in-toto.io/Statement/v1",
                "subject": [{"name": "artifact", "digest": {"sha256": digest}}],
                "predicateType": "https://example.com/v1",
                "predicate": {},
            }
        )
    )
    config = sigstore.only_rekor(version, "signing_config", tmp_path / "signing_config.json")
    # It takes a token with an ECDSA signature from a file only.
    with_services = ("--yes", "--identity-token", token, "--signing-config", config)
    trusted = ("--trusted-root", sigstore.file("trusted_root"))
    by = ("--certificate-identity", sigstore.identity, "--certificate-oidc-issuer", sigstore.issuer)

    token.write_text(sigstore.token())
    bundle = tmp_path / "blob.json"
    cosign("sign-blob", *with_services, *trusted, "--bundle", bundle, artifact)
    cosign("verify-blob", *trusted, *by, "--bundle", bundle, artifact)

    token.write_text(sigstore.token())
    attested = tmp_path / "attestation.json"
    cosign(
        "attest-blob", *with_services, *trusted, "--statement", statement, "--bundle", attested
    )
    attestation = ("verify-blob-attestation", "--type", "https://example.com/v1", *trusted, *by)
    cosign(*attestation, "--bundle", attested, artifact)

    artifact.write_text("other")
    cosign("verify-blob", *trusted, *by, "--bundle", bundle, artifact, code=1)
    cosign(*attestation, "--bundle", attested, artifact, code=1)


def test_cosign_and_the_update_repository(sigstore, tmp_path):
    where = {"HOME": str(tmp_path), "TUF_ROOT": str(tmp_path / "tuf")}
    root = sigstore.folder / "development_tuf" / "root.json"
    cosign("initialize", "--mirror", f"{sigstore.url}/development_tuf", "--root", root, **where)
    artifact, token, bundle = (tmp_path / name for name in ("artifact", "token", "bundle.json"))
    artifact.write_text("hello")
    token.write_text(sigstore.token())
    cosign("sign-blob", "--yes", "--identity-token", token, "--bundle", bundle, artifact, **where)
    by = ("--certificate-identity", sigstore.identity, "--certificate-oidc-issuer", sigstore.issuer)
    cosign("verify-blob", *by, "--bundle", bundle, artifact, **where)


@pytest.mark.parametrize("version", [1, 2])
def test_bulla_and_cosign_without_keys(sigstore, version, tmp_path):
    artifact, token = tmp_path / "artifact", tmp_path / "token"
    artifact.write_text("hello")
    trusted = ("--trusted-root", sigstore.file("trusted_root"))
    cosign_by = (
        "--certificate-identity", sigstore.identity, "--certificate-oidc-issuer", sigstore.issuer,
    )  # fmt: skip
    by = ("--identity", sigstore.identity, "--identity-provider", sigstore.issuer, *trusted)
    bundle = tmp_path / "artifact.sigstore.json"

    bulla(
        "blob", "sign", artifact, "--yes", "--trust-config", sigstore.file("trust_config"),
        "--rekor-version", version, "--identity-token", sigstore.token(),
    )  # fmt: skip
    cosign("verify-blob", *trusted, *cosign_by, "--bundle", bundle, artifact)

    token.write_text(sigstore.token())
    config = sigstore.only_rekor(version, "signing_config", tmp_path / "signing_config.json")
    cosign(
        "sign-blob", "--yes", "--identity-token", token, "--signing-config", config, *trusted,
        "--bundle", bundle, artifact,
    )  # fmt: skip
    bulla("blob", "verify", artifact, *by)
    bulla("blob", "verify", "sha256:" + hashlib.sha256(b"hello").hexdigest(), "--signature", bundle, *by)
    artifact.write_text("other")
    bulla("blob", "verify", artifact, *by, code=1)


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-3072"])
def test_blobs_signed_with_a_key(tmp_path, algorithm):
    private, public = tmp_path / "signer.key", tmp_path / "signer.pub"
    bulla(
        "key", "generate", "--output", private, "--algorithm", algorithm, "--format", "cosign",
        COSIGN_PASSWORD="secret",
    )  # fmt: skip
    blob = tmp_path / "blob"
    blob.write_bytes(b"blob")
    alone = ("--use-signing-config=false", "--tlog-upload=false", "--yes", "--key", private)

    # The bundle, the older JSON and the detached signature of cosign.
    bundle, older, detached = (tmp_path / name for name in ("bundle", "older", "detached"))
    cosign("sign-blob", *alone, "--bundle", bundle, blob, COSIGN_PASSWORD="secret")
    cosign(
        "sign-blob", *alone, "--new-bundle-format=false", "--bundle", older,
        "--output-signature", detached, blob, COSIGN_PASSWORD="secret",
    )  # fmt: skip
    for signature in (bundle, older, detached):
        bulla("blob", "verify", blob, "--signature", signature, "--key", public)

    # And ours.
    ours, ours_detached = tmp_path / "ours", tmp_path / "ours.sig"
    bulla(
        "blob", "sign", blob, "--key", private, "--output", ours, "--output-signature", ours_detached,
        COSIGN_PASSWORD="secret",
    )  # fmt: skip
    ignore = ("verify-blob", "--key", public, "--insecure-ignore-tlog")
    if algorithm != "ecdsa-p384":  # it takes SHA-256 with every curve, and Bulla the curve's own
        cosign(*ignore, "--signature", ours_detached, blob)
    if algorithm in ("ecdsa-p256", "rsa-3072"):
        cosign(*ignore, "--bundle", ours, blob)


def test_cosign_verifies_a_provenance_by_the_models_root(tmp_path, small):
    key, public = tmp_path / "signer.key", tmp_path / "signer.pub"
    bulla("key", "generate", "--no-password", "--output", key)
    bulla("sign", small, "--key", key)
    bundle = tmp_path / "bundle.json"
    bulla(
        "attest", "provenance", small, "--kind", "pretrain", "--key", key, "--output", bundle
    )
    digest = json.loads(bulla("digest", small, "--json"))["oms"].removeprefix("oms:")

    def verify(digest, code=0):
        cosign(
            "verify-blob-attestation", "--key", public, "--bundle", bundle, "--insecure-ignore-tlog",
            "--type", "https://slsa.dev/provenance/v1", "--digest", digest, "--digestAlg", "sha256",
            code=code,
        )  # fmt: skip

    verify(digest)
    verify("0" * 64, code=1)
