//! What only PostgreSQL promises: two roles, two live operators, and a connection that can be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use futures::future::join_all;
use reeve_core::Digest;
use reeve_core::class::Class;
use reeve_core::journal::{Epoch, Row, Seq, Stream};
use reeve_store::{Journal, Place, StoreError};
use sqlx::AssertSqlSafe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::given::{self, limited, reserved};
use crate::home::Home;
use crate::server::{self, Schema};

const OWNER: &str = "journal_owner";
const WRITER: &str = "journal_writer";

/// Inserts a copy of row 5 (stream `b`, seq 1, epoch 2) with these places.
fn insert(gseq: &str, stream: &str, seq: u64, epoch: u64, prev: &str) -> String {
    format!(
        "INSERT INTO journal SELECT {gseq}, '{stream}', {seq}, time, {epoch}, kind, actor, body, {prev}, hash FROM journal WHERE gseq = 5"
    )
}

async fn five_rows() -> (Home, Vec<Row>) {
    let home = Home::postgres().await;
    let rows = given::five_rows(&home).await;
    (home, rows)
}

fn schema(home: &Home) -> &Schema {
    let Home::Postgres(schema) = home else { panic!("a schema was expected") };
    schema
}

async fn refuses(schema: &Schema, role: &str, table: Vec<(&str, String)>) {
    for (expected, statement) in table {
        match schema.sql(role, &statement).await {
            Ok(()) => panic!("accepted from {role}: {statement}"),
            Err(error) => assert!(error.to_string().contains(expected), "{role}: {statement}: {error}"),
        }
    }
}

#[tokio::test]
async fn the_triggers_refuse_all_but_the_next_row_of_whoever_owns_the_tables_too() {
    let (home, rows) = five_rows().await;
    let table = || {
        vec![
            ("duplicate key", insert("5", "b", 2, 2, "hash")),
            ("duplicate key", insert("1", "c", 1, 2, &format!("'{}'", reeve_core::Digest::ZERO))),
            ("gseq is not the next", insert("7", "b", 2, 2, "hash")),
            ("null value", insert("NULL::bigint", "b", 2, 2, "hash")),
            ("violates check constraint", insert("-1", "b", 2, 2, "hash")),
            ("duplicate key", insert("6", "b", 1, 2, "hash")),
            ("seq is not the next", insert("6", "b", 3, 2, "hash")),
            ("seq is not the next", insert("6", "c", 2, 2, "hash")),
            ("prev is not the hash", insert("6", "b", 2, 2, "prev")),
            ("epoch is lower", insert("6", "b", 2, 1, "hash")),
            ("violates check constraint", insert("6", "", 1, 2, "hash")),
            ("invalid input syntax for type json", insert("6", "b", 2, 2, "hash").replace("body", "'no json'")),
            // The trigger looks at the journal, not at what somebody calls by that name.
            ("gseq is not the next", beside_another(&home)),
            // Of several rows in one statement each is looked at.
            (
                "seq is not the next",
                insert("6", "b", 2, 2, "hash") + &insert("7", "b", 4, 2, "hash").replace("INSERT INTO journal", " UNION ALL"),
            ),
        ]
    };
    refuses(schema(&home), OWNER, table()).await;
    refuses(schema(&home), WRITER, table()).await;
    let owner = vec![
        ("never updated", "UPDATE journal SET body = '{}' WHERE gseq = 2".to_owned()),
        ("never updated", insert("5", "b", 2, 2, "hash") + " ON CONFLICT (gseq) DO UPDATE SET body = '{}'"),
        ("never deleted", "DELETE FROM journal WHERE gseq = 5".to_owned()),
        ("never truncated", "TRUNCATE journal".to_owned()),
        ("stays with the account", "DELETE FROM budget_account".to_owned()),
        ("stays with the account", "TRUNCATE budget_account".to_owned()),
        ("keeps its name", "UPDATE budget_account SET account = 'x/y'".to_owned()),
        ("never deleted", "TRUNCATE budget_reservation".to_owned()),
    ];
    refuses(schema(&home), OWNER, owner).await;
    schema(&home).sql(WRITER, &(insert("5", "b", 2, 2, "hash") + " ON CONFLICT DO NOTHING")).await.unwrap();
    assert_eq!(home.open().await.scan(1, 100).await.unwrap(), rows);
    schema(&home).sql(WRITER, &insert("6", "b", 2, 2, "hash")).await.unwrap();
}

