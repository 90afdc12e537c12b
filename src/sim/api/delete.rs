//! DELETE.

use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::admission::Operation;
use super::meta;
use super::request::Target;
use super::server::{ApiServer, Asked};
use super::status::{About, Failure};

/// What becomes of the objects that name the deleted one as owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dependents {
    /// The garbage collector takes them, sooner or later.
    Background,
    /// They go first.
    Foreground,
    /// They stay, without this owner.
    Orphan,
}

/// How to delete, from query and body.
#[derive(Debug)]
struct Options {
    uid: Option<String>,
    version: Option<String>,
    dependents: Option<Dependents>,
    grace_s: Option<i64>,
    dry_run: bool,
}

impl ApiServer {
    pub(crate) fn delete(&mut self, asked: &Asked<'_>, target: &Target<'_>, body: &Bytes) -> Result<(u16, Arc<Value>), Failure> {
        let options = options(asked, body)?;
        let live = self.store.get(&target.key()).cloned().ok_or_else(|| Failure::not_found(target.about()))?;
        preconditions(target, &options, &live)?;
        self.admit(asked, target, Operation::Delete, None, Some(&live))?;
        let (object, gone) = ended(target, &options, &live, asked.now);
        if options.dry_run {
            return Ok((200, Arc::new(if gone { success(target, &live) } else { object })));
        }
        if gone {
            self.store.remove(&target.key());
            return Ok((200, Arc::new(success(target, &live))));
        }
        let stored = if object == *live { live } else { self.store.put(target.key(), object) };
        Ok((200, stored))
    }

    pub(crate) fn delete_all(&mut self, asked: &Asked<'_>, target: &Target<'_>, body: &Bytes) -> Result<(u16, Arc<Value>), Failure> {
        let (code, list) = self.list(asked, target)?;
        let names: Vec<String> = list["items"].as_array().into_iter().flatten().map(|item| meta::text(item, "name").to_owned()).collect();
        for name in names {
            match self.delete(asked, &Target { name: &name, ..*target }, body) {
                // Gone in between is what was asked for.
                Err(failure) if failure.code != 404 => return Err(failure),
                Ok(_) | Err(_) => {}
            }
        }
        Ok((code, list))
    }
}

/// The object as it is once it is asked to end, and whether it goes at once.
fn ended(target: &Target<'_>, options: &Options, live: &Value, now: Timestamp) -> (Value, bool) {
    let mut object = live.clone();
    let mut finalizers: Vec<String> = meta::finalizers(live).into_iter().map(str::to_owned).collect();
    if let Some(dependents) = options.dependents {
        finalizers.retain(|name| !matches!(name.as_str(), "orphan" | "foregroundDeletion"));
        match dependents {
            Dependents::Background => {}
            Dependents::Foreground => finalizers.push("foregroundDeletion".to_owned()),
            Dependents::Orphan => finalizers.push("orphan".to_owned()),
        }
    }
    let waits = finalizers.len();
    let metadata = meta::of(&mut object);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), json!(finalizers));
    }
    let running = target.kind.plural == "pods"
        && live["spec"]["nodeName"].is_string()
        && !matches!(live["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let usual = live["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    let grace_s = if running { options.grace_s.unwrap_or(usual).max(0) } else { 0 };
    let already = live["metadata"]["deletionGracePeriodSeconds"].as_i64();
    if already.is_none_or(|already| grace_s < already) {
        let at = now.saturating_add(SignedDuration::from_secs(grace_s)).unwrap_or(now);
        let first = already.is_none();
        metadata.insert("deletionTimestamp".to_owned(), meta::seconds(at));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace_s));
        if let Some(generation) = metadata.get("generation").and_then(Value::as_u64).filter(|generation| first && *generation > 0) {
            metadata.insert("generation".to_owned(), json!(generation + 1));
        }
    }
    if target.kind.plural == "namespaces" {
        object["status"]["phase"] = json!("Terminating");
        return (object, false);
    }
    (object, waits == 0 && grace_s == 0)
}

fn success(target: &Target<'_>, live: &Value) -> Value {
    let mut details = json!({ "name": meta::text(live, "name"), "kind": target.kind.plural, "uid": meta::text(live, "uid") });
    if !target.kind.group.is_empty() {
        details["group"] = json!(target.kind.group);
    }
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}

fn preconditions(target: &Target<'_>, options: &Options, live: &Value) -> Result<(), Failure> {
    let about = About { plural: &target.kind.kind, ..target.about() };
    let uid = meta::text(live, "uid");
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then \
             recreated"
        );
        return Err(Failure::conflict(about, &why));
    }
    let version = meta::text(live, "resourceVersion");
    if let Some(wanted) = options.version.as_deref().filter(|wanted| *wanted != version) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might \
             have been modified"
        );
        return Err(Failure::conflict(about, &why));
    }
    Ok(())
}

/// The options of a body, or those of the query where there is no body.
fn options(asked: &Asked<'_>, body: &Bytes) -> Result<Options, Failure> {
    let said: Value = if body.is_empty() {
        let query = &asked.query;
        let dry_run = if query.dry_run() { json!(["All"]) } else { json!([]) };
        json!({ "propagationPolicy": query.text("propagationPolicy"), "gracePeriodSeconds": query.number("gracePeriodSeconds"), "dryRun": dry_run })
    } else {
        serde_json::from_slice(body).map_err(|error| Failure::bad_request(format!("the delete options cannot be read: {error}")))?
    };
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let policy = text(&said["propagationPolicy"]);
    let dependents = match policy.as_deref() {
        None => None,
        Some("Background") => Some(Dependents::Background),
        Some("Foreground") => Some(Dependents::Foreground),
        Some("Orphan") => Some(Dependents::Orphan),
        Some(other) => {
            let about = About { group: "meta.k8s.io", plural: "", kind: "DeleteOptions", name: "" };
            let supported = ["\"Foreground\"", "\"Background\"", "\"Orphan\"", "\"nil\""].map(str::to_owned);
            let cause = super::status::Cause::unsupported("propagationPolicy", &Value::from(other), &supported);
            return Err(Failure::invalid(about, &[cause]));
        }
    };
    Ok(Options {
        uid: text(&said["preconditions"]["uid"]),
        version: text(&said["preconditions"]["resourceVersion"]),
        dependents,
        grace_s: said["gracePeriodSeconds"].as_i64(),
        dry_run: said["dryRun"].as_array().is_some_and(|all| !all.is_empty()),
    })
}
