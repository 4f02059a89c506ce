//! Which instructions for SHA-256 this processor has: the back ends that its tests run.

use bulla_hash::sha256::Backend;

fn main() {
    let names = |available: bool| {
        let some = Backend::ALL.into_iter().filter(|b| b.is_available() == available);
        some.map(Backend::name).collect::<Vec<_>>().join(", ")
    };
    println!("SHA-256 back ends tested here: {}; not here: {}", names(true), names(false));
}