/// Row 9 into the table that the test's schema has, after a row 8 of another table of that name.
fn beside_another(home: &Home) -> String {
    let real = format!("{}.journal", schema(home).name());
    format!(
        "CREATE TEMPORARY TABLE journal AS SELECT * FROM {real} WHERE gseq = 5; UPDATE pg_temp.journal SET gseq = 8;
        INSERT INTO {real} SELECT 9, 'b', 2, time, 2, kind, actor, body, hash, hash FROM {real} WHERE gseq = 5"
    )
}

#[tokio::test]
async fn the_writers_role_can_insert_and_select_and_little_else() {
    let (home, _) = five_rows().await;
    let denied = |statement: &str| ("permission denied", statement.to_owned());
    let owns = |statement: &str| ("must be owner", statement.to_owned());
    let table = vec![
        denied("UPDATE journal SET body = '{}'"),
        denied("DELETE FROM journal"),
        denied("TRUNCATE journal"),
        denied("DELETE FROM budget_account"),
        denied("UPDATE budget_account SET account = 'x/y'"),
        denied("DELETE FROM budget_reservation"),
        denied("UPDATE budget_reservation SET tokens = 0"),
        denied("UPDATE _sqlx_migrations SET version = 9"),
        denied("INSERT INTO _sqlx_migrations SELECT * FROM _sqlx_migrations"),
        owns("DROP TABLE journal"),
        owns("ALTER TABLE journal DISABLE TRIGGER USER"),
        owns("DROP TRIGGER journal_is_next ON journal"),
        owns("DROP FUNCTION journal_is_next() CASCADE"),
        ("permission denied", format!("CREATE TABLE {}.other (id int)", schema(&home).name())),
        ("permission denied", "SET session_replication_role = replica".to_owned()),
    ];
    refuses(schema(&home), WRITER, table).await;
    refuses(schema(&home), "stranger", vec![denied(&format!("SELECT * FROM {}.journal", schema(&home).name()))]).await;
}

#[tokio::test]
async fn a_budget_is_guarded_as_its_rows_are() {
    let home = Home::postgres().await;
    let drafts = vec![limited("team/daily", Some(100)), reserved("team/daily", "done", 10), reserved("team/daily", "open", 20)];
    let journal = home.open().await;
    let a = Stream::run("a");
    journal.append(Epoch(1), &a, None, drafts).await.unwrap();
    journal.append(Epoch(1), &a, Some(Seq(3)), vec![given::settled("team/daily", "done", 7)]).await.unwrap();
    let statement = |statement: &str| statement.to_owned();
    let table = vec![
        ("the account exists", statement("INSERT INTO budget_account SELECT * FROM budget_account")),
        ("check constraint", statement("UPDATE budget_account SET used_tokens = -1")),
        ("check constraint", statement("UPDATE budget_account SET reserved_tokens = reserved_tokens - 21")),
        ("check constraint", statement("UPDATE budget_account SET limited = FALSE")),
        ("reserved before", statement("INSERT INTO budget_reservation VALUES ('done', 'team/daily', 1, 0, 0, 0, 2, NULL)")),
        ("with its row", statement("INSERT INTO budget_reservation VALUES ('new', 'team/daily', 1, 0, 0, 0, 1, NULL)")),
        ("with its row", statement("INSERT INTO budget_reservation VALUES ('new', 'x/y', 1, 0, 0, 0, 2, NULL)")),
        ("starts open", statement("INSERT INTO budget_reservation VALUES ('new', 'team/daily', 1, 0, 0, 0, 2, 4)")),
        ("settled once", statement("UPDATE budget_reservation SET settled_gseq = NULL WHERE key = 'done'")),
        ("settled once", statement("UPDATE budget_reservation SET settled_gseq = 3 WHERE key = 'open'")),
    ];
    refuses(schema(&home), WRITER, table).await;
    let owner = vec![("settled once", statement("UPDATE budget_reservation SET tokens = 1, settled_gseq = 4 WHERE key = 'open'"))];
    refuses(schema(&home), OWNER, owner).await;
    journal.verify([]).await.unwrap();
}

