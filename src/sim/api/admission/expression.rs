//! CEL expressions of policies, and the facts that they are evaluated with.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::extractors::This;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, ExecutionError, Program, Value as Cel};
use serde_json::{Number, Value};

use super::literals::as_maps;
use super::rights::allowed;

/// What expressions may look at.
pub(super) struct Facts {
    pub(super) object: Option<Value>,
    pub(super) old: Option<Value>,
    pub(super) request: Value,
    pub(super) namespace: Option<Value>,
    pub(super) authorizer: Value,
}

/// One expression; one that does not compile fails whenever it is asked.
pub(super) struct Expression {
    program: Result<Program, String>,
    text: String,
}

impl Debug for Expression {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        to.write_str(&self.text)
    }
}

/// The functions that expressions may call.
pub(super) struct Base(Context<'static>);

impl Debug for Base {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        to.write_str("Base")
    }
}

impl Default for Base {
    fn default() -> Base {
        let mut context = Context::default().with_all();
        context.add_function("dyn", |value: Cel| -> Result<Cel, ExecutionError> { Ok(value) });
        for part in ["group", "resource", "subresource", "namespace", "name"] {
            context.add_function(part, move |This(asked): This<Cel>, value: Arc<String>| narrowed(part, &asked, &value));
        }
        context.add_function("check", |This(asked): This<Cel>, verb: Arc<String>| -> Result<Cel, ExecutionError> {
            let asked = to_json(&asked).map_err(|why| ExecutionError::function_error("check", why))?;
            Ok(Cel::Bool(allowed(&asked, &verb)))
        });
        context.add_function("allowed", |This(decision): This<Cel>| -> Result<Cel, ExecutionError> { Ok(decision) });
        Base(context)
    }
}

/// An authorizer that is asked for this part too.
fn narrowed(part: &str, asked: &Cel, value: &Arc<String>) -> Result<Cel, ExecutionError> {
    let Cel::Map(map) = asked else { return Err(ExecutionError::function_error(part, "only the authorizer has it")) };
    let mut narrowed: HashMap<Key, Cel> = (*map.map).clone();
    narrowed.insert(Key::String(Arc::new(part.to_owned())), Cel::String(Arc::clone(value)));
    Ok(Cel::Map(Map { map: Arc::new(narrowed) }))
}

impl Expression {
    pub(super) fn compile(text: &str) -> Expression {
        let program = Program::compile(&as_maps(text)).map_err(|error| error.to_string());
        Expression { program, text: text.to_owned() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The value, with `variables` in scope.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn evaluate(&self, base: &Base, facts: &Facts, variables: &[(String, Expression)]) -> Result<Value, String> {
        let mut context = base.0.new_inner_scope();
        let absent = Value::Null;
        let named = [
            ("object", facts.object.as_ref().unwrap_or(&absent)),
            ("oldObject", facts.old.as_ref().unwrap_or(&absent)),
            ("request", &facts.request),
            ("namespaceObject", facts.namespace.as_ref().unwrap_or(&absent)),
            ("authorizer", &facts.authorizer),
        ];
        for (name, value) in named {
            context.add_variable_from_value(name, to_cel(value));
        }
        // A variable without a value is left out: only who asks for it fails, as where variables are evaluated when asked for.
        let mut values: HashMap<Key, Cel> = HashMap::new();
        for (name, variable) in variables {
            context.add_variable_from_value("variables", Cel::Map(Map { map: Arc::new(values.clone()) }));
            if let Ok(value) = variable.run(&context) {
                values.insert(Key::String(Arc::new(name.clone())), value);
            }
        }
        context.add_variable_from_value("variables", Cel::Map(Map { map: Arc::new(values) }));
        self.run(&context).and_then(|value| to_json(&value))
    }

    fn run(&self, context: &Context<'_>) -> Result<Cel, String> {
        let program = self.program.as_ref().map_err(Clone::clone)?;
        program.execute(context).map_err(|error| error.to_string())
    }
}

fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Cel::Int(whole),
            (None, Some(part)) => Cel::Float(part),
            (None, None) => Cel::Null,
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(to_cel).collect())),
        // To a policy, a field that is null is absent.
        Value::Object(map) => {
            let there = map.iter().filter(|(_, value)| !value.is_null());
            let map = there.map(|(name, value)| (Key::String(Arc::new(name.clone())), to_cel(value))).collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "which variants there are depends on the CEL library's features")]
fn to_json(value: &Cel) -> Result<Value, String> {
    Ok(match value {
        Cel::Null => Value::Null,
        Cel::Bool(value) => Value::Bool(*value),
        Cel::Int(whole) => Value::from(*whole),
        Cel::UInt(whole) => Value::from(*whole),
        Cel::Float(part) => Number::from_f64(*part).map_or(Value::Null, Value::Number),
        Cel::String(text) => Value::from(text.as_str()),
        Cel::List(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Cel::Map(map) => {
            let mut out = serde_json::Map::new();
            for (key, value) in map.map.iter() {
                let Key::String(name) = key else { return Err(format!("a map with the key {key:?} is no JSON")) };
                out.insert((**name).clone(), to_json(value)?);
            }
            Value::Object(out)
        }
        other => return Err(format!("{other:?} is no JSON")),
    })
}
