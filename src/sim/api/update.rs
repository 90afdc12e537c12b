//! PUT and PATCH.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::admission::Operation;
use super::builtin;
use super::merge::Difference;
use super::meta;
use super::ownership::{Ignored, Owners};
use super::patch;
use super::request::{PatchType, Target};
use super::schema::{Repeats, does_not_fit};
use super::server::{ApiServer, Asked};
use super::status::{About, Cause, Failure};
use super::write::{fits, parse};

const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

impl ApiServer {
    pub(crate) fn replace(&mut self, asked: &Asked<'_>, target: &Target<'_>, body: &Bytes) -> Result<(u16, Arc<Value>), Failure> {
        let mut object = parse(target, body)?;
        same_name(&object, target)?;
        let live = self.store.get(&target.key()).cloned();
        let makes = target.kind.rules.create_on_update && target.subresource.is_empty();
        if live.is_none() && !makes {
            return Err(Failure::not_found(target.about()));
        }
        let uid = live.as_ref().map(|live| meta::text(live, "uid")).unwrap_or_default();
        let wanted = meta::text(&object, "uid");
        if !wanted.is_empty() && wanted != uid {
            return Err(Failure::conflict(target.about(), &another_uid(target, wanted, uid)));
        }
        let Some(live) = live else {
            if !asked.query.dry_run() {
                meta::of(&mut object).remove("resourceVersion");
            }
            return self.create_object(asked, target, object);
        };
        target.kind.complete(&mut object);
        self.own_changes(asked, target, &live, &mut object);
        let found = meta::text(&object, "resourceVersion");
        if found.is_empty() {
            if !target.kind.rules.unconditional_update {
                let cause = Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
                let about = About { kind: &target.kind.plural, ..target.about() };
                return Err(Failure::invalid(about, &[cause]));
            }
        } else if found != meta::text(&live, "resourceVersion") {
            return Err(Failure::conflict(target.about(), MODIFIED));
        }
        self.settle(asked, target, &live, object)
    }

    pub(crate) fn patch(
        &mut self,
        asked: &Asked<'_>,
        target: &Target<'_>,
        patch: Option<PatchType>,
        body: &Bytes,
    ) -> Result<(u16, Arc<Value>), Failure> {
        let unsupported =
            || Failure { details: Some(Box::new(json!({}))), ..Failure::unsupported_media_type("415: Unsupported Media Type") };
        let patch = patch.ok_or_else(unsupported)?;
        check_options(asked, patch)?;
        match patch {
            PatchType::Apply => self.apply(asked, target, body),
            PatchType::StrategicMerge if target.kind.rules.custom => Err(unsupported()),
            PatchType::StrategicMerge => {
                Err(Failure::bad_request("the simulator serves no strategic merge patch: use a merge patch or server-side apply"))
            }
            PatchType::Json | PatchType::Merge => {
                let live = self.store.get(&target.key()).cloned().ok_or_else(|| Failure::not_found(target.about()))?;
                let mut object = patched(&live, patch, body)?;
                if let Some(why) = builtin::unreadable(target.kind, &object) {
                    let cause = Cause::invalid("patch", &Value::from(object.to_string()), &why);
                    return Err(Failure::invalid(About { group: "", plural: "", kind: "", name: "" }, &[cause]));
                }
                same_name(&object, target)?;
                target.kind.complete(&mut object);
                self.own_changes(asked, target, &live, &mut object);
                let found = meta::text(&object, "resourceVersion");
                if !found.is_empty() && found != meta::text(&live, "resourceVersion") {
                    return Err(Failure::conflict(target.about(), MODIFIED));
                }
                self.settle(asked, target, &live, object)
            }
        }
    }

