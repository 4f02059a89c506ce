"""Bulla's side of Sigstore: what it signs others verify, and the other way round, against `bulla authority`."""

import base64
import http.server
import json
import pathlib
import subprocess
import threading
import time

import pytest
from conftest import PEER, bulla, openssl, run
from test_authority import javascript, python, python_verify


def config(sigstore):
    return ("--trust-config", sigstore.file("trust_config"))


def by(sigstore, identity=None):
    return (
        *config(sigstore), "--identity", identity or sigstore.identity,
        "--identity-provider", sigstore.issuer,
    )  # fmt: skip


def with_token(sigstore, version):
    return (
        *config(sigstore), "--yes", "--rekor-version", version,
        "--identity-token", sigstore.token(),
    )  # fmt: skip


def test_a_file_that_bulla_signs(sigstore, version, artifact):
    bulla("blob", "sign", artifact, *with_token(sigstore, version))
    bundle = artifact.with_name("artifact.sigstore.json")
    bulla("blob", "verify", artifact, *by(sigstore))
    bulla("blob", "verify", artifact, *by(sigstore, "*@example.com"))
    assert "expected eve@example.com" in bulla(
        "blob", "verify", artifact, *by(sigstore, "eve@example.com"), code=1
    )
    python_verify(sigstore, bundle, artifact)
    root = sigstore.file("trusted_root")
    javascript("verify", root, sigstore.identity, sigstore.issuer, artifact, bundle)


def test_a_file_that_python_signs(sigstore, version, artifact):
    bundle = artifact.with_name("artifact.sigstore.json")
    python(
        sigstore, "sign", "--rekor-version", version, "--identity-token", sigstore.token(),
        "--bundle", bundle, artifact,
    )  # fmt: skip
    bulla("blob", "verify", artifact, *by(sigstore))
    said = bulla("inspect", bundle)
    assert sigstore.identity in said and sigstore.issuer in said and "log entry" in said
    artifact.write_text("other")
    assert "not the one that was signed" in bulla("blob", "verify", artifact, *by(sigstore), code=1)


def test_a_file_that_javascript_signs(sigstore, version, artifact):
    bundle = artifact.with_name("artifact.sigstore.json")
    javascript("sign", sigstore.url, version, "message", sigstore.token(), artifact, bundle)
    bulla("blob", "verify", artifact, *by(sigstore))


def test_a_model_that_bulla_signs(sigstore, version, model):
    bulla("sign", model, *with_token(sigstore, version))
    bulla("verify", model, *by(sigstore))
    verify = (
        PEER, "verify", "sigstore", "--trust_config", sigstore.file("trust_config"),
        "--identity", sigstore.identity, "--identity_provider", sigstore.issuer,
        "--signature", model / "model.sig", model,
    )  # fmt: skip
    run(*verify)
    (model / "a-b").write_bytes(b"other")
    run(*verify, code=1)
    assert "changed: a-b" in bulla("verify", model, *by(sigstore), code=1)


def test_a_model_that_python_signs(sigstore, version, model, tmp_path):
    only = sigstore.only_rekor(version, "trust_config", tmp_path / "config.json")
    run(
        PEER, "sign", "sigstore", "--trust_config", only, "--identity_token", sigstore.token(),
        "--signature", model / "model.sig", model,
    )  # fmt: skip
    bulla("verify", model, *by(sigstore))
    bulla("verify", model, *by(sigstore, "eve@example.com"), code=1)


