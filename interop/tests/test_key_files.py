"""Key files of OpenSSL and Python, in both directions."""

import pytest
from conftest import bulla, openssl
from cryptography.hazmat.primitives import serialization

EC = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
RSA = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]
ED = ["-algorithm", "ED25519"]


def signs(model, private, public, **environment):
    bulla("sign", model, "--key", private, **environment)
    bulla("verify", model, "--key", public)


@pytest.mark.parametrize("kind", [EC, RSA, ED], ids=["ec", "rsa", "ed25519"])
def test_plain_keys_of_openssl(tmp_path, small, kind):
    private, public = tmp_path / "k", tmp_path / "p"
    openssl("genpkey", *kind, "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    signs(small, private, public)


@pytest.mark.parametrize(
    "how",
    [
        [],
        ["-v2", "aes-128-cbc"],
        ["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"],
        ["-v2", "des3"],
        ["-scrypt"],
        ["-scrypt", "-scrypt_N", "8192"],
    ],
    ids=lambda how: " ".join(how) or "default",
)
def test_encrypted_keys_of_openssl(tmp_path, small, how):
    plain, private, public = tmp_path / "plain", tmp_path / "k", tmp_path / "p"
    openssl("genpkey", *EC, "-out", plain)
    openssl("pkey", "-in", plain, "-pubout", "-out", public)
    openssl("pkcs8", "-topk8", "-in", plain, "-out", private, "-passout", "pass:secret", *how)
    signs(small, private, public, BULLA_PASSWORD="secret")
    said = bulla("sign", small, "--key", private, BULLA_PASSWORD="other", code=3)
    assert "password does not open" in said
    said = bulla("sign", small, "--key", private, code=3)
    assert "--password-file" in said


def test_older_files_of_openssl(tmp_path, small):
    """SEC1 with its parameters before it, and PKCS#1."""
    private, public = tmp_path / "k", tmp_path / "p"
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", private)
    assert "BEGIN EC PARAMETERS" in private.read_text()
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    signs(small, private, public)

    openssl("genrsa", "-traditional", "-out", private, "3072")
    assert "BEGIN RSA PRIVATE KEY" in private.read_text()
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    signs(small, private, public)


def test_old_encryption_of_openssl_has_a_way_out(tmp_path, small):
    plain, private = tmp_path / "plain", tmp_path / "k"
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", plain)
    openssl("ec", "-in", plain, "-aes256", "-passout", "pass:secret", "-out", private)
    assert "openssl pkcs8 -topk8" in bulla("sign", small, "--key", private, code=3)


def test_keys_that_are_too_weak_or_of_another_kind(tmp_path, small):
    private, public = tmp_path / "k", tmp_path / "p"
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    assert "2048 bits" in bulla("sign", small, "--key", private, code=3)
    assert "2048 bits" in bulla("verify", small, "--key", public, code=3)
    openssl("genpkey", *EC[:2], "-pkeyopt", "ec_paramgen_curve:secp256k1", "-out", private)
    assert "P-256, P-384 and P-521" in bulla("sign", small, "--key", private, code=3)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    assert "P-256, P-384 and P-521" in bulla("verify", small, "--key", public, code=3)


@pytest.mark.parametrize(
    "algorithm", ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-3072"]
)
def test_openssl_and_python_open_keys_of_bulla(tmp_path, small, algorithm):
    private = tmp_path / "signer.key"
    password = tmp_path / "password"
    password.write_text("secret\n")
    bulla(
        "key", "generate", "--output", private, "--algorithm", algorithm,
        "--password-file", password,
    )  # fmt: skip
    public = (tmp_path / "signer.pub").read_text()
    assert openssl("pkey", "-in", private, "-passin", "pass:secret", "-pubout") == public
    loaded = serialization.load_pem_private_key(private.read_bytes(), b"secret")
    assert (
        loaded.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
        == public
    )
    signs(small, private, tmp_path / "signer.pub", BULLA_PASSWORD="secret")

    plain = tmp_path / "plain.key"
    bulla("key", "decrypt", private, "--output", plain, "--password-file", password)
    assert openssl("pkey", "-in", plain, "-pubout") == public
    assert plain.stat().st_mode & 0o777 == 0o600


def test_openssl_verifies_rsa_pss_of_bulla(tmp_path, small):
    """PSS with SHA-256 and a salt of 32 bytes, over the DSSE pre-authentication encoding."""
    import base64
    import json

    private = tmp_path / "signer.key"
    bulla("key", "generate", "--output", private, "--algorithm", "rsa-3072", "--no-password")
    bulla("sign", small, "--key", private)
    envelope = json.loads((small / "model.sig").read_text())["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    message, signature = tmp_path / "message", tmp_path / "signature"
    message.write_bytes(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
    signature.write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    openssl(
        "dgst", "-sha256", "-verify", tmp_path / "signer.pub", "-signature", signature,
        "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest", message,
    )  # fmt: skip


@pytest.mark.parametrize("salt", ["digest", "max"])
def test_bulla_verifies_rsa_signatures_of_openssl(tmp_path, small, salt):
    """Seed documents sign with the longest salt; others with one as long as the digest."""
    import base64
    import json

    private, public = tmp_path / "k", tmp_path / "p"
    openssl("genpkey", *RSA, "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    bulla("sign", small, "--key", private)
    bundle = json.loads((small / "model.sig").read_text())
    envelope = bundle["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    message, signature = tmp_path / "message", tmp_path / "signature"
    message.write_bytes(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
    pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{salt}"]
    for padding in [pss, []]:
        openssl("dgst", "-sha256", "-sign", private, "-out", signature, *padding, message)
        envelope["signatures"][0]["sig"] = base64.b64encode(signature.read_bytes()).decode()
        (small / "model.sig").write_text(json.dumps(bundle))
        bulla("verify", small, "--key", public)
    openssl("dgst", "-sha512", "-sign", private, "-out", signature, message)
    envelope["signatures"][0]["sig"] = base64.b64encode(signature.read_bytes()).decode()
    (small / "model.sig").write_text(json.dumps(bundle))
    bulla("verify", small, "--key", public, code=1)
