//! Numbers that look like chance and are a function of the seed and of what they are for.

/// A number for this subject. Asking in another order changes nothing.
pub(crate) fn draw(seed: u64, subject: &str) -> u64 {
    let hash =
        subject.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // FNV-1a spreads its last bytes badly; SplitMix64's end (Steele, Lea, Flood, 2014) makes up for it.
    let mut mixed = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// From `least` to `most`, both included.
pub(crate) fn between(seed: u64, subject: &str, least: u64, most: u64) -> u64 {
    least + draw(seed, subject) % (most.saturating_sub(least) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_range_comes_up_and_none_beside_it() {
        let seen: std::collections::BTreeSet<u64> = (0..200).map(|n| between(7, &format!("subject {n}"), 3, 9)).collect();
        assert_eq!(seen, (3..=9).collect());
    }
}
