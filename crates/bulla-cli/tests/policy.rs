//! What is done with a policy before anybody decides by it: tested, described, brought in, checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod policy {
    pub(crate) mod check;
    pub(crate) mod import;
    pub(crate) mod schema;
    pub(crate) mod test;
    pub(crate) mod world;
}