#[tokio::test]
async fn two_live_operators_write_one_chain_and_the_older_is_fenced_from_then_on() {
    let home = Home::postgres().await;
    let (old, next) = (home.open().await, home.open().await);
    let streams: Vec<Stream> = (0..8).map(|n| Stream::run(&format!("s{n}"))).collect();
    // Both at once, on streams of their own, before either knows of the other: no row is lost and none has the place of another.
    let both = streams.iter().map(|stream| (if stream.as_str() < "s4" { &old } else { &next }, stream));
    let written = join_all(both.map(|(journal, stream)| journal.append(Epoch(1), stream, None, vec![given::thought("x"); 3]))).await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    next.append(Epoch(2), &streams[7], Some(Seq(3)), vec![given::thought("leads")]).await.unwrap();
    for (stream, after) in [(&streams[0], Some(Seq(3))), (&streams[7], Some(Seq(4)))] {
        let refused = old.append(Epoch(1), stream, after, vec![given::thought("late")]).await;
        assert_eq!(refused, Err(StoreError::Fenced { epoch: Epoch(1), highest: Epoch(2) }));
    }
    assert_eq!(next.verify([]).await.unwrap().rows, 25);
}

/// Whatever the server, the database or the role have for transactions that say nothing.
#[tokio::test]
async fn an_append_that_waited_for_another_writer_goes_on_after_its_rows() {
    for isolation in ["read%5C%20committed", "repeatable%5C%20read", "serializable"] {
        appends_after_waiting(isolation).await;
    }
}

/// The append began when the last row was another, and waits for the lock.
async fn appends_after_waiting(isolation: &str) {
    let home = Home::postgres().await;
    let url = format!("{}%20-cdefault_transaction_isolation%3D{isolation}", schema(&home).url(WRITER));
    let journal = Journal::open_at(&url.parse().unwrap()).await.unwrap();
    let (a, b) = (Stream::run("a"), Stream::run("b"));
    for stream in [&a, &b] {
        journal.append(Epoch(1), stream, None, vec![given::thought("known")]).await.unwrap();
    }
    let (mut other, mut watch) = (schema(&home).raw(WRITER).await, schema(&home).raw(WRITER).await);
    let lock = "BEGIN; SELECT pg_advisory_xact_lock(1380271446, 'journal'::regclass::oid::integer)";
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    let waiting = {
        let (journal, b) = (journal.clone(), b.clone());
        tokio::spawn(async move { journal.append(Epoch(1), &b, Some(Seq(1)), vec![given::thought("after theirs")]).await })
    };
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 'journal'::regclass::oid";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut watch).await.unwrap() == 0 {
        assert!(!waiting.is_finished(), "it did not wait");
        tokio::task::yield_now().await;
    }
    let theirs = Digest::of("theirs");
    let insert =
        format!("INSERT INTO journal SELECT 3, 'a', 2, time, 1, kind, actor, body, hash, '{theirs}' FROM journal WHERE gseq = 2; COMMIT");
    sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut other).await.unwrap();
    let row = waiting.await.unwrap().unwrap_or_else(|error| panic!("{isolation}: {error}")).remove(0);
    assert_eq!((row.gseq, row.seq, row.prev), (4, Seq(2), theirs));
}

