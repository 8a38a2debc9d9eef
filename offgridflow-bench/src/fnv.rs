/// FNV-1a, 64 bits: the same on every machine, and no defence against anybody.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the authors' own list of test vectors (Fowler, Noll & Vo).
    #[test]
    fn it_agrees_with_its_authors() {
        assert_eq!(
            [&b""[..], b"a", b"foobar"].map(fnv1a),
            [0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8]
        );
    }
}
