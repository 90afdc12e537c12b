//! Looking into a sandbox from outside, as an administrator with `kubectl exec` or on the node can.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::AttachParams;
use tokio::io::AsyncReadExt as _;

use super::{World, deadline};

/// Between two looks at the processes of this machine: a hundredth of the shortest time in which any of them must be dead.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl World {
    /// Waits until the only Pod of the namespace runs.
    pub async fn running_pod(&self) -> Pod {
        let job = self.wait_for_job().await;
        let selector = format!("job-name={job}");
        let pods = self.api::<Pod>();
        let stream = kube::runtime::watcher(pods, kube::runtime::watcher::Config::default().labels(&selector));
        let running = async {
            use futures::TryStreamExt as _;
            use kube::runtime::WatchStreamExt as _;
            let mut stream = std::pin::pin!(stream.applied_objects());
            while let Some(pod) = stream.try_next().await.unwrap() {
                if pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running") {
                    return pod;
                }
            }
            panic!("the watch of Pods ended");
        };
        tokio::time::timeout(deadline(), running).await.unwrap_or_else(|_| panic!("no Pod of Job {job} runs after {:?}", deadline()))
    }

    async fn wait_for_job(&self) -> String {
        let all = kube::runtime::watcher(self.api::<k8s_openapi::api::batch::v1::Job>(), kube::runtime::watcher::Config::default());
        let first = async {
            use futures::TryStreamExt as _;
            use kube::runtime::WatchStreamExt as _;
            let mut stream = std::pin::pin!(all.applied_objects());
            stream.try_next().await.unwrap().and_then(|job| job.metadata.name).expect("the watch of Jobs ended")
        };
        tokio::time::timeout(deadline(), first).await.unwrap_or_else(|_| panic!("there is no Job after {:?}", deadline()))
    }

    /// Runs a command in the sandbox's container; gives what it prints. It must exit with 0.
    pub async fn exec(&self, command: &[&str]) -> String {
        let pod = self.running_pod().await.metadata.name.unwrap();
        let running = async {
            let mut process = self.api::<Pod>().exec(&pod, command.iter().copied(), &AttachParams::default().stderr(true)).await.unwrap();
            let (mut out, mut error) = (String::new(), String::new());
            let (mut stdout, mut stderr) = (process.stdout().unwrap(), process.stderr().unwrap());
            let (read_out, read_error) = tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut error));
            read_out.unwrap();
            read_error.unwrap();
            let status = process.take_status().unwrap().await.expect("the API server says how it ended");
            assert_eq!(status.status.as_deref(), Some("Success"), "{command:?} in {pod}: {status:?}\n{out}{error}");
            out
        };
        tokio::time::timeout(deadline(), running).await.unwrap_or_else(|_| panic!("{command:?} in {pod} still runs after {:?}", deadline()))
    }

    /// Waits until a file is in the workspace: a tool says by it how far it has come.
    pub async fn exec_until_there(&self, file: &str) {
        let script = format!("until [ -e /workspace/{file} ]; do sleep 0.05; done");
        self.exec(&["timeout", &deadline().as_secs().to_string(), "sh", "-c", &script]).await;
    }

    /// UID of the only Pod, once it runs.
    pub async fn running_pod_uid(&self) -> String {
        self.running_pod().await.metadata.uid.unwrap()
    }

    /// Processes of this Pod on its node whose arguments hold this text.
    pub fn processes_of(&self, pod_uid: &str, text: &str) -> usize {
        processes(pod_uid).iter().filter(|process| process.arguments.contains(text)).count()
    }

    /// Waits until no process of this Pod has this text in its arguments.
    pub async fn until_no_process(&self, pod_uid: &str, text: &str) {
        let gone = async {
            let mut looks = tokio::time::interval(LOOK_AGAIN);
            while self.processes_of(pod_uid, text) > 0 {
                looks.tick().await;
            }
        };
        tokio::time::timeout(deadline(), gone).await.unwrap_or_else(|_| panic!("a process of Pod {pod_uid} still holds {text:?}"));
    }

    /// Kills `reeve tools attach` of the only Pod on its node: the operator's stream breaks, the sandbox goes on.
    pub async fn cut_the_stream(&self) {
        let uid = self.running_pod().await.metadata.uid.unwrap();
        kill(&uid, |process| process.arguments.contains("tools attach"));
    }

    /// Kills the first process of the only Pod's container on its node, as the kernel does when it runs out of memory.
    pub async fn kill_pid_1(&self) {
        let uid = self.running_pod().await.metadata.uid.unwrap();
        kill(&uid, |process| process.arguments.contains("tools serve") && process.inner_pid == "1");
    }
}

/// A process of a Pod, seen on its node.
#[derive(Debug)]
struct Process {
    pid: i32,
    /// Its number in the container.
    inner_pid: String,
    arguments: String,
}

/// Kills the one process of this Pod that is wanted.
fn kill(pod_uid: &str, wanted: impl Fn(&Process) -> bool) {
    let (found, others): (Vec<_>, Vec<_>) = processes(pod_uid).into_iter().partition(wanted);
    let [process] = found.as_slice() else {
        panic!("expected one such process of Pod {pod_uid} on this machine (is the node another one?), found {found:?} beside {others:?}")
    };
    rustix::process::kill_process(rustix::process::Pid::from_raw(process.pid).unwrap(), rustix::process::Signal::KILL).unwrap();
}

/// Processes of this Pod, by their cgroup.
fn processes(pod_uid: &str) -> Vec<Process> {
    let systemd_form = pod_uid.replace('-', "_");
    let read = |folder: &PathBuf, file: &str| {
        std::fs::read(folder.join(file)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter_map(|folder| {
            let pid = folder.file_name()?.to_str()?.parse().ok()?;
            let cgroup = read(&folder, "cgroup");
            if !cgroup.contains(pod_uid) && !cgroup.contains(&systemd_form) {
                return None;
            }
            let status = read(&folder, "status");
            let inner = status.lines().find_map(|line| line.strip_prefix("NSpid:")).and_then(|pids| pids.split_whitespace().last());
            Some(Process { pid, inner_pid: inner.unwrap_or_default().to_owned(), arguments: read(&folder, "cmdline").replace('\0', " ") })
        })
        .collect()
}