#[tokio::test]
async fn a_role_that_owns_nothing_makes_no_tables_and_is_told_what_to_run() {
    let schema = Schema::empty().await;
    let refused = Journal::open_at(&schema.place(WRITER)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unfit { .. } | StoreError::Refused { .. }), "{refused:?}");
    assert!(refused.to_string().contains("reeve journal migrate"), "{refused}");
    assert!(matches!(Journal::open_read_only_at(&schema.place(OWNER)).await, Err(StoreError::NotAJournal { .. })));
    // Who owns them makes them, and brings them up to date.
    let journal = Journal::open_at(&schema.place(OWNER)).await.unwrap();
    journal.append(Epoch(1), &Stream::run("a"), None, vec![given::thought("one")]).await.unwrap();
    let stranger = Journal::open_at(&schema.place("stranger")).await.unwrap_err();
    assert!(matches!(stranger.class(), Class::Invalid | Class::Bug), "{stranger:?}");
}

#[tokio::test]
async fn the_operator_is_given_no_role_that_could_undo_what_guards_the_journal() {
    let schema = Schema::empty().await;
    let Place::Postgres(owner) = schema.place(OWNER) else { panic!("a URL was expected") };
    for (role, why) in [(OWNER, "can act as the owner"), ("postgres", "can act as the owner"), ("nobody_there", "has no role")] {
        let refused = Journal::migrate(&owner, Some(role)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unfit { .. }) && refused.to_string().contains(why), "{role}: {refused}");
    }
    assert_eq!(Journal::migrate(&owner, Some(WRITER)).await, Ok(3));
    assert_eq!(Journal::migrate(&owner, Some(WRITER)).await, Ok(3), "safe to repeat");
    Journal::open_at(&schema.place(WRITER)).await.unwrap();
}

#[tokio::test]
async fn a_schema_newer_than_the_binary_and_tables_of_others_are_refused_and_left_alone() {
    let (home, _) = five_rows().await;
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (999, 'later', TRUE, '\\x00', 0)";
    home.sql(newer).await.unwrap();
    for refused in [Journal::open_at(&home.place()).await, Journal::open_read_only_at(&home.place()).await] {
        assert!(matches!(refused, Err(StoreError::NewerSchema { found: 999, known: 3, .. })), "{refused:?}");
    }
    let Place::Postgres(owner) = schema(&home).place(OWNER) else { panic!("a URL was expected") };
    assert!(matches!(Journal::migrate(&owner, None).await, Err(StoreError::NewerSchema { .. })));
    for theirs in [
        "CREATE TABLE journal (id int)",
        "CREATE TABLE _sqlx_migrations (version bigint, success bool); INSERT INTO _sqlx_migrations VALUES (1, true)",
    ] {
        let other = Schema::empty().await;
        other.sql(OWNER, theirs).await.unwrap();
        let refused = Journal::open_at(&other.place(OWNER)).await;
        assert!(matches!(refused, Err(StoreError::NotAJournal { .. })), "{theirs}: {refused:?}");
    }
}

#[tokio::test]
async fn a_password_is_in_no_error_and_in_nothing_that_is_shown() {
    let schema = Schema::empty().await;
    let place = |password: &str| schema.url("guarded").replace("guarded@", &format!("guarded:{password}@")).parse::<Place>().unwrap();
    for wrong in [place("hunter2"), "postgres://guarded:hunter2@127.0.0.1:1/journal".parse().unwrap()] {
        for refused in [Journal::open_at(&wrong).await.unwrap_err(), Journal::open_read_only_at(&wrong).await.unwrap_err()] {
            assert_eq!(refused.class(), Class::Transient);
            let shown = format!("{refused} {refused:?} {wrong} {wrong:?}");
            assert!(shown.contains("guarded") && !shown.contains("hunter2"), "{shown}");
        }
    }
    server::superuser(&format!("GRANT ALL ON SCHEMA {} TO guarded", schema.name())).await;
    let journal = Journal::open_at(&place("right")).await.unwrap();
    assert!(!format!("{journal:?} {journal:#?}").contains("right"));
}

