//! Whether the operator can be asked for its journal, and what it says of it.

use serde::Deserialize;

use super::super::count;
use super::report::{Area, Check, Level};
use crate::read_api::ReadApi;

/// The answer of the operator.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    /// Rows in all.
    rows: i64,
    /// Hash of the last one.
    head: Option<String>,
    /// Highest epoch of the Lease under which a row was written.
    epoch: u64,
    /// Reservations of budgets that are not settled.
    open_reservations: i64,
}

/// Asks it.
pub(super) async fn look(api: &mut ReadApi) -> Check {
    let (level, message) = match api.get("journal/health").await {
        Ok(text) => said(&text),
        Err(error) if error.is_forbidden() => (Level::Warn, format!("could not be looked at: {error}")),
        Err(error) if error.is_missing() => {
            (Level::Warn, "this operator does not say how its journal is: it is of an older release".to_owned())
        }
        Err(error) => (Level::Fail, error.to_string()),
    };
    Check::new(level, Area::Operator, "journal", message)
}

fn said(text: &[u8]) -> (Level, String) {
    match serde_json::from_slice::<Health>(text) {
        Ok(Health { rows, head, epoch, open_reservations }) => {
            let head = head.map_or_else(String::new, |head| format!(", head {head}"));
            let (rows, open) = (count(rows, "row", "rows"), count(open_reservations, "open reservation", "open reservations"));
            (Level::Ok, format!("{rows}{head}, epoch {epoch}, {open}; reeve journal verify checks each row"))
        }
        Err(error) => (Level::Fail, format!("the answer of the operator cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use jiff::Timestamp;
    use reeve_core::journal::{Actor, Epoch, Event, RowDraft, Stream};
    use reeve_store::{Artifacts, Journal};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn what_the_operator_says_of_its_journal_is_understood() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("journal.db")).await.unwrap();
        let artifacts = Artifacts::open(&directory.path().join("artifacts")).await.unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let serving = reeve_operator::web::serve_read_api(address.parse().unwrap(), journal.clone(), artifacts, CancellationToken::new());
        let serving = serving.await.unwrap();
        assert_eq!(said(&ask(&address).await).1, "0 rows, epoch 0, 0 open reservations; reeve journal verify checks each row");
        let draft = RowDraft::of(&Event::CheckpointRequested { step: 1 }, &Actor::Operator, Timestamp::UNIX_EPOCH).unwrap();
        let rows = journal.append(Epoch(7), &Stream::operator(), None, vec![draft]).await.unwrap();
        let (level, message) = said(&ask(&address).await);
        let expected = format!("1 row, head {}, epoch 7, 0 open reservations", rows[0].hash);
        assert!(level == Level::Ok && message.starts_with(&expected), "{message}");
        serving.abort();
    }

    async fn ask(address: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /api/v1/journal/health HTTP/1.1\r\nhost: reeve\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.as_bytes().to_vec()
    }

    #[test]
    fn the_journal_says_how_much_it_is() {
        let (level, message) = said(br#"{"rows":12,"head":"sha256:ab","epoch":3,"openReservations":1}"#);
        assert_eq!(level, Level::Ok);
        assert!(message.starts_with("12 rows, head sha256:ab, epoch 3, 1 open reservation;"), "{message}");
        assert_eq!(said(br#"{"rows":0,"head":null,"epoch":0,"openReservations":0}"#).0, Level::Ok);
        assert_eq!(said(b"<html>").0, Level::Fail);
    }
}
