use futures::future::join_all;
use reeve_core::Digest;
use reeve_core::class::Class;
use reeve_core::journal::{Epoch, Head, RowDraft, Seq, Stream};
use reeve_core::limits::MAX_EVENT_BODY_BYTES;
use reeve_store::{FoundRun, StoreError};

use crate::given;
use crate::home::{Home, on_every_database};

async fn rows_of_all_streams_form_one_chain(home: Home) {
    let rows = given::five_rows(&home).await;
    let journal = home.open().await;
    let mut prev = Digest::ZERO;
    for (row, gseq) in rows.iter().zip(1..) {
        assert_eq!((row.gseq, row.prev), (gseq, prev));
        assert_eq!(row.computed_hash().unwrap(), row.hash);
        prev = row.hash;
    }
    let a = Stream::run("a");
    assert_eq!(journal.head(&a).await.unwrap(), Some(Head { seq: Seq(3), hash: rows[3].hash }));
    assert_eq!(journal.head(&Stream::run("none")).await.unwrap(), None);
    assert_eq!(journal.read(&a, Seq(2), 100).await.unwrap(), rows[2..4]);
    assert_eq!(journal.read(&a, Seq(1), 2).await.unwrap(), rows[1..3]);
    assert_eq!(journal.read(&a, Seq(4), 100).await.unwrap(), []);
    assert_eq!(journal.read(&a, Seq(u64::MAX), 100).await.unwrap(), []);
    assert_eq!(journal.scan(2, 2).await.unwrap(), rows[1..3]);
    assert_eq!(journal.last().await.unwrap().as_ref(), rows.last());
}

async fn streams_and_runs_are_found(home: Home) {
    let journal = home.open().await;
    assert_eq!(journal.streams().await.unwrap(), []);
    for (uid, namespace, name) in [("u1", "default", "fix"), ("u2", "other", "fix"), ("u3", "default", "fix")] {
        journal.append(Epoch(1), &Stream::run(uid), None, vec![given::started(namespace, name), given::thought("hm")]).await.unwrap();
    }
    journal.append(Epoch(1), &Stream::operator(), None, vec![given::thought("mine")]).await.unwrap();
    let found = journal.find_runs("default", "fix").await.unwrap();
    let started = given::started("default", "fix").time;
    assert_eq!(found, ["u1", "u3"].map(|uid| FoundRun { stream: Stream::run(uid), started: started.clone() }));
    assert_eq!(journal.find_runs("default", "fi").await.unwrap(), []);

    let streams = journal.streams().await.unwrap();
    let seen: Vec<_> =
        streams.iter().map(|brief| (brief.stream.as_str(), brief.head.seq.0, brief.run.as_ref().map(|run| run.0.as_str()))).collect();
    assert_eq!(seen, [("operator", 1, None), ("u1", 2, Some("default")), ("u2", 2, Some("other")), ("u3", 2, Some("default"))]);
    assert_eq!(journal.head(&streams[1].stream).await.unwrap(), Some(streams[1].head));
    assert_eq!(streams[1].last_kind, "thought.summary");
}

async fn a_stale_head_is_refused_with_what_was_found(home: Home) {
    let journal = home.open().await;
    let a = Stream::run("a");
    journal.append(Epoch(1), &a, None, vec![given::thought("one"), given::thought("two")]).await.unwrap();
    for (after, stream, found) in
        [(None, "a", Some(Seq(2))), (Some(Seq(1)), "a", Some(Seq(2))), (Some(Seq(3)), "a", Some(Seq(2))), (Some(Seq(1)), "b", None)]
    {
        let refused = journal.append(Epoch(1), &Stream::run(stream), after, vec![given::thought("x")]).await.unwrap_err();
        assert_eq!(refused, StoreError::StaleHead { stream: stream.to_owned(), expected: after, found });
        assert_eq!(refused.class(), Class::Conflict);
    }
    assert_eq!(journal.verify([]).await.unwrap().rows, 2);
}

async fn of_many_who_believe_in_one_head_one_wins(home: Home) {
    let journal = home.open().await;
    let a = Stream::run("a");
    let outcomes = join_all((0..16).map(|_| journal.append(Epoch(1), &a, None, vec![given::thought("first")]))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(|error| matches!(error, StoreError::StaleHead { .. })));
    assert_eq!(journal.head(&a).await.unwrap().unwrap().seq, Seq(1));
}

async fn a_lower_epoch_is_fenced_and_an_equal_one_is_not(home: Home) {
    let journal = home.open().await;
    assert_eq!(journal.highest_epoch().await.unwrap(), Epoch(0));
    let (a, b) = (Stream::run("a"), Stream::run("b"));
    journal.append(Epoch(7), &a, None, vec![given::thought("new leader")]).await.unwrap();
    let refused = journal.append(Epoch(6), &b, None, vec![given::thought("old leader")]).await.unwrap_err();
    assert_eq!(refused, StoreError::Fenced { epoch: Epoch(6), highest: Epoch(7) });
    journal.append(Epoch(7), &b, None, vec![given::thought("new leader")]).await.unwrap();
    assert_eq!(journal.highest_epoch().await.unwrap(), Epoch(7));
}