#[tokio::test]
async fn a_connection_that_the_server_ends_is_made_anew() {
    let home = Home::postgres().await;
    let journal = home.open().await;
    let a = Stream::run("a");
    journal.append(Epoch(1), &a, None, vec![given::thought("one")]).await.unwrap();
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{WRITER}' AND query LIKE '%' AND pid IN
            (SELECT pid FROM pg_stat_activity WHERE application_name = '{}')",
        schema(&home).name()
    );
    drop(journal);
    let named: Place = format!("{}&application_name={}", schema(&home).url(WRITER), schema(&home).name()).parse().unwrap();
    let journal = Journal::open_at(&named).await.unwrap();
    assert_eq!(journal.head(&a).await.unwrap().map(|head| head.seq), Some(Seq(1)));
    server::superuser(&end).await;
    let lost = journal.append(Epoch(1), &a, Some(Seq(1)), vec![given::thought("two")]).await.unwrap_err();
    assert_eq!(lost.class(), Class::Transient, "{lost}");
    let head = journal.head(&a).await.unwrap().map(|head| head.seq);
    assert_eq!(head, Some(Seq(1)), "reads recover by themselves");
    journal.append(Epoch(1), &a, head, vec![given::thought("two")]).await.unwrap();
}

/// What the line does when a COMMIT goes by.
const PASS: u8 = 0;
const CUT_BEFORE_COMMIT: u8 = 1;
const CUT_AFTER_COMMIT: u8 = 2;

#[tokio::test]
async fn a_connection_cut_around_the_commit_leaves_all_or_nothing_and_the_head_tells() {
    let home = Home::postgres().await;
    let cut = Arc::new(AtomicU8::new(PASS));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let line = tokio::spawn(serve_line(listener, Arc::clone(&cut)));
    let through: Place =
        format!("postgres://{WRITER}@127.0.0.1:{port}/postgres?sslmode=disable&options=-csearch_path%3D{}", schema(&home).name())
            .parse()
            .unwrap();
    let journal = Journal::open_at(&through).await.unwrap();
    let a = Stream::run("a");
    let drafts = || vec![limited("team/daily", Some(9)), given::thought("x")];
    for (how, after, written) in [(CUT_BEFORE_COMMIT, None, 0), (CUT_AFTER_COMMIT, None, 2), (CUT_AFTER_COMMIT, Some(Seq(2)), 4)] {
        cut.store(how, Ordering::SeqCst);
        let lost = journal.append(Epoch(1), &a, after, drafts()).await.unwrap_err();
        assert!(matches!(lost, StoreError::Unavailable { .. }), "{lost:?}");
        assert_eq!(journal.head(&a).await.unwrap().map_or(0, |head| head.seq.0), written);
    }
    // Of a group whose answer is lost, each that was written finds its stream moved on, and none is written twice.
    cut.store(CUT_AFTER_COMMIT, Ordering::SeqCst);
    let streams: Vec<Stream> = (0..4).map(|n| Stream::run(&format!("s{n}"))).collect();
    let outcomes = join_all(streams.iter().map(|stream| journal.append(Epoch(1), stream, None, vec![given::thought("y")]))).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(StoreError::StaleHead { found: Some(Seq(1)), .. }))), "{outcomes:?}");
    journal.append(Epoch(1), &a, Some(Seq(4)), drafts()).await.unwrap();
    assert_eq!(journal.verify([]).await.unwrap().rows, 10);
    line.abort();
}

async fn serve_line(listener: TcpListener, cut: Arc<AtomicU8>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        tokio::spawn(carry(client, Arc::clone(&cut)));
    }
}

/// Carries bytes both ways until one side ends, or the line is to be cut.
async fn carry(client: TcpStream, cut: Arc<AtomicU8>) {
    let server = UnixStream::connect(server::socket()).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut committing = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut asked) => {
                let Ok(bytes @ 1..) = read else { return };
                if asked[..bytes].windows(7).any(|word| word == b"COMMIT\0") {
                    match cut.swap(PASS, Ordering::SeqCst) {
                        CUT_BEFORE_COMMIT => return,
                        how => committing = how == CUT_AFTER_COMMIT,
                    }
                }
                to_server.write_all(&asked[..bytes]).await.unwrap();
            }
            read = from_server.read(&mut answered) => {
                let Ok(bytes @ 1..) = read else { return };
                if committing {
                    return;
                }
                if to_client.write_all(&answered[..bytes]).await.is_err() {
                    return;
                }
            }
        }
    }
}
