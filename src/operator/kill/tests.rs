//! What stops a run, and what the view makes of lists and watches.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use reeve_api::KillSwitchSpec;

use super::*;

fn switch(namespace: &str, uid: &str, version: u64, engaged: bool) -> DeserializeGuard<KillSwitch> {
    let mut switch = KillSwitch::new(uid, KillSwitchSpec { engaged, reason: "why".to_owned() });
    switch.metadata.namespace = Some(namespace.to_owned());
    switch.metadata.uid = Some(uid.to_owned());
    switch.metadata.resource_version = Some(version.to_string());
    DeserializeGuard(Ok(switch))
}

fn view(objects: &[DeserializeGuard<KillSwitch>], at: Instant) -> View {
    let mut seen = Seen::default();
    seen.replace(objects, 10, at);
    View { scopes: BTreeMap::from([(Scope::All, seen)]) }
}

#[tokio::test]
async fn a_switch_stops_its_namespace_and_the_operators_stops_all() {
    let now = Instant::now();
    assert_eq!(view(&[], now).stops("own", "team", now), None);
    assert_eq!(view(&[switch("team", "a", 1, false)], now).stops("own", "team", now), None);
    let team = view(&[switch("team", "a", 1, true)], now);
    assert!(team.stops("own", "team", now).unwrap().contains("team/a is engaged: why"));
    assert_eq!(team.stops("own", "other", now), None);
    let own = view(&[switch("own", "a", 1, true)], now);
    assert!(own.stops("own", "team", now).is_some() && own.stops("own", "other", now).is_some());
}

#[tokio::test]
async fn what_was_never_read_or_is_stale_counts_as_engaged() {
    let kill = Kill::new("own", &[Scope::All]);
    assert!(kill.stops("team").unwrap().contains("cannot be read"));
    let now = Instant::now();
    let fresh = view(&[], now);
    assert_eq!(fresh.stops("own", "team", now + STALE), None);
    assert!(fresh.stops("own", "team", now + STALE + Duration::from_millis(1)).is_some());
}

#[tokio::test]
async fn who_has_looked_once_stops_nobody_for_want_of_a_look_and_a_look_that_fails_tells_nothing() {
    for (code, body, stops) in [
        (200, r#"{"apiVersion":"reeve.dev/v1alpha1","kind":"KillSwitchList","metadata":{"resourceVersion":"7"},"items":[]}"#, false),
        (503, r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"ServiceUnavailable","code":503}"#, true),
    ] {
        let server = tower::service_fn(move |_: http::Request<kube::client::Body>| async move {
            let body = kube::client::Body::from(body.as_bytes().to_vec());
            Ok::<_, kube::Error>(http::Response::builder().status(code).body(body).unwrap())
        });
        let (kill, scopes) = (Kill::new("own", &[Scope::All]), [Scope::All]);
        assert!(kill.stops("team").is_some(), "nothing is known yet");
        look_first(&kill, &Client::new(server, "team"), &scopes).await;
        assert_eq!(kill.stops("team").is_some(), stops, "{code}");
    }
}

#[tokio::test]
async fn a_list_that_is_older_than_what_the_watch_told_takes_nothing_back() {
    let now = Instant::now();
    let mut seen = Seen::default();
    seen.replace(&[], 10, now);
    assert!(seen.put(&switch("team", "a", 12, true), now));
    assert!(!seen.put(&switch("team", "a", 11, false), now), "a late word takes nothing back either");
    assert_eq!(seen.switches["a"].engaged, Some(true));
    seen.replace(&[], 11, now);
    assert!(seen.switches.contains_key("a"), "the list was asked for before it was engaged");
    assert!(seen.replace(&[], 13, now));
    assert!(seen.switches.is_empty());
    assert!(!seen.replace(&[], 14, now), "nobody is rung for nothing");
    assert!(!seen.put(&switch("team", "a", 12, true), now), "a late word of what a list shows to be gone");
    assert!(seen.put(&switch("team", "b", 15, true), now));
}

#[tokio::test]
async fn a_server_that_went_back_in_time_is_believed_anew() {
    let now = Instant::now();
    let mut seen = Seen::default();
    seen.replace(&[], 1_000, now);
    seen.replace(&[switch("team", "a", 20, true)], 21, now);
    assert_eq!(seen.switches["a"].engaged, Some(true), "restored from a copy, it counts from the copy on");
    assert!(seen.put(&switch("team", "b", 22, true), now));
    assert!(seen.replace(&[], 15, now), "what stood still goes on");
    assert!(seen.switches.is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_journaled_as_engaged_with_a_reason_that_fits() {
    let kill = Kill::new("own", &[Scope::All]);
    let mut switch = switch("team", "a", 5, false);
    let metadata = switch.0.as_ref().unwrap().metadata.clone();
    switch.0 = Err(kube::core::error_boundary::InvalidObject { error: "é".repeat(1_000_000), metadata });
    kill.change(&Scope::All, |seen| seen.replace(&[switch], 5, Instant::now()));
    let told = kill.to_tell().await;
    assert!(told.len() == 1 && told[0].engaged && told[0].uid == "a" && told[0].reason.len() <= MAX_REASON, "{told:?}");
    assert!(told[0].reason.starts_with("it cannot be read: é"));
}
