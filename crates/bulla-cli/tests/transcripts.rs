//! What the program says, word for word: the transcripts in `cmd/` run as tests.
//!
//! After a wanted change: `TRYCMD=overwrite cargo test --package bulla-cli --test transcripts`, and
//! read the difference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[test]
fn transcripts() {
    trycmd::TestCases::new()
        .case("tests/cmd/*.md")
        .env("BULLA_PASSWORD", "secret")
        .env("NO_COLOR", "1");
}
