//! Deterministic names for objects that Reeve creates: the same input always names the same object, so a retried POST finds itself.

use crate::Digest;

/// A DNS label's length; label values have the same bound.
pub const MAX_LABEL: usize = 63;
/// A Job's name plus what its Pods' names add must stay a DNS label.
pub const MAX_JOB: usize = 52;

/// Joins the parts with `-`. Where `max` is not enough, the name is cut and ends with ten hex digits of the whole name's digest, so
/// that two long names that begin alike stay apart.
pub fn join(parts: &[&str], max: usize) -> String {
    let whole = parts.join("-");
    if whole.len() <= max {
        return whole;
    }
    let hash = &Digest::of(&whole).hex()[..10];
    let mut head: String = whole.chars().take(max - hash.len() - 1).collect();
    while head.ends_with(['-', '.']) {
        head.pop();
    }
    format!("{head}-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_that_begin_alike_stay_apart_and_fit() {
        let a = join(&[&"a".repeat(70), "task", "1"], MAX_JOB);
        let b = join(&[&"a".repeat(70), "task", "2"], MAX_JOB);
        assert_ne!(a, b);
        assert!(a.len() <= MAX_JOB && b.len() <= MAX_JOB);
        assert_eq!(join(&["goal", "planner"], MAX_JOB), "goal-planner");
    }
}