def test_what_goes_wrong_names_the_service(sigstore, small, tmp_path):
    def sign(*arguments, code=3):
        return bulla("sign", small, "--yes", *arguments, code=code)

    token = sigstore.token()
    sign(*config(sigstore), "--identity-token", token, code=0)
    signature = (small / "model.sig").read_bytes()
    # Once is enough.
    said = sign(*config(sigstore), "--identity-token", token)
    assert "certificate authority (Fulcio)" in said and "401" in said
    # A log that is not there; one that is not trusted; a root of somebody else.
    services = json.loads(sigstore.file("signing_config").read_text())
    services["rekorTlogUrls"][0]["url"] = "http://127.0.0.1:9"
    services["rekorTlogUrls"] = services["rekorTlogUrls"][:1]
    broken = tmp_path / "signing_config.json"
    broken.write_text(json.dumps(services))
    how = ("--signing-config", broken, "--trusted-root")
    said = sign(*how, sigstore.file("trusted_root"), "--identity-token", sigstore.token())
    assert "transparency log (Rekor) at http://127.0.0.1:9" in said and "tried 3 times" in said
    root = json.loads(sigstore.file("trusted_root").read_text())
    root["tlogs"] = []
    (tmp_path / "root.json").write_text(json.dumps(root))
    said = sign(
        "--signing-config", sigstore.file("signing_config"), "--trusted-root", tmp_path / "root.json",
        "--identity-token", sigstore.token(),
    )  # fmt: skip
    assert "what it answered does not hold" in said
    expired = ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=")
        for part in (b"{}", json.dumps({"iss": "x", "sub": "y", "aud": "sigstore", "exp": 1}).encode(), b"x")
    )
    assert "it expired at" in sign(*config(sigstore), "--identity-token", expired)
    # Nothing was lost meanwhile.
    assert (small / "model.sig").read_bytes() == signature


def timestamp_root(sigstore, tmp_path):
    root = json.loads(sigstore.file("trusted_root").read_text())
    der = root["timestampAuthorities"][0]["certChain"]["certificates"][-1]["rawBytes"]
    pem = tmp_path / "timestamp-root.pem"
    pem.write_text(f"-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n")
    openssl("x509", "-inform", "DER", "-in", der_file(tmp_path, der), "-out", pem)
    return pem


def der_file(tmp_path, text):
    path = tmp_path / "root.der"
    path.write_bytes(base64.b64decode(text))
    return path


def test_a_certificate_with_a_timestamp(sigstore, small, authority, tmp_path):
    url = f"{sigstore.url}/api/v1/timestamp"
    bulla(
        "sign", small, "--key", authority.key, "--certificate", authority.leaf,
        "--chain", authority.middle, "--timestamp-url", url,
    )  # fmt: skip
    root = timestamp_root(sigstore, tmp_path)
    said = bulla("verify", small, "--ca", authority.root, "--timestamp-roots", root)
    assert "signed at" in said
    said = bulla("verify", small, "--ca", authority.root, "--timestamp-roots", authority.root, code=1)
    assert "none of the trusted timestamp authorities" in said


