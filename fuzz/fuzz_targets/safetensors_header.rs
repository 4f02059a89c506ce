//! Any bytes as a safetensors file: what is accepted, the format's own implementation accepts, and sees the same
//! tensors in the same places; every byte belongs to one.
#![no_main]
use libfuzzer_sys::fuzz_target;
use safetensors::SafeTensors;

fuzz_target!(|bytes: &[u8]| {
    let _ = bulla_convert::parse_header(bytes, u64::MAX);
    let Ok(header) = bulla_convert::parse_header(bytes, bytes.len() as u64) else { return };
    let theirs = SafeTensors::deserialize(bytes).expect("accepted");
    assert_eq!(theirs.len(), header.tensors.len());
    let mut position = header.data_start;
    for tensor in &header.tensors {
        let view = theirs.tensor(&tensor.name).expect("the same names");
        assert_eq!(view.dtype().to_string(), tensor.dtype.name());
        assert!(view.shape().iter().map(|n| *n as u64).eq(tensor.shape.iter().copied()));
        assert_eq!(header.data_start + tensor.begin, position);
        position += tensor.bytes();
        let start = view.data().as_ptr() as u64 - bytes.as_ptr() as u64;
        assert!(tensor.bytes() == 0 || start == position - tensor.bytes());
        assert_eq!(view.data().len() as u64, tensor.bytes());
    }
    assert_eq!(position, bytes.len() as u64);
});
