//! Points at which the tests end the process with SIGKILL, to show that a crash loses nothing and repeats nothing.
//!
//! Compiled in only with the feature `failpoints`. `REEVE_CRASH_AT=<point>@<n>` kills at the n-th passing of that point.
//! Points: `journal.<kind>.kept|before|after`, `effect.<job|import|model|resolve|tool|checkpoint>.before|after`, `status.final.before|after`.

/// Dies here if the tests want it.
#[cfg(feature = "failpoints")]
pub(crate) fn point(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let text = std::env::var("REEVE_CRASH_AT").ok()?;
        let (name, times) = text.split_once('@').unwrap_or((&text, "1"));
        Some((name.to_owned(), times.parse().ok()?))
    });
    static PASSED: AtomicU32 = AtomicU32::new(0);
    if let Some((wanted, times)) = WANTED.as_ref()
        && wanted == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *times
    {
        // The process must end as by `kill -9`: no destructor, no flush.
        if let Some(pid) = rustix::process::Pid::from_raw(i32::try_from(std::process::id()).unwrap_or(0)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        std::process::abort();
    }
}

/// Nothing, without the feature.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) fn point(_: &str) {}