    fn apply(&mut self, asked: &Asked<'_>, target: &Target<'_>, body: &Bytes) -> Result<(u16, Arc<Value>), Failure> {
        let config = configuration(target, body)?;
        if config["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        let live = self.store.get(&target.key()).cloned();
        let Some(before) = live.or_else(|| target.subresource.is_empty().then(|| Arc::new(builtin::empty(target.kind)))) else {
            return Err(Failure::not_found(target.about()));
        };
        fits_schema(target, &config)?;
        let new = meta::text(&before, "uid").is_empty();
        if new && !meta::text(&config, "uid").is_empty() {
            let why =
                format!("uid mismatch: the provided object specified uid {}, and no existing object was found", meta::text(&config, "uid"));
            return Err(Failure::conflict(target.about(), &why));
        }
        let api_version = target.kind.api_version();
        let writer = self.writer(asked, target, &api_version, "Apply");
        let ignored = Ignored::for_writes_of(target.subresource, target.kind.rules.status);
        let past = Owners::of(&before);
        let mut owners = past.clone();
        let mut object = owners
            .applied(&before, &config, &target.kind.shape, &writer, &ignored, asked.query.is("force"))
            .map_err(|conflicts| Failure::apply_conflict(&conflicts))?;
        target.kind.complete_applied(&mut object);
        owners.write(&mut object, &past, asked.now);
        same_name(&object, target)?;
        if new {
            return self.insert(asked, target, object);
        }
        if meta::text(&object, "resourceVersion") != meta::text(&before, "resourceVersion") {
            return Err(Failure::conflict(target.about(), MODIFIED));
        }
        self.settle(asked, target, &before, object)
    }

    /// Makes the fields that an update or patch changes its writer's.
    fn own_changes(&self, asked: &Asked<'_>, target: &Target<'_>, live: &Value, object: &mut Value) {
        if !target.kind.placeable(object) {
            // Nobody can be made the owner of what has no place; the server gives up on all owners then.
            meta::of(object).remove("managedFields");
            return;
        }
        let api_version = target.kind.api_version();
        let writer = self.writer(asked, target, &api_version, "Update");
        let past = Owners::of(live);
        // Who sends no owners does not mean to delete them.
        let sent = Owners::of(object);
        let mut owners = if sent.is_empty() { past.clone() } else { sent };
        if owners.is_empty() {
            // Fields that have had no owners get some when somebody applies.
            return;
        }
        let difference = Difference::between(live, object, &target.kind.shape);
        owners.updated(&difference, &writer, &Ignored::for_writes_of(target.subresource, target.kind.rules.status));
        owners.write(object, &past, asked.now);
    }

    /// The last steps of every update: what the road may not change is put back, the result is judged and written.
    fn settle(
        &mut self,
        asked: &Asked<'_>,
        target: &Target<'_>,
        live: &Arc<Value>,
        mut object: Value,
    ) -> Result<(u16, Arc<Value>), Failure> {
        self.mutate(asked, target, &mut object, Some(live))?;
        let mut object = if target.subresource == "status" { status_only(live, object) } else { all_but_status(target, live, object) };
        meta::carry_over(&mut object, live);
        meta::tidy(&mut object);
        object["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        let mut causes = meta::validate_update(&object, live);
        causes.extend(meta::validate(&object, target.kind));
        causes.extend(target.kind.validate(&object, Some(live), target.subresource));
        if !causes.is_empty() {
            return Err(Failure::invalid(target.about(), &causes));
        }
        self.admit(asked, target, Operation::Update, Some(&object), Some(live))?;
        fits(&object)?;
        if asked.query.dry_run() {
            return Ok((200, Arc::new(object)));
        }
        if meta::is_ending(&object) && !meta::has_finalizers(&object) && object["metadata"]["deletionGracePeriodSeconds"] == 0 {
            self.store.remove(&target.key());
            return Ok((200, Arc::new(object)));
        }
        if object == **live {
            return Ok((200, Arc::clone(live)));
        }
        Ok((200, self.store.put(target.key(), object)))
    }
}

fn another_uid(target: &Target<'_>, wanted: &str, found: &str) -> String {
    let group = if target.kind.rules.custom { format!("{}/", target.kind.group) } else { String::new() };
    format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{group}{}/{}/{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
         UID in precondition: {wanted}, UID in object meta: {found}",
        target.kind.plural, target.namespace, target.name
    )
}

/// The live object with the status, and the owners of fields, of the new one.
fn status_only(live: &Value, mut object: Value) -> Value {
    let mut out = live.clone();
    let owners = object["metadata"]["managedFields"].take();
    let metadata = meta::of(&mut out);
    if owners.is_null() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".to_owned(), owners);
    }
    match (object.get_mut("status").map(Value::take), out.as_object_mut()) {
        (Some(status), Some(map)) => {
            map.insert("status".to_owned(), status);
        }
        (None, Some(map)) => {
            map.remove("status");
        }
        (_, None) => {}
    }
    out
}

/// The new object with the status of the live one, and the generation that it has by what changed.
fn all_but_status(target: &Target<'_>, live: &Value, mut object: Value) -> Value {
    if let Some(map) = object.as_object_mut().filter(|_| target.kind.rules.status) {
        match live.get("status") {
            Some(status) => map.insert("status".to_owned(), status.clone()),
            None => map.remove("status"),
        };
    }
    let generation = live["metadata"]["generation"].as_u64();
    let metadata = meta::of(&mut object);
    match generation {
        Some(generation) => metadata.insert("generation".to_owned(), Value::from(generation)),
        None => metadata.remove("generation"),
    };
    if let Some(generation) = generation.filter(|_| target.kind.rules.generation && changed(live, &object)) {
        object["metadata"]["generation"] = Value::from(generation + 1);
    }
    object
}

/// Whether anything but metadata and status differs.
fn changed(live: &Value, object: &Value) -> bool {
    let rest = |object: &Value| -> Vec<(String, Value)> {
        let all = object.as_object().into_iter().flatten();
        let mut rest: Vec<_> = all
            .filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        rest.sort_by(|left, right| left.0.cmp(&right.0));
        rest
    };
    rest(live) != rest(object)
}

/// Reads an applied configuration. Its name and namespace may be left to the path.
fn configuration(target: &Target<'_>, body: &Bytes) -> Result<Value, Failure> {
    let mut config = parse(target, body)?;
    if meta::text(&config, "name").is_empty() {
        meta::of(&mut config).insert("name".to_owned(), Value::from(target.name));
    }
    Ok(config)
}

fn fits_schema(target: &Target<'_>, config: &Value) -> Result<(), Failure> {
    let Some(why) = target.kind.schema.as_ref().and_then(|schema| does_not_fit(schema, config, Repeats::Refused)) else { return Ok(()) };
    let kind = target.kind;
    let what = format!("({}/{}; {}, Kind={})", target.namespace, target.name, kind.api_version(), kind.kind);
    Err(Failure::unforeseen(format!("failed to create typed patch object {what}: {why}")))
}

fn same_name(object: &Value, target: &Target<'_>) -> Result<(), Failure> {
    let name = meta::text(object, "name");
    if name == target.name {
        return Ok(());
    }
    if name.is_empty() {
        let what = format!("the name of the object ({} based on URL) was undeterminable: name must be provided", target.name);
        return Err(Failure::bad_request(what));
    }
    Err(Failure::bad_request(format!("the name of the object ({name}) does not match the name on the URL ({})", target.name)))
}

fn patched(live: &Value, patch: PatchType, body: &Bytes) -> Result<Value, Failure> {
    let read: Value = serde_json::from_slice(body).map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    let mut object = live.clone();
    match (patch, &read) {
        (PatchType::Json, Value::Array(operations)) => patch::json(&mut object, operations).map_err(|patch::DoesNotFit| Failure {
            code: 422,
            reason: "Invalid",
            message: "the server rejected our request due to an error in our request".to_owned(),
            details: Some(Box::new(json!({}))),
        })?,
        (PatchType::Merge, Value::Object(_)) => patch::merge(&mut object, &read),
        (PatchType::Json | PatchType::Merge | PatchType::StrategicMerge | PatchType::Apply, _) => {
            return Err(Failure::bad_request("error decoding patch: not of the form of such a patch"));
        }
    }
    Ok(object)
}

fn check_options(asked: &Asked<'_>, patch: PatchType) -> Result<(), Failure> {
    let about = About { group: "meta.k8s.io", plural: "", kind: "PatchOptions", name: "" };
    if patch == PatchType::Apply && asked.query.text("fieldManager").is_empty() {
        return Err(Failure::invalid(about, &[Cause::required("fieldManager", "is required for apply patch")]));
    }
    if patch != PatchType::Apply && !asked.query.text("force").is_empty() {
        let cause = Cause::new("FieldValueForbidden", "force", "Forbidden: may not be specified for non-apply patch");
        return Err(Failure::invalid(about, &[cause]));
    }
    Ok(())
}
