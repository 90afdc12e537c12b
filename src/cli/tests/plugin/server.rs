//! An API server that says what a test wrote down, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A request: `PATCH /apis/…?dryRun=All`, and its body.
pub(crate) type Asked = (String, Value);

type Answers = Arc<Mutex<BTreeMap<String, Vec<(u16, Value)>>>>;

/// The server, and a kubeconfig that leads to it.
pub(crate) struct Server {
    answers: Answers,
    asked: Arc<Mutex<Vec<Asked>>>,
    kubeconfig: PathBuf,
    _directory: TempDir,
}

impl Server {
    /// One that knows who is asking and nothing else: what it does not know is not found.
    pub(crate) fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": format!("http://{address}") } }],
            "users": [{ "name": "u", "user": {} }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u", "namespace": "team" } }]
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let (answers, asked) = (Answers::default(), Arc::new(Mutex::new(Vec::new())));
        let (to_answer, to_ask) = (Arc::clone(&answers), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answers, asked) = (Arc::clone(&to_answer), Arc::clone(&to_ask));
                std::thread::spawn(move || serve(stream.unwrap(), &answers, &asked));
            }
        });
        let server = Server { answers, asked, kubeconfig, _directory: directory };
        let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {} });
        server.says(
            "POST /apis/authentication.k8s.io/v1/selfsubjectreviews",
            201,
            with(&review, "status", json!({ "userInfo": { "username": "bob" } })),
        );
        server.says("GET /version", 200, json!({ "major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": "" }));
        server
    }

    /// What it says to a request; several in turn, the last one for ever.
    pub(crate) fn says(&self, request: &str, status: u16, body: Value) {
        self.answers.lock().unwrap().entry(request.to_owned()).or_default().push((status, body));
    }

    /// What it says where admission or RBAC refuses.
    pub(crate) fn refuses(&self, request: &str, status: u16, message: &str) {
        self.says(
            request,
            status,
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "Forbidden", "code": status }),
        );
    }

    /// Runs `kubectl-reeve` against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-reeve"));
        command.args(arguments).arg("--kubeconfig").arg(&self.kubeconfig).env_clear().stdin(Stdio::null()).output().unwrap()
    }

    /// What it was asked that changes something, in order.
    pub(crate) fn writes(&self) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(request, _)| !request.starts_with("GET ") && !request.contains("selfsubjectreviews")).cloned().collect()
    }
}

/// The object with one more field.
pub(crate) fn with(object: &Value, field: &str, value: Value) -> Value {
    let mut object = object.clone();
    object[field] = value;
    object
}

fn serve(stream: TcpStream, answers: &Answers, asked: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if header.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let mut words = first.split_whitespace();
        let request = format!("{} {}", words.next().unwrap(), words.next().unwrap().trim_end_matches('?').replace("?&", "?"));
        asked.lock().unwrap().push((request.clone(), serde_json::from_slice(&body).unwrap_or(Value::Null)));
        let (status, answer) = answer(answers, &request);
        let text = answer.to_string();
        let head = format!("HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", text.len());
        if stream.write_all((head + &text).as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(answers: &Answers, request: &str) -> (u16, Value) {
    let mut answers = answers.lock().unwrap();
    match answers.get_mut(request) {
        Some(turns) if turns.len() > 1 => turns.remove(0),
        Some(turns) => turns[0].clone(),
        None => (
            404,
            json!({ "kind": "Status", "status": "Failure", "message": format!("{request} not found"), "reason": "NotFound", "code": 404 }),
        ),
    }
}
