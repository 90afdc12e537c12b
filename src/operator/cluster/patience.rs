//! Watches that wait between failures.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, DefaultBackoff, Event};

type Events<K> = Pin<Box<dyn Stream<Item = watcher::Result<Event<K>>> + Send>>;

/// A watch that waits longer after each failure, up to half a minute, until something was listed whole or told.
///
/// kube's own way starts over with each event, and each try begins with one ([`Event::Init`]) before its list is refused: while lists fail,
/// it asks about once a second for as long as that lasts.
pub(crate) fn patient<K: Send + 'static>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send {
    let events: Events<K> = Box::pin(events);
    futures::stream::unfold((events, DefaultBackoff::default(), Duration::ZERO), |(mut events, mut backoff, wait)| async move {
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let event = events.next().await?;
        let wait = match &event {
            Err(_) => backoff.next().unwrap_or_default(),
            Ok(Event::Init | Event::InitApply(_)) => Duration::ZERO,
            Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => {
                backoff.reset();
                Duration::ZERO
            }
        };
        Some((event, (events, backoff, wait)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_list_that_is_refused_is_asked_for_less_and_less_often() {
        let tries = futures::stream::iter((0..40).flat_map(|_| [Ok(Event::<()>::Init), Err(watcher::Error::NoResourceVersion)]));
        let began = tokio::time::Instant::now();
        let mut failed = Box::pin(patient(tries).filter(|event| std::future::ready(event.is_err())));
        let mut times = 0;
        while began.elapsed() < Duration::from_secs(120) && failed.next().await.is_some() {
            times += 1;
        }
        assert!((5..=15).contains(&times), "{times} tries within two minutes");
    }
}
