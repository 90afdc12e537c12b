//! The reference: the same columns and bytes, the same durability, and the same grouping of commits, in a table that nothing guards.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

/// As the journal's writer has them.
const INBOX: usize = 256;
const MAX_GROUP: usize = 128;

/// A row as it will be: what the journal computes is given.
struct Bytes {
    stream: String,
    seq: i64,
    body: String,
}

type Order = (Bytes, oneshot::Sender<()>);

pub(crate) struct Plain(mpsc::Sender<Order>);

impl Plain {
    pub(crate) async fn sqlite(path: &Path) -> Plain {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let mut connection = options.connect().await.unwrap();
        let table = "CREATE TABLE plain (gseq INTEGER PRIMARY KEY, stream TEXT, seq INTEGER, time TEXT, epoch INTEGER, kind TEXT,
            actor TEXT, body TEXT, prev TEXT, hash TEXT, UNIQUE (stream, seq)) STRICT";
        sqlx::query(table).execute(&mut connection).await.unwrap();
        let (orders, inbox) = mpsc::channel(INBOX);
        tokio::spawn(serve_sqlite(connection, inbox));
        Plain(orders)
    }

    /// Beside the journal, in a table of its own.
    pub(crate) async fn postgres(url: &str) -> Plain {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let table = "DROP TABLE IF EXISTS plain; CREATE TABLE plain (gseq bigint PRIMARY KEY, stream text COLLATE \"C\", seq bigint,
            time text, epoch bigint, kind text, actor text, body text, prev text, hash text, UNIQUE (stream, seq))";
        sqlx::raw_sql(table).execute(&mut connection).await.unwrap();
        let (orders, inbox) = mpsc::channel(INBOX);
        tokio::spawn(serve_postgres(connection, inbox));
        Plain(orders)
    }

    /// So many appends of each of so many at once, one after the other.
    pub(crate) async fn inserts(&self, runs: usize, appends: usize) -> Duration {
        let started = Instant::now();
        join_all((0..runs).map(|run| {
            let orders = self.0.clone();
            let stream = format!("0b8e4c4e-6f0b-4c1e-{:?}-{run}", started);
            tokio::spawn(async move {
                for seq in 1..=appends {
                    let (reply, done) = oneshot::channel();
                    let seq = i64::try_from(seq).unwrap();
                    let bytes = Bytes { stream: stream.clone(), seq, body: format!("{{\"text\":\"{}\"}}", "x".repeat(489)) };
                    orders.send((bytes, reply)).await.unwrap();
                    done.await.unwrap();
                }
            })
        }))
        .await
        .into_iter()
        .for_each(Result::unwrap);
        started.elapsed()
    }
}

async fn next_group(inbox: &mut mpsc::Receiver<Order>) -> Vec<Order> {
    let mut group = Vec::new();
    group.extend(inbox.recv().await);
    while group.len() < MAX_GROUP
        && let Ok(more) = inbox.try_recv()
    {
        group.push(more);
    }
    group
}

const TIME: &str = "2026-01-02T03:04:05.000006Z";
const HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

async fn serve_sqlite(mut connection: SqliteConnection, mut inbox: mpsc::Receiver<Order>) {
    let sizes = std::iter::once(64).chain((1..=32).rev());
    let inserts = sizes.map(|size| {
        let values = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; size].join(", ");
        (size, format!("INSERT INTO plain (gseq, stream, seq, time, epoch, kind, actor, body, prev, hash) VALUES {values}"))
    });
    let inserts: Vec<(usize, String)> = inserts.collect();
    let mut gseq = 0_i64;
    loop {
        let group = next_group(&mut inbox).await;
        if group.is_empty() {
            return;
        }
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let mut left = group.as_slice();
        for (size, statement) in &inserts {
            while let Some((some, rest)) = left.split_at_checked(*size) {
                let mut query = sqlx::query(AssertSqlSafe(statement.clone()));
                for (Bytes { stream, seq, body }, _) in some {
                    gseq += 1;
                    query = query.bind(gseq).bind(stream).bind(seq).bind(TIME).bind(1_i64).bind("thought.summary").bind("model");
                    query = query.bind(body).bind(HASH).bind(HASH);
                }
                query.execute(&mut *transaction).await.unwrap();
                left = rest;
            }
        }
        transaction.commit().await.unwrap();
        group.into_iter().for_each(|(_, reply)| reply.send(()).unwrap());
    }
}

async fn serve_postgres(mut connection: PgConnection, mut inbox: mpsc::Receiver<Order>) {
    let mut last = 0_i64;
    loop {
        let group = next_group(&mut inbox).await;
        if group.is_empty() {
            return;
        }
        let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await.unwrap();
        let first = last + 1;
        last += i64::try_from(group.len()).unwrap();
        let same = |text: &'static str| vec![text; group.len()];
        let query = sqlx::query(
            "INSERT INTO plain (gseq, stream, seq, time, epoch, kind, actor, body, prev, hash) SELECT * FROM unnest($1::bigint[], $2::text[],
                $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])",
        );
        let query = query
            .bind((first..=last).collect::<Vec<i64>>())
            .bind(group.iter().map(|(bytes, _)| bytes.stream.as_str()).collect::<Vec<&str>>())
            .bind(group.iter().map(|(bytes, _)| bytes.seq).collect::<Vec<i64>>())
            .bind(same(TIME))
            .bind(vec![1_i64; group.len()])
            .bind(same("thought.summary"))
            .bind(same("model"))
            .bind(group.iter().map(|(bytes, _)| bytes.body.as_str()).collect::<Vec<&str>>())
            .bind(same(HASH))
            .bind(same(HASH));
        query.execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        group.into_iter().for_each(|(_, reply)| reply.send(()).unwrap());
    }
}
