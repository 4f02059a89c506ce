// Drives Sigstore's JavaScript clients: they are libraries.
//
//   authority.mjs sign    AUTHORITY-URL REKOR-VERSION KIND TOKEN FILE BUNDLE
//   authority.mjs verify  TRUSTED-ROOT IDENTITY ISSUER FILE BUNDLE

import { readFileSync, writeFileSync } from "node:fs";
import { bundleFromJSON, bundleToJSON } from "@sigstore/bundle";
import { TrustedRoot } from "@sigstore/protobuf-specs";
import {
  DSSEBundleBuilder, FulcioSigner, MessageSignatureBundleBuilder, RekorWitness, TSAWitness,
} from "@sigstore/sign";
import { toSignedEntity, toTrustMaterial, Verifier } from "@sigstore/verify";

const [mode, ...given] = process.argv.slice(2);

async function sign(url, version, kind, token, file, output) {
  const signer = new FulcioSigner({
    fulcioBaseURL: url,
    identityProvider: { getToken: async () => token },
  });
  const witnesses = [
    new RekorWitness({
      rekorBaseURL: url,
      majorApiVersion: Number(version),
      entryType: kind === "intoto" ? "intoto" : "dsse",
    }),
    new TSAWitness({ tsaBaseURL: url }),
  ];
  const data = readFileSync(file);
  const bundle =
    kind === "message"
      ? await new MessageSignatureBundleBuilder({ signer, witnesses }).create({ data })
      : await new DSSEBundleBuilder({ signer, witnesses }).create({
          data, type: "application/vnd.in-toto+json",
        });
  writeFileSync(output, JSON.stringify(bundleToJSON(bundle)));
}

function verify(root, identity, issuer, file, input) {
  const material = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(readFileSync(root))));
  const bundle = bundleFromJSON(JSON.parse(readFileSync(input)));
  const message = bundle.content.$case === "messageSignature";
  const entity = toSignedEntity(bundle, message ? readFileSync(file) : undefined);
  const verifier = new Verifier(material, { ctlogThreshold: 1, tlogThreshold: 1, timestampThreshold: 1 });
  verifier.verify(entity, { subjectAlternativeName: identity, extensions: { issuer } });
}

await { sign, verify }[mode](...given);
