//! cosign's encrypted private keys: JSON in PEM, scrypt, NaCl's secretbox around PKCS#8.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{AeadInPlace as _, KeyInit as _};
use crypto_secretbox::{Nonce, Tag, XSalsa20Poly1305};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::key_pair::{Password, fill};
use crate::error::Fault;
use crate::json::{self, Object};

/// PEM labels, the one that is written first.
pub(super) const LABELS: [&str; 2] =
    ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];

/// log2 of scrypt's N as cosign writes it now; on reading its neighbours are accepted, and nothing
/// else: the parameters are the file's author's to choose, and the memory is ours.
const LOG_N: u8 = 16;
const LOG_N_READ: [u8; 3] = [15, 16, 17];
const R: u32 = 8;
const P: u32 = 1;
const TAG: usize = 16;

#[derive(Serialize, Deserialize)]
struct File {
    kdf: Object<Kdf>,
    cipher: Object<Cipher>,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Object<Params>,
    salt: String,
}

#[derive(Serialize, Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

pub(super) fn decrypt(body: &[u8], password: &Password) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let malformed = |detail: &str| Fault::key(format!("the cosign key is malformed: {detail}"));
    let File { kdf: Object(kdf), cipher: Object(sealing), ciphertext } =
        json::read(body).map_err(|e| malformed(&e))?;
    if kdf.name != "scrypt" || sealing.name != "nacl/secretbox" {
        return Err(malformed("expected scrypt and nacl/secretbox"));
    }
    let Object(Params { n, r, p }) = kdf.params;
    let log_n = LOG_N_READ.into_iter().find(|log_n| n == 1 << log_n);
    let (Some(log_n), R, P) = (log_n, r, p) else {
        return Err(Fault::key(format!(
            "the cosign key asks for scrypt with N={n}, r={r}, p={p}; expected N=32768, 65536 or 131072, r=8, p=1"
        )));
    };
    let field = |text: &str| STANDARD.decode(text).map_err(|_| malformed("it is not base64"));
    let salt = field(&kdf.salt)?;
    let nonce: [u8; 24] =
        field(&sealing.nonce)?.try_into().map_err(|_| malformed("its nonce has another length"))?;
    let sealed = Zeroizing::new(field(&ciphertext)?);
    // secretbox puts the tag first.
    let (tag, text) = sealed.split_at_checked(TAG).ok_or_else(|| malformed("it is too short"))?;
    let mut text = Zeroizing::new(text.to_vec());
    cipher(password, &salt, log_n)?
        .decrypt_in_place_detached(&Nonce::from(nonce), b"", &mut text, Tag::from_slice(tag))
        .map_err(|_| Fault::WrongPassword)?;
    Ok(text)
}

pub(super) fn encrypt(pkcs8: &[u8], password: &Password) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let bug = || Fault::Bug { what: "the key could not be encrypted" };
    let (mut salt, mut nonce) = ([0; 32], [0; 24]);
    fill(&mut salt)?;
    fill(&mut nonce)?;
    let mut text = Zeroizing::new(pkcs8.to_vec());
    let tag = cipher(password, &salt, LOG_N)?
        .encrypt_in_place_detached(&Nonce::from(nonce), b"", &mut text)
        .map_err(|_| bug())?;
    let sealed = [tag.as_slice(), &text].concat();
    let file = File {
        kdf: Object(Kdf {
            name: "scrypt".into(),
            params: Object(Params { n: 1 << LOG_N, r: R, p: P }),
            salt: STANDARD.encode(salt),
        }),
        cipher: Object(Cipher { name: "nacl/secretbox".into(), nonce: STANDARD.encode(nonce) }),
        ciphertext: STANDARD.encode(sealed),
    };
    serde_json::to_vec(&file).map(Zeroizing::new).map_err(|_| bug())
}

fn cipher(password: &Password, salt: &[u8], log_n: u8) -> Result<XSalsa20Poly1305, Fault> {
    let bug = || Fault::Bug { what: "scrypt failed" };
    let params = scrypt::Params::new(log_n, R, P, 32).map_err(|_| bug())?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(password.expose(), salt, &params, &mut *key).map_err(|_| bug())?;
    Ok(XSalsa20Poly1305::new((&*key).into()))
}
