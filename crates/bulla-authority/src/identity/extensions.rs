//! Fulcio's own certificate extensions (1.3.6.1.4.1.57264.1; its docs/oid-info.md).

use std::collections::BTreeMap;

use bulla::Fault;
use const_oid::ObjectIdentifier;
use der::Encode as _;
use der::asn1::Utf8StringRef;
use x509_cert::ext::Extension;

use crate::x509::{malformed, raw_extension};

const ARC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");

/// The last number of an extension's identifier.
pub(crate) type Number = u8;

/// The issuer, in the old encoding.
const ISSUER: Number = 1;
/// The issuer.
const ISSUER_V2: Number = 8;

/// Extensions by their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extensions(BTreeMap<Number, String>);

impl Extensions {
    /// Those that say who issued the token.
    pub(crate) fn of_issuer(url: &str) -> Self {
        Self(BTreeMap::from([(ISSUER, url.to_owned()), (ISSUER_V2, url.to_owned())]))
    }

    pub(crate) fn insert(&mut self, number: Number, value: String) {
        self.0.insert(number, value);
    }

    #[cfg(test)]
    pub(crate) fn get(&self, number: Number) -> Option<&str> {
        self.0.get(&number).map(String::as_str)
    }

    /// As they stand in a certificate.
    pub(crate) fn encode(&self) -> Result<Vec<Extension>, Fault> {
        self.0
            .iter()
            .map(|(number, value)| {
                let oid = ARC.push_arc((*number).into()).map_err(malformed)?;
                // The first six are bare bytes where DER should be, and stay so.
                let value = if *number < 7 {
                    value.as_bytes().to_vec()
                } else {
                    Utf8StringRef::new(value).and_then(|text| text.to_der()).map_err(malformed)?
                };
                raw_extension(oid, false, value)
            })
            .collect()
    }
}
