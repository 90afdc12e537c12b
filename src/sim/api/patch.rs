//! JSON merge patch (RFC 7396) and JSON patch (RFC 6902).

use serde_json::{Map, Value};

/// Applies a merge patch.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(map) = target else { return };
    for (name, wanted) in patch {
        if wanted.is_null() {
            map.remove(name);
        } else {
            merge(map.entry(name.clone()).or_insert(Value::Null), wanted);
        }
    }
}

/// Why a JSON patch does not fit the object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DoesNotFit;

/// Applies JSON patch operations in order.
///
/// As in kube-apiserver, and unlike RFC 6902, `replace` of an absent field of an object adds it, and `copy` of one copies null.
///
/// # Errors
/// An operation that is unknown or incomplete, a path that is not there, a test that fails.
pub(crate) fn json(target: &mut Value, operations: &[Value]) -> Result<(), DoesNotFit> {
    for operation in operations {
        let path = pointer(operation, "path")?;
        match operation["op"].as_str().ok_or(DoesNotFit)? {
            "add" => add(target, &path, operation.get("value").ok_or(DoesNotFit)?.clone())?,
            "remove" => {
                remove(target, &path)?;
            }
            "replace" => {
                let value = operation.get("value").ok_or(DoesNotFit)?.clone();
                replace(target, &path, value)?;
            }
            "move" => {
                let value = remove(target, &pointer(operation, "from")?)?;
                add(target, &path, value)?;
            }
            "copy" => {
                let from = pointer(operation, "from")?;
                let value = field_or_null(target, &from)?;
                add(target, &path, value)?;
            }
            "test" => {
                let wanted = operation.get("value").unwrap_or(&Value::Null);
                if field_or_null(target, &path)? != *wanted {
                    return Err(DoesNotFit);
                }
            }
            _ => return Err(DoesNotFit),
        }
    }
    Ok(())
}

fn pointer(operation: &Value, name: &str) -> Result<Vec<String>, DoesNotFit> {
    let text = operation[name].as_str().ok_or(DoesNotFit)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let steps = text.strip_prefix('/').ok_or(DoesNotFit)?;
    Ok(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

fn find_mut<'a>(target: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(target, |at, step| match at {
        Value::Object(map) => map.get_mut(step),
        Value::Array(items) => items.get_mut(index(step)?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// What is there; null for a field that an object lacks.
fn field_or_null(target: &mut Value, path: &[String]) -> Result<Value, DoesNotFit> {
    if let Some(found) = find_mut(target, path) {
        return Ok(found.clone());
    }
    let (_, above) = path.split_last().ok_or(DoesNotFit)?;
    find_mut(target, above).filter(|above| above.is_object()).map(|_| Value::Null).ok_or(DoesNotFit)
}

/// An index as RFC 6901 writes it: no sign, no leading zero.
fn index(step: &str) -> Option<usize> {
    let plain = step == "0" || (!step.starts_with('0') && step.bytes().all(|byte| byte.is_ascii_digit()));
    if plain { step.parse().ok() } else { None }
}

fn add(target: &mut Value, path: &[String], value: Value) -> Result<(), DoesNotFit> {
    let Some((last, above)) = path.split_last() else {
        *target = value;
        return Ok(());
    };
    match find_mut(target, above).ok_or(DoesNotFit)? {
        Value::Object(map) => {
            map.insert(last.clone(), value);
        }
        Value::Array(items) => {
            let at = if last == "-" { items.len() } else { index(last).ok_or(DoesNotFit)? };
            if at > items.len() {
                return Err(DoesNotFit);
            }
            items.insert(at, value);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(DoesNotFit),
    }
    Ok(())
}

fn replace(target: &mut Value, path: &[String], value: Value) -> Result<(), DoesNotFit> {
    let Some((last, above)) = path.split_last() else {
        *target = value;
        return Ok(());
    };
    match find_mut(target, above).ok_or(DoesNotFit)? {
        Value::Object(map) => {
            map.insert(last.clone(), value);
        }
        Value::Array(items) => *index(last).and_then(|at| items.get_mut(at)).ok_or(DoesNotFit)? = value,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(DoesNotFit),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &[String]) -> Result<Value, DoesNotFit> {
    let (last, above) = path.split_last().ok_or(DoesNotFit)?;
    match find_mut(target, above).ok_or(DoesNotFit)? {
        Value::Object(map) => map.remove(last).ok_or(DoesNotFit),
        Value::Array(items) => {
            let at = index(last).filter(|at| *at < items.len()).ok_or(DoesNotFit)?;
            Ok(items.remove(at))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(DoesNotFit),
    }
}