class Stamps(http.server.BaseHTTPRequestHandler):
    """OpenSSL as a timestamp authority, with whatever key and precision."""

    def do_POST(self):
        folder = self.server.folder
        (folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        subprocess.run(
            ["openssl", "ts", "-reply", "-config", "ts.cnf", "-queryfile", "query", "-out", "reply"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        self.send_response(200)
        self.end_headers()
        self.wfile.write((folder / "reply").read_bytes())

    def log_message(self, *_):
        pass


@pytest.fixture(params=["RSA", "EC"])
def stamps(request, tmp_path):
    folder = tmp_path / "stamps"
    folder.mkdir()
    (folder / "serial").write_text("01")
    (folder / "ts.cnf").write_text(
        "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n"
        "keyUsage=keyCertSign\n[leaf]\nkeyUsage=critical,digitalSignature\n"
        "extendedKeyUsage=critical,timeStamping\n[tsa]\ndefault_tsa=t\n[t]\nserial=serial\n"
        "signer_cert=leaf.pem\nsigner_key=leaf.key\ncerts=leaf.pem\nsigner_digest=sha256\n"
        "default_policy=1.2.3.4\ndigests=sha256,sha384,sha512\nclock_precision_digits=3\n"
        "ess_cert_id_alg=sha256\n"
    )
    kind = ("RSA", "-pkeyopt", "rsa_keygen_bits:2048") if request.param == "RSA" else (
        "EC", "-pkeyopt", "ec_paramgen_curve:P-384",
    )  # fmt: skip
    for name in ("root", "leaf"):
        openssl("genpkey", "-algorithm", *kind, "-out", folder / f"{name}.key")
    common = ("-config", folder / "ts.cnf", "-days", "2")
    openssl(
        "req", "-x509", "-new", "-key", folder / "root.key", "-subj", "/CN=Stamp root",
        "-extensions", "ca", *common, "-out", folder / "root.pem",
    )  # fmt: skip
    openssl(
        "req", "-x509", "-new", "-key", folder / "leaf.key", "-subj", "/CN=Stamps", "-extensions", "leaf",
        "-CA", folder / "root.pem", "-CAkey", folder / "root.key", *common, "-out", folder / "leaf.pem",
    )  # fmt: skip
    server = http.server.HTTPServer(("127.0.0.1", 0), Stamps)
    server.folder = folder
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", folder / "root.pem"
    server.shutdown()


def test_openssl_as_timestamp_authority(stamps, small, authority):
    """RSA and ECDSA, and milliseconds."""
    url, root = stamps
    times = []
    # One stamp in a thousand is of a whole second, which is written without a fraction.
    while len(times) < 5 and not any("." in at for at in times):
        bulla(
            "sign", small, "--key", authority.key, "--certificate", authority.leaf,
            "--chain", authority.middle, "--timestamp-url", url,
        )  # fmt: skip
        said = bulla("verify", small, "--ca", authority.root, "--timestamp-roots", root, "--json")
        [time] = json.loads(said)["models"][0]["evidence"]
        assert time["by"].startswith("CN=Stamps"), time
        times.append(time["at"])
    assert any("." in at for at in times), times


def test_a_key_in_a_log(sigstore, version, small, tmp_path):
    private, public = tmp_path / "signer.key", tmp_path / "signer.pub"
    bulla("key", "generate", "--no-password", "--output", private)
    how = ("--key", private, "--log-url", sigstore.url, "--rekor-version", version, "--yes")
    bulla("sign", small, *how)
    said = bulla("verify", small, "--key", public, "--trusted-root", sigstore.file("trusted_root"))
    assert f"logged     {sigstore.url}" in said
    blob = tmp_path / "blob"
    blob.write_text("x")
    bulla("blob", "sign", blob, *how)
    bulla("blob", "verify", blob, "--key", public, "--trusted-root", sigstore.file("trusted_root"))


def test_a_root_of_ones_own_by_tuf(sigstore, artifact, tmp_path):
    root = sigstore.folder / "development_tuf" / "root.json"
    fresh = tmp_path / "trusted_root.json"
    where = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    url = f"{sigstore.url}/development_tuf"
    said = bulla("trust", "update", "--url", url, "--root", root, "--output", fresh, **where)
    assert "signature log" in said
    bulla("blob", "sign", artifact, *with_token(sigstore, 2))
    bulla(
        "blob", "verify", artifact, "--trusted-root", fresh, "--identity", sigstore.identity,
        "--identity-provider", sigstore.issuer,
    )  # fmt: skip
    changed = json.loads(root.read_text())
    changed["signed"]["expires"] = "2020-01-01T00:00:00Z"
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(changed))
    bulla("trust", "update", "--url", url, "--root", bad, "--output", fresh, code=3, **where)


def test_twenty_gigabytes(sigstore, tmp_path):
    """A sparse file: as long as any other, and no disk."""
    from test_large import peak_mib

    blob = tmp_path / "large.bin"
    with blob.open("wb") as file:
        file.truncate(20 << 30)
    private, public = tmp_path / "signer.key", tmp_path / "signer.pub"
    bulla("key", "generate", "--no-password", "--output", private)
    peaks = [
        peak_mib("blob", "sign", blob, "--key", private),
        peak_mib("blob", "verify", blob, "--key", public),
        peak_mib("blob", "sign", blob, *with_token(sigstore, 2)),
        peak_mib("blob", "verify", blob, *by(sigstore)),
    ]
    assert max(peaks) < 100, peaks
