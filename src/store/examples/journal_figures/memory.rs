//! What verifying takes of memory: a process of its own for each journal, and the most that it ever had resident.

use std::path::Path;
use std::process::Command;

use reeve_core::journal::{Epoch, Stream};
use reeve_store::{Journal, Place, verify_export};

use super::{draft, figure};

/// Rows of one run: what is kept while verifying is a place for each run.
const RUN_ROWS: usize = 250;
const FEW: usize = 100_000;
const MANY: usize = 1_000_000;

/// The word by which this program is told to verify, and nothing else.
const VERIFY: &str = "verify";

/// The value is that of a million rows, beside that of a hundred thousand.
pub(crate) async fn peaks(directory: &Path) {
    let (database, export) = (directory.join("large.db"), directory.join("large.jsonl"));
    let journal = Journal::open(&database).await.unwrap();
    let mut peaks = Vec::new();
    let mut rows = 0;
    for upto in [FEW, MANY] {
        while rows < upto {
            let run = Stream::run(&format!("0b8e4c4e-6f0b-4c1e-9a57-{:012}", rows / RUN_ROWS));
            journal.append(Epoch(1), &run, None, vec![draft(); RUN_ROWS]).await.unwrap();
            rows += RUN_ROWS;
        }
        let mut out = tokio::io::BufWriter::new(tokio::fs::File::create(&export).await.unwrap());
        assert_eq!(journal.export(&mut out).await.unwrap(), rows as u64);
        peaks.push([peak_mib(&export, rows), peak_mib(&database, rows)]);
    }
    journal.close().await;
    let [few, many] = [peaks[0], peaks[1]];
    figure("verify_export_peak_rss_mib", many[0], "MiB", few[0]);
    figure("verify_database_peak_rss_mib", many[1], "MiB", few[1]);
}

fn peak_mib(journal: &Path, rows: usize) -> f64 {
    let child = Command::new(std::env::current_exe().unwrap()).arg(VERIFY).arg(journal).output().unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let said = String::from_utf8(child.stdout).unwrap();
    let (verified, kib) = said.trim().split_once(' ').unwrap();
    assert_eq!(verified, rows.to_string());
    kib.parse::<f64>().unwrap() / 1024.0
}

/// As a child of the above: verifies a file and says how many rows there were and the most that was resident, KiB. False: it is none.
pub(crate) async fn is_child() -> bool {
    let mut arguments = std::env::args().skip(1);
    let (Some(VERIFY), Some(path)) = (arguments.next().as_deref(), arguments.next()) else { return false };
    let verified = if path.ends_with(".jsonl") {
        verify_export(tokio::io::BufReader::new(tokio::fs::File::open(path).await.unwrap()), []).await
    } else {
        let journal = Journal::open_read_only_at(&path.parse::<Place>().unwrap()).await.unwrap();
        journal.verify([]).await
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("{} {}", verified.unwrap().rows, peak.trim().trim_end_matches(" kB"));
    true
}
