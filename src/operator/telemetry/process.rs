//! This process in figures, read from `/proc` when someone asks.

use std::fs;

use prometheus::core::Desc;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge};

/// Clock ticks a second in `/proc/self/stat`: fixed by the kernel's interface to user space (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory, open files and processor time, by the names that Prometheus' own clients use.
pub(super) struct Collector {
    resident: IntGauge,
    open_files: IntGauge,
    processor: Gauge,
}

impl Collector {
    pub(super) fn new() -> prometheus::Result<Collector> {
        Ok(Collector {
            resident: IntGauge::new("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            open_files: IntGauge::new("process_open_fds", "Number of open file descriptors.")?,
            processor: Gauge::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")?,
        })
    }
}

impl prometheus::core::Collector for Collector {
    fn desc(&self) -> Vec<&Desc> {
        [self.resident.desc(), self.open_files.desc(), self.processor.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // A figure that cannot be read is left out: a zero would be a lie.
        let mut families = Vec::new();
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
            families.extend(self.resident.collect());
        }
        if let Some(count) = fs::read_dir("/proc/self/fd").ok().and_then(|entries| i64::try_from(entries.count()).ok()) {
            self.open_files.set(count);
            families.extend(self.open_files.collect());
        }
        if let Some(seconds) = processor_seconds() {
            self.processor.set(seconds);
            families.extend(self.processor.collect());
        }
        families
    }
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib: i64 = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// `pid (name) state ...`, where the name may hold anything: user and system time are fields 14 and 15, twelfth and thirteenth after it.
fn processor_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_ascii_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}
