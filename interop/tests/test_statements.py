"""Statements about models, read by in-toto's own library, which refuses members that it does not know."""

import base64
import json

import pytest
from conftest import bulla
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.predicates.vsa.v1 import vsa_pb2
from in_toto_attestation.v1 import statement as in_toto


@pytest.fixture
def chain(tmp_path):
    """A base and a model that was made of it, by one party; and a trust file."""
    key = tmp_path / "signer.key"
    bulla("key", "generate", "--no-password", "--output", key)
    for name in ("base", "tuned", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.bin").write_text(name)
        bulla("sign", tmp_path / name, "--key", key)
    fingerprint = json.loads(bulla("key", "show", tmp_path / "signer.pub", "--json"))["fingerprint"]
    (tmp_path / "trust.yaml").write_text(
        "signing_authorities:\n"
        f"  lab: {{ type: key, may_sign: [oms, provenance], keys: [{{ public_key: signer.pub, fingerprint: \"{fingerprint}\" }}] }}\n"
        "lineage: { no_parents_signed_by: [lab] }\n"
    )
    bulla("attest", "provenance", tmp_path / "base", "--kind", "pretrain", "--key", key)
    return tmp_path


def statement(chain, *arguments):
    """Makes a statement, and has in-toto's library read it."""
    bundle = chain / "bundle.json"
    bundle.unlink(missing_ok=True)
    bulla("attest", *arguments, "--key", chain / "signer.key", "--output", bundle)
    envelope = json.loads(bundle.read_text())["dsseEnvelope"]
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    document = json.loads(base64.b64decode(envelope["payload"]))
    # Extension fields are named VENDOR_FIELD; what does not know them passes them over.
    predicate = {k: v for k, v in document["predicate"].items() if not k.startswith("bulla_")}
    read = in_toto.Statement.copy_from_pb(
        json_format.ParseDict({**document, "predicate": predicate}, in_toto.spb.Statement())
    )
    read.validate()
    return document, predicate


def test_provenance(chain):
    parameters = chain / "parameters.yaml"
    parameters.write_text("lr: 0.001")
    results = chain / "results.json"
    results.write_text('{"accuracy": 0.93}')
    document, predicate = statement(
        chain, "provenance", chain / "tuned", "--kind", "finetune", "--base-model", chain / "base",
        "--dataset", chain / "data", "--dataset", "s3://lake/2026", "--hyperparameters", parameters,
        "--evaluation", results, "--pipeline", "nightly", "--invocation", "https://ci.example/7",
    )  # fmt: skip
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    read = json_format.ParseDict(predicate, provenance_pb2.Provenance())
    assert read.build_definition.build_type == "urn:bulla:build:finetune:v1"
    roles = [d.annotations["role"] for d in read.build_definition.resolved_dependencies]
    assert roles[:6] == [
        "base-model", "signature", "training-data", "signature", "training-data", "hyperparameters",
    ]  # fmt: skip
    assert read.run_details.metadata.invocation_id == "https://ci.example/7"
    # The model is named by its OMS root, which OMS tools know, and by the digest that binds names.
    digest = json.loads(bulla("digest", chain / "tuned", "--json"))
    assert document["subject"][0]["digest"] == {
        "sha256": digest["oms"].removeprefix("oms:"),
        "omsManifestV1": digest["oms_manifest_v1"].removeprefix("oms-manifest-v1:"),
    }


def test_a_composition(chain):
    _, predicate = statement(
        chain, "composition", chain / "tuned", "--base-model", chain / "base",
        "--retrieval-index", chain / "data",
    )  # fmt: skip
    json_format.ParseDict(predicate, provenance_pb2.Provenance())


def test_a_test_result(chain):
    document, predicate = statement(
        chain, "test-result", chain / "tuned", "--passed", "a", "--failed", "b", "--url", "https://ci.example"
    )
    assert document["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    read = json_format.ParseDict(predicate, test_result_pb2.TestResult())
    assert read.result == "FAILED"


def test_a_verdict(chain):
    document, predicate = statement(
        chain, "verdict", chain / "base", "--trust", chain / "trust.yaml", "--verifier", "https://gate.example"
    )
    assert document["predicateType"] == "https://slsa.dev/verification_summary/v1"
    # As SLSA's specification has them; the library knows no version, and takes the list for one text.
    assert predicate["verifier"].pop("version").keys() == {"bulla"}
    assert predicate.pop("verifiedLevels") == ["SLSA_BUILD_LEVEL_1"]
    read = json_format.ParseDict(predicate, vsa_pb2.VerificationSummary())
    assert read.verification_result == "PASSED"


def test_our_own(chain):
    statement(chain, "dataset", chain / "data", "--license", "CC-BY-4.0")
    statement(chain, "evaluation", chain / "tuned", "--metric", "accuracy=0.93")
    statement(chain, "release", chain / "tuned", "--name", "n", "--sequence", 1, "--expires", "9d")