async fn what_verify_would_refuse_is_not_let_in(home: Home) {
    let journal = home.open().await;
    let good = given::thought("x");
    let with = |change: fn(&mut RowDraft)| {
        let mut draft = good.clone();
        change(&mut draft);
        draft
    };
    let bad = [
        with(|draft| draft.kind = "no.such.kind".to_owned()),
        with(|draft| draft.body = "{}".to_owned()),
        with(|draft| draft.body = "not json".to_owned()),
        with(|draft| draft.time = String::new()),
        with(|draft| draft.actor = String::new()),
    ];
    for draft in bad {
        let refused = journal.append(Epoch(1), &Stream::run("a"), None, vec![good.clone(), draft]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Malformed { .. }), "{refused:?}");
    }
    for (epoch, stream) in [(Epoch(u64::MAX), "a"), (Epoch(1), "")] {
        let refused = journal.append(epoch, &Stream::run(stream), None, vec![good.clone()]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Malformed { .. }), "{refused:?}");
    }
    assert_eq!(journal.last().await.unwrap(), None);
}

async fn a_body_may_be_as_large_as_the_limit_and_no_larger(home: Home) {
    let journal = home.open().await;
    let frame = given::thought("").body.len();
    let largest = given::thought(&"x".repeat(MAX_EVENT_BODY_BYTES - frame));
    let larger = given::thought(&"x".repeat(MAX_EVENT_BODY_BYTES - frame + 1));
    let refused = journal.append(Epoch(1), &Stream::run("a"), None, vec![larger]).await.unwrap_err();
    let (bytes, limit) = (MAX_EVENT_BODY_BYTES as u64 + 1, MAX_EVENT_BODY_BYTES as u64);
    assert_eq!(refused, StoreError::TooLarge { what: "the body of a thought.summary event".to_owned(), bytes, limit });
    let rows = journal.append(Epoch(1), &Stream::run("a"), None, vec![largest]).await.unwrap();
    assert_eq!(rows[0].body.len(), MAX_EVENT_BODY_BYTES);
}

/// On one thread every append is waiting before the writer first runs, so they are one group.
async fn one_bad_append_in_a_group_does_not_fail_the_others(home: Home) {
    let journal = home.open().await;
    let a = Stream::run("a");
    journal.append(Epoch(3), &a, None, vec![given::thought("one")]).await.unwrap();
    let streams: Vec<Stream> = (0..20).map(|n| Stream::run(&format!("s{n}"))).collect();
    let good =
        join_all(streams.iter().map(|stream| journal.append(Epoch(3), stream, None, vec![given::thought("x"), given::thought("y")])));
    let stale = journal.append(Epoch(3), &a, None, vec![given::thought("stale")]);
    let fenced = journal.append(Epoch(2), &a, Some(Seq(1)), vec![given::thought("fenced")]);
    let after = journal.append(Epoch(3), &a, Some(Seq(1)), vec![given::thought("two")]);
    let (stale, good, fenced, after) = tokio::join!(stale, good, fenced, after);
    assert!(matches!(stale, Err(StoreError::StaleHead { .. })));
    assert!(matches!(fenced, Err(StoreError::Fenced { .. })));
    assert_eq!(after.unwrap()[0].seq, Seq(2));
    assert!(good.iter().all(|outcome| outcome.as_ref().is_ok_and(|rows| rows.len() == 2)));
    assert_eq!(journal.verify([]).await.unwrap().rows, 42);
}

async fn nothing_is_appended_by_no_drafts(home: Home) {
    let journal = home.open().await;
    assert_eq!(journal.append(Epoch(1), &Stream::run("a"), Some(Seq(9)), Vec::new()).await, Ok(Vec::new()));
    assert_eq!(journal.last().await.unwrap(), None);
}

async fn a_long_stream_is_answered_in_parts_that_fit_the_memory(home: Home) {
    let journal = home.open().await;
    let a = Stream::run("a");
    let drafts = vec![given::thought(&"x".repeat(250_000)); 80];
    let written = journal.append(Epoch(1), &a, None, drafts).await.unwrap();
    let mut read = Vec::new();
    let mut answers = 0;
    loop {
        let rows = journal.read(&a, Seq(read.len() as u64 + 1), u32::MAX).await.unwrap();
        if rows.is_empty() {
            break;
        }
        assert!(rows.iter().map(|row| row.body.len()).sum::<usize>() < 17 * 1024 * 1024);
        read.extend(rows);
        answers += 1;
    }
    assert_eq!((read, answers), (written, 2));
}

on_every_database!(
    rows_of_all_streams_form_one_chain,
    streams_and_runs_are_found,
    a_stale_head_is_refused_with_what_was_found,
    of_many_who_believe_in_one_head_one_wins,
    a_lower_epoch_is_fenced_and_an_equal_one_is_not,
    what_verify_would_refuse_is_not_let_in,
    a_body_may_be_as_large_as_the_limit_and_no_larger,
    one_bad_append_in_a_group_does_not_fail_the_others,
    nothing_is_appended_by_no_drafts,
    a_long_stream_is_answered_in_parts_that_fit_the_memory,
);
