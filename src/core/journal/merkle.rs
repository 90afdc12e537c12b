//! The Merkle tree over the heads that were signed, in the order in which they were.
//!
//! RFC 9162, section 2.1: a leaf hashes as SHA-256(0x00 ‖ leaf), a node as SHA-256(0x01 ‖ left ‖ right), and a tree of n leaves splits at the
//! largest power of two below n. A root therefore stands for every head ever signed: an inclusion proof shows one of them to somebody who
//! sees none of the others, a consistency proof shows that a later root took nothing back.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::Digest;

/// Hash of a leaf.
pub fn leaf(content: &[u8]) -> Digest {
    Digest::finish(Sha256::new().chain_update([0]).chain_update(content))
}

fn node(left: &Digest, right: &Digest) -> Digest {
    Digest::finish(Sha256::new().chain_update([1]).chain_update(left.as_bytes()).chain_update(right.as_bytes()))
}

/// Where a tree of so many leaves, at least 2, splits.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The root of a tree of these leaves, given by their hashes.
pub fn root(leaves: &[Digest]) -> Digest {
    let mut tree = Frontier::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// Proves to the holder of a root that leaf `index`, from 0, is in the tree of these leaves; None where there is no such leaf.
pub fn prove_inclusion(leaves: &[Digest], index: u64) -> Option<Vec<Digest>> {
    let size = leaves.len() as u64;
    (index < size).then(|| {
        let mut proof = Vec::new();
        path(index, 0..size, &|range| root(slice(leaves, &range)), &mut proof);
        proof
    })
}

/// Proves to the holder of the root of the first `old` leaves that the tree of all of them begins with these; None where there are fewer.
pub fn prove_consistency(leaves: &[Digest], old: u64) -> Option<Vec<Digest>> {
    let size = leaves.len() as u64;
    (old <= size).then(|| consistency(old, size, &|range| root(slice(leaves, &range))))
}

/// Whether `proof` shows that `leaf` is leaf `index`, from 0, of the tree of `size` leaves with this root (RFC 9162, 2.1.3.2).
pub fn is_included(leaf: Digest, index: u64, size: u64, root: Digest, proof: &[Digest]) -> bool {
    root_above(leaf, index, size, proof) == Some(root)
}

/// The root that `proof` leads to from `leaf`, leaf `index` of `size`; None where it is longer or shorter than the way.
pub fn root_above(leaf: Digest, index: u64, size: u64, proof: &[Digest]) -> Option<Digest> {
    let (mut at, mut last, mut hash) = (index, size.checked_sub(1).filter(|last| index <= *last)?, leaf);
    for step in proof {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node(step, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node(&hash, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(hash)
}

/// Hashes in the inclusion proof of leaf `index` of `size`; None where there is no such leaf.
pub fn path_length(index: u64, size: u64) -> Option<u64> {
    let (mut tree, mut length) = ((index < size).then_some(0..size)?, 0);
    while tree.end - tree.start > 1 {
        let middle = tree.start + split(tree.end - tree.start);
        tree = if index < middle { tree.start..middle } else { middle..tree.end };
        length += 1;
    }
    Some(length)
}

/// Whether `proof` shows that the tree of `new` leaves begins with the tree of `old` leaves, each given by size and root (RFC 9162, 2.1.4.2).
pub fn is_consistent(old: (u64, Digest), new: (u64, Digest), proof: &[Digest]) -> bool {
    let ((old_size, old_root), (new_size, _)) = (old, new);
    if old_size == 0 || old_size >= new_size {
        return proof.is_empty() && if old_size == 0 { old_root == root(&[]) } else { old == new };
    }
    roots_above(old, new_size, proof) == Some((old_root, new.1))
}

/// The roots of the old and of the new tree that `proof` leads to, for `old` of at least one leaf and fewer than `new_size`; None where it is
/// longer or shorter than the way.
pub fn roots_above(old: (u64, Digest), new_size: u64, proof: &[Digest]) -> Option<(Digest, Digest)> {
    let (old_size, old_root) = old;
    if old_size == 0 || old_size >= new_size {
        return None;
    }
    // The root of a full tree is its own first step, which the proof leaves out.
    let given = if old_size.is_power_of_two() { Some(old_root) } else { None };
    let mut steps = given.iter().chain(proof);
    let first = steps.next()?;
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let (mut before, mut after) = (*first, *first);
    for step in steps {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            (before, after) = (node(step, &before), node(step, &after));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            after = node(&after, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some((before, after))
}

/// A tree that can grow, in memory that grows with the logarithm of its leaves: the roots of the full trees that it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One for each bit of `size` that is set, the largest first.
    peaks: Vec<Digest>,
}

impl Frontier {
    /// Leaves so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Takes in the hash of the next leaf.
    pub fn push(&mut self, leaf: Digest) {
        let (mut hash, mut size) = (leaf, self.size);
        while let Some(left) = self.peaks.pop_if(|_| size & 1 == 1) {
            hash = node(&left, &hash);
            size >>= 1;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root so far.
    pub fn root(&self) -> Digest {
        bag(&self.peaks)
    }

    /// Takes in these leaves, and proves that the tree begins with what it was before.
    pub fn extend(&mut self, leaves: &[Digest]) -> Vec<Digest> {
        let (old, new) = (self.size, self.size + leaves.len() as u64);
        let proof = consistency(old, new, &|range: Range<u64>| match range.start.checked_sub(old) {
            Some(from) => root(slice(leaves, &(from..range.end - old))),
            // A proof asks of what was there before only for whole peaks: whatever splits an old tree splits it between two of them.
            None => bag(self.peaks_in(&range)),
        });
        leaves.iter().for_each(|leaf| self.push(*leaf));
        proof
    }

    fn peaks_in(&self, range: &Range<u64>) -> &[Digest] {
        let (mut start, mut first, mut count) = (0, 0, 0);
        for bit in (0..u64::BITS).rev().filter(|bit| self.size >> bit & 1 == 1) {
            let end = start + (1 << bit);
            if end <= range.start {
                first += 1;
            } else if end <= range.end {
                count += 1;
            }
            start = end;
        }
        self.peaks.get(first..first + count).unwrap_or_default()
    }
}

/// The root of a tree whose full trees, the largest first, have these roots.
fn bag(peaks: &[Digest]) -> Digest {
    peaks.iter().rev().copied().reduce(|right, left| node(&left, &right)).unwrap_or_else(|| Digest::of([]))
}

fn slice<'a>(leaves: &'a [Digest], range: &Range<u64>) -> &'a [Digest] {
    // In range by construction: every range asked for lies within the tree.
    leaves.get(range.start as usize..range.end as usize).unwrap_or_default()
}

/// `PATH` of RFC 9162, 2.1.3.1; `hash` gives the root of a range of leaves.
fn path(index: u64, tree: Range<u64>, hash: &impl Fn(Range<u64>) -> Digest, proof: &mut Vec<Digest>) {
    let size = tree.end - tree.start;
    if size <= 1 {
        return;
    }
    let middle = tree.start + split(size);
    if index < middle {
        path(index, tree.start..middle, hash, proof);
        proof.push(hash(middle..tree.end));
    } else {
        path(index, middle..tree.end, hash, proof);
        proof.push(hash(tree.start..middle));
    }
}

/// `PROOF` of RFC 9162, 2.1.4.1; empty from no leaves and from all.
fn consistency(old: u64, new: u64, hash: &impl Fn(Range<u64>) -> Digest) -> Vec<Digest> {
    let mut proof = Vec::new();
    if old != 0 {
        subproof(old, 0..new, true, hash, &mut proof);
    }
    proof
}

fn subproof(old: u64, tree: Range<u64>, whole: bool, hash: &impl Fn(Range<u64>) -> Digest, proof: &mut Vec<Digest>) {
    if old == tree.end {
        if !whole {
            proof.push(hash(tree));
        }
        return;
    }
    let middle = tree.start + split(tree.end - tree.start);
    if old <= middle {
        subproof(old, tree.start..middle, whole, hash, proof);
        proof.push(hash(middle..tree.end));
    } else {
        subproof(old, middle..tree.end, false, hash, proof);
        proof.push(hash(tree.start..middle));
    }
}

#[cfg(test)]
mod tests;
