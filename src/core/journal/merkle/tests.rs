#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

/// The leaves of the certificate-transparency project's own tests (`merkletree/merkle_tree_test.cc`).
const LEAVES: [&[u8]; 8] = [b"", b"\x00", b"\x10", b" !", b"01", b"@ABC", b"PQRSTUVW", b"`abcdefghijklmno"];

/// The roots of the first 1 to 8 of them, from the same place.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn digest(hex: &str) -> Digest {
    format!("sha256:{hex}").parse().unwrap()
}

fn reference() -> Vec<Digest> {
    LEAVES.iter().map(|content| leaf(content)).collect()
}

/// `MTH` as RFC 9162, 2.1.1 defines it, word for word.
fn naive(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of([]),
        [one] => *one,
        more => {
            let mut k = 1;
            while k * 2 < more.len() {
                k *= 2;
            }
            node(&naive(&more[..k]), &naive(&more[k..]))
        }
    }
}

fn numbered(count: u64) -> Vec<Digest> {
    (0..count).map(|number| leaf(&number.to_be_bytes())).collect()
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    assert_eq!(root(&[]), digest("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    for (count, expected) in (1..).zip(ROOTS) {
        assert_eq!(root(&reference()[..count]), digest(expected), "{count} leaves");
    }
}

#[test]
fn proofs_are_those_of_certificate_transparency() {
    let leaves = reference();
    let inclusion: [(u64, usize, &[&str]); 3] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
    ];
    for (index, size, expected) in inclusion {
        let expected: Vec<Digest> = expected.iter().copied().map(digest).collect();
        assert_eq!(prove_inclusion(&leaves[..size], index).unwrap(), expected, "leaf {index} of {size}");
    }
    let consistency: [(u64, usize, &[&str]); 3] = [
        (1, 1, &[]),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (old, size, expected) in consistency {
        let expected: Vec<Digest> = expected.iter().copied().map(digest).collect();
        assert_eq!(prove_consistency(&leaves[..size], old).unwrap(), expected, "{old} to {size}");
    }
}

#[test]
fn what_is_not_there_has_no_proof() {
    assert_eq!(prove_inclusion(&reference(), 8), None);
    assert_eq!((path_length(8, 8), path_length(0, 0)), (None, None));
    assert_eq!(prove_consistency(&reference(), 9), None);
    assert_eq!(prove_consistency(&reference(), 0), Some(vec![]));
}

#[test]
fn every_leaf_and_every_former_root_of_trees_to_33_is_proved() {
    for size in 0..=33 {
        let leaves = numbered(size);
        let whole = root(&leaves);
        assert_eq!(whole, naive(&leaves));
        for index in 0..size {
            let proof = prove_inclusion(&leaves, index).unwrap();
            assert!(is_included(leaves[index as usize], index, size, whole, &proof), "leaf {index} of {size}");
            assert_eq!(path_length(index, size), Some(proof.len() as u64), "leaf {index} of {size}");
        }
        for old in 0..=size {
            let before = (old, naive(&leaves[..old as usize]));
            let proof = prove_consistency(&leaves, old).unwrap();
            assert!(is_consistent(before, (size, whole), &proof), "{old} to {size}");
            let mut grown = Frontier::default();
            grown.extend(&leaves[..old as usize]);
            assert_eq!(grown.extend(&leaves[old as usize..]), proof, "a tree that grows proves the same, {old} to {size}");
            assert_eq!((grown.size(), grown.root()), (size, whole));
        }
    }
}

/// A proof with one thing wrong in it.
fn spoil(proof: &[Digest], how: usize) -> Vec<Digest> {
    let mut proof = proof.to_vec();
    let wrong = Digest::of(b"wrong");
    match how % (proof.len() + 2) {
        0 => proof.push(wrong),
        1 => {
            if proof.pop().is_none() {
                proof.push(wrong);
            }
        }
        at => proof[at - 2] = wrong,
    }
    proof
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_proof_shows_its_own_leaf_only(size in 1u64..90, pick in any::<u64>(), how in any::<usize>()) {
        let leaves = numbered(size);
        let (index, whole) = (pick % size, root(&leaves));
        let proof = prove_inclusion(&leaves, index).unwrap();
        let shows = |leaf, index, size, root, proof: &[Digest]| is_included(leaf, index, size, root, proof);
        let own = leaves[index as usize];
        prop_assert!(shows(own, index, size, whole, &proof));
        prop_assert!(!shows(leaf(b"other"), index, size, whole, &proof));
        prop_assert!(!shows(own, index, size, Digest::of(b"other"), &proof));
        prop_assert!(!shows(own, index, size, whole, &spoil(&proof, how)));
        prop_assert!(!shows(own, size, size, whole, &proof));
        let other = (index + 1 + how as u64 % size) % (size + 1);
        prop_assert!(other == index || !shows(own, other, size, whole, &proof));
    }

    #[test]
    fn a_tree_that_took_something_back_is_not_consistent(old in 1u64..90, more in 0u64..90, how in any::<usize>()) {
        let leaves = numbered(old + more);
        let (before, after) = ((old, naive(&leaves[..old as usize])), (old + more, naive(&leaves)));
        let proof = prove_consistency(&leaves, old).unwrap();
        prop_assert!(is_consistent(before, after, &proof));
        prop_assert!(!is_consistent(before, after, &spoil(&proof, how)));
        prop_assert!(!is_consistent((old, Digest::of(b"other")), after, &proof));
        prop_assert!(!is_consistent(before, (old + more, Digest::of(b"other")), &proof));
        prop_assert!(more == 0 || !is_consistent(after, before, &proof));
        // One old leaf exchanged: no proof at all leads from the old root to the new one.
        let mut changed = leaves.clone();
        changed[how % old as usize] = leaf(b"exchanged");
        let proof = prove_consistency(&changed, old).unwrap();
        prop_assert!(!is_consistent(before, (old + more, naive(&changed)), &proof));
    }
}
