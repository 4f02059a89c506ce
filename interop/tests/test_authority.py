"""Unchanged clients of Sigstore sign and verify against `bulla authority`, with their public flags only."""

import json
import os
import pathlib

import pytest

from conftest import PEER, run

PYTHON = PEER.parent / "sigstore"
NODE = pathlib.Path(os.environ["NODE_PEERS"])
STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "artifact", "digest": {"sha256": "00" * 32}}],
    "predicateType": "https://example.com/v1",
    "predicate": {},
}


def python(sigstore, *arguments, **how):
    return run(PYTHON, "--trust-config", sigstore.file("trust_config"), *arguments, **how)


def python_verify(sigstore, bundle, artifact, *, identity=None, code=0):
    return python(
        sigstore, "verify", "identity", "--bundle", bundle,
        "--cert-identity", identity or sigstore.identity, "--cert-oidc-issuer", sigstore.issuer,
        artifact, code=code,
    )  # fmt: skip


def test_sigstore_python(sigstore, version, artifact, tmp_path):
    bundle = tmp_path / "bundle.json"
    python(
        sigstore, "sign", "--rekor-version", version, "--identity-token", sigstore.token(),
        "--bundle", bundle, artifact,
    )  # fmt: skip
    python_verify(sigstore, bundle, artifact)
    python_verify(sigstore, bundle, artifact, identity="eve@example.com", code=1)
    artifact.write_text("other")
    python_verify(sigstore, bundle, artifact, code=1)


def test_a_token_is_good_once(sigstore, artifact, tmp_path):
    token = sigstore.token()
    for code in (0, 1):
        python(
            sigstore, "sign", "--identity-token", token, "--overwrite",
            "--bundle", tmp_path / "bundle.json", artifact, code=code,
        )  # fmt: skip


def test_model_signing(sigstore, version, model, tmp_path):
    config = sigstore.only_rekor(version, "trust_config", tmp_path / "config.json")
    signature = tmp_path / "model.sig"
    run(
        PEER, "sign", "sigstore", "--trust_config", config, "--identity_token", sigstore.token(),
        "--signature", signature, model,
    )  # fmt: skip
    verify = (
        PEER, "verify", "sigstore", "--trust_config", sigstore.file("trust_config"),
        "--identity", sigstore.identity, "--identity_provider", sigstore.issuer,
        "--signature", signature, model,
    )  # fmt: skip
    run(*verify)
    (model / "weights.safetensors").write_bytes(b"other")
    run(*verify, code=1)


def javascript(*arguments, code=0):
    program = NODE / "node_modules" / "node" / "bin" / "node"
    return run(program, NODE / "authority.mjs", *arguments, code=code)


# @sigstore/sign 5.1.0 sends envelopes to the newer log as an entry that the newer log no longer has.
@pytest.mark.parametrize(
    ("version", "kind"), [(1, "message"), (1, "dsse"), (1, "intoto"), (2, "message")]
)
def test_sigstore_js(sigstore, version, kind, artifact, tmp_path):
    bundle = tmp_path / "bundle.json"
    artifact.write_text(json.dumps(STATEMENT))
    javascript("sign", sigstore.url, version, kind, sigstore.token(), artifact, bundle)
    root = sigstore.file("trusted_root")
    verify = ("verify", root, sigstore.identity, sigstore.issuer, artifact, bundle)
    javascript(*verify)
    javascript("verify", root, "eve@example.com", *verify[3:], code=1)
    if kind == "message":
        python_verify(sigstore, bundle, artifact)
        artifact.write_text("other")
        javascript(*verify, code=1)


def test_the_update_repository(sigstore, artifact, tmp_path):
    """A client that was given the repository's root once needs no other file."""
    where = {"HOME": str(tmp_path)}
    where |= {f"XDG_{kind}_HOME": str(tmp_path / kind) for kind in ("DATA", "CACHE", "CONFIG")}
    url = f"{sigstore.url}/development_tuf"
    instance = (PYTHON, "--instance", url)
    run(*instance, "trust-instance", sigstore.folder / "development_tuf" / "root.json", **where)
    bundle = tmp_path / "bundle.json"
    run(
        *instance, "sign", "--identity-token", sigstore.token(), "--bundle", bundle, artifact,
        **where,
    )  # fmt: skip
    run(
        *instance, "verify", "identity", "--bundle", bundle, "--cert-identity", sigstore.identity,
        "--cert-oidc-issuer", sigstore.issuer, artifact, **where,
    )  # fmt: skip
