"""What the tests share: models, keys, authorities, and the two programs."""

import datetime
import json
import os
import pathlib
import socket
import subprocess
import urllib.request

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

BULLA = os.environ["BULLA"]
PEER = pathlib.Path(os.sys.executable).parent / "model_signing"


def run(*arguments, code=0, **environment):
    """Runs a program, checks how it ends, and returns what it said."""
    result = subprocess.run(
        [str(a) for a in arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        check=False,
    )
    said = result.stdout + result.stderr
    assert result.returncode == code, f"{arguments} ended with {result.returncode}:\n{said}"
    return said


def bulla(*arguments, **how):
    return run(BULLA, *arguments, **how)


def peer(*arguments, **how):
    return run(PEER, *arguments, **how)


def openssl(*arguments, **how):
    return run("openssl", *arguments, **how)


@pytest.fixture
def model(tmp_path):
    """A directory that tries the order of names: `a-b`, `a/b`, spaces, colons, unicode."""
    root = tmp_path / "model"
    for name, contents in {
        "a/b": b"1",
        "a-b": b"2",
        "a.b": b"3",
        "weights.safetensors": bytes(range(256)) * 4096,
        "name with spaces.txt": b"4",
        "name:with:colons": b"5",
        "modèle/模型.bin": b"6",
        "empty": b"",
        ".gitignore": b"ignored",
        ".git/config": b"ignored",
        "deep/er/and/deeper/file": b"7",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    return root


@pytest.fixture
def small(tmp_path):
    """A directory with one file."""
    root = tmp_path / "small"
    root.mkdir()
    (root / "weights").write_bytes(b"weights")
    return root


CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


@pytest.fixture(params=CURVES)
def curve(request):
    return request.param


@pytest.fixture
def key(tmp_path, curve):
    """A pair made by openssl."""
    private, public = tmp_path / "signer.key", tmp_path / "signer.pub"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    return private, public


class Authority:
    """A root, an intermediate and a signer's certificate."""

    def __init__(self, folder, curve):
        self.folder = folder
        root, root_key = self._issue("Root", ec.SECP384R1(), None, ca=True)
        middle, middle_key = self._issue("Intermediate", ec.SECP256R1(), (root, root_key), ca=True)
        leaf, leaf_key = self._issue("Signer", curve, (middle, middle_key), ca=False)
        self.root = self._write("root.pem", root)
        self.middle = self._write("intermediate.pem", middle)
        self.leaf = self._write("leaf.pem", leaf)
        self.key = folder / "leaf.key"
        self.key.write_bytes(
            leaf_key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def _write(self, name, certificate):
        path = self.folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path

    @staticmethod
    def _issue(name, curve, issuer, *, ca):
        key = ec.generate_private_key(curve)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer[0].subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not ca,
                    key_cert_sign=ca,
                    crl_sign=ca,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )
        if not ca:
            names = [x509.RFC822Name("team@example.com")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
            uses = [x509.ExtendedKeyUsageOID.CODE_SIGNING]
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


@pytest.fixture
def authority(tmp_path, curve):
    return Authority(tmp_path, CURVES[curve])


class Sigstore:
    """A development authority that is being served."""

    identity = "ada@example.com"

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.folder = folder / "authority"
        self.issuer = f"{self.url}/dev"
        bulla("authority", "init", self.folder, "--dev-issuer", "--no-password", "--url", self.url)
        self.process = subprocess.Popen(
            [BULLA, "authority", "serve", self.folder, "--json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = json.loads(self.process.stdout.readline())
        assert ready["verdict"] == "ready", ready

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=30) == 0

    def file(self, name):
        return self.folder / f"development_{name}.json"

    def token(self):
        """Good for one certificate."""
        request = urllib.request.Request(
            f"{self.issuer}/token?email={self.identity}", method="POST", data=b""
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["id_token"]

    def only_rekor(self, version, name, target):
        """One of the files, with only one version of the log to go to."""
        document = json.loads(self.file(name).read_text())
        config = document.get("signingConfig", document)
        logs = config["rekorTlogUrls"]
        config["rekorTlogUrls"] = [log for log in logs if log["majorApiVersion"] == version]
        target.write_text(json.dumps(document))
        return target


@pytest.fixture(scope="session")
def sigstore(tmp_path_factory):
    sigstore = Sigstore(tmp_path_factory.mktemp("sigstore"))
    yield sigstore
    sigstore.stop()


@pytest.fixture(params=[1, 2], ids=["rekor-v1", "rekor-v2"])
def version(request):
    return request.param


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "artifact"
    path.write_text("hello")
    return path
