//! Bodies that are too large for a row.

use reeve_core::Digest;
use reeve_core::journal::{Epoch, Expected, Row, RowDraft, Seq, Stream, Verifier};
use reeve_core::limits::MAX_EVENT_BODY_BYTES;
use reeve_store::{Artifacts, Beside, Journal, StoreError, VerifyError, verify_export_with};

use crate::given;
use crate::home::{Home, on_every_database};
use crate::shelf::{Shelf, name_of, on_every_database_and_shelf};

on_every_database!(a_row_names_no_body_that_fits_it);
on_every_database_and_shelf!(a_large_body_is_named_by_its_row_and_checked_with_the_artifacts);

fn verifier() -> Verifier {
    Verifier::expecting(Expected::default())
}

/// A journal with a small row, one whose body is kept, and a small one; the body is in the artifacts.
async fn with_a_large_body(journal: &Journal, artifacts: &Artifacts) -> (Vec<Row>, Digest) {
    let text = "x".repeat(MAX_EVENT_BODY_BYTES);
    let mut large = given::thought(&text);
    let body = large.take_large_body().unwrap().unwrap();
    let digest = artifacts.put(body).await.unwrap();
    let drafts = vec![given::started("default", "fix"), large, given::thought("small")];
    (journal.append(Epoch(1), &Stream::run("a"), None, drafts).await.unwrap(), digest)
}

async fn a_large_body_is_named_by_its_row_and_checked_with_the_artifacts(home: Home, shelf: Shelf) {
    let journal = home.open().await;
    let artifacts = shelf.open().await;
    let (rows, digest) = with_a_large_body(&journal, &artifacts).await;
    assert!(rows[1].body.len() < 200 && rows[1].body.contains(&digest.to_string()));
    assert_eq!(journal.read(&Stream::run("a"), Seq(1), 10).await.unwrap(), rows);
    let whole = artifacts.with_body(rows[1].clone()).await.unwrap();
    assert_eq!(whole.body, given::thought(&"x".repeat(MAX_EVENT_BODY_BYTES)).body);
    assert_eq!(artifacts.with_body(rows[2].clone()).await.unwrap(), rows[2], "a row that has its body stays as it is");

    let mut export = Vec::new();
    assert_eq!(journal.export(&mut export).await.unwrap(), 3);
    assert!(export.len() < 8192, "it refers to the body, and does not carry it");
    let with_artifacts = Beside { artifacts: Some(artifacts.clone()), archives: Vec::new() };
    for beside in [&Beside::default(), &with_artifacts] {
        let verified = journal.verify_with(verifier(), beside).await.unwrap();
        assert_eq!((verified.rows, verified.kept), (3, 1));
        assert_eq!(verify_export_with(export.as_slice(), verifier(), beside).await.unwrap(), verified);
    }

    let name = name_of(&digest);
    let bytes = shelf.bytes(&name).unwrap();
    for (found, what) in
        [(Some([&bytes[..bytes.len() - 3], b"y\"}"].concat()), "corrupt"), (Some(Vec::new()), "corrupt"), (None, "not in the store")]
    {
        match found {
            Some(found) => shelf.put(&name, &found),
            None => shelf.remove(&name),
        }
        for refused in [
            journal.verify_with(verifier(), &with_artifacts).await.unwrap_err(),
            verify_export_with(export.as_slice(), verifier(), &with_artifacts).await.unwrap_err(),
        ] {
            assert!(matches!(&refused, VerifyError::Kept { gseq: 2, why, .. } if why.contains(what)), "{refused}");
        }
        assert!(artifacts.with_body(rows[1].clone()).await.is_err());
        assert_eq!(journal.verify([]).await.unwrap().kept, 1, "the chain does not depend on it");
    }
}

async fn a_row_names_no_body_that_fits_it(home: Home) {
    let journal = home.open().await;
    let digest = Digest::of("x");
    for (kind, body, expected) in [
        ("thought.summary", format!("{{\"kept\":{{\"bytes\":12,\"digest\":\"{digest}\"}}}}"), "expected a kept body of"),
        ("thought.summary", format!("{{\"kept\":{{\"bytes\":99999999,\"digest\":\"{digest}\"}}}}"), "expected a kept body of"),
        ("thought.summary", "{\"kept\":{\"bytes\":300000,\"digest\":\"sha256:0\"}}".to_owned(), "hex digits"),
        ("reflect", format!("{{\"kept\":{{\"bytes\":300000,\"digest\":\"{digest}\"}}}}"), "cannot be read"),
    ] {
        let draft = RowDraft { kind: kind.to_owned(), body, ..given::thought("") };
        let refused = journal.append(Epoch(1), &Stream::run("a"), None, vec![draft]).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Malformed { why } if why.contains(expected)), "{kind}: {refused}");
    }
    assert_eq!(journal.last().await.unwrap(), None);
}
