//! What a replay keeps of the next request, held against the request itself.

use super::histories::histories;
use super::*;
use crate::model::Message;
use crate::run::conversation::RequestForm;

fn assert_is_the_request(state: &RunState, form: &RequestForm) {
    let routes = state.started.as_ref().map_or(0, |started| started.spec.routes.len());
    for route in 0..=routes {
        let whole = request(state, route);
        assert_eq!(form.digest(route), whole.as_ref().map(|whole| whole.digest().unwrap()), "route {route}");
        assert_eq!(form.bytes(route), whole.as_ref().map(|whole| serde_json::to_vec(whole).unwrap().len() as u64), "route {route}");
        if let Some(whole) = whole {
            assert_eq!(form.messages(), whole.messages.len());
        }
    }
}

#[test]
fn a_request_kept_as_it_grows_is_the_request_at_every_row_that_was_recorded() {
    for history in histories() {
        let (mut state, mut form) = (RunState::new(history.rows[0].stream.as_str()), RequestForm::default());
        for row in &history.rows {
            state.apply(row.seq, row.time.parse().unwrap(), &row.event().unwrap()).unwrap();
            form.grow(&state);
            assert_is_the_request(&state, &form);
        }
    }
}

#[test]
fn no_text_is_taken_for_the_place_of_the_messages() {
    let mut odd = spec(Role::Coder);
    odd.objective = "\"messages\":[] \u{1F600} \u{7} 1.0".to_owned();
    odd.system_prompt = odd.objective.clone();
    odd.routes[1].1 = "\"messages\":[]".to_owned();
    let (mut state, mut form) = (RunState::new("u1"), RequestForm::default());
    let [namespace, name, requested_by] = ["ns", "run", "me"].map(str::to_owned);
    state
        .apply(Seq(1), at(0), &Event::RunStarted(Box::new(RunStarted { namespace, name, requested_by, spec: odd, forked_from: None })))
        .unwrap();
    form.grow(&state);
    assert_is_the_request(&state, &form);
    // Canonical form and plain JSON write this number differently.
    let arguments = Arguments::Json(json!({ "b": 1.0, "a": "\"messages\":[]" }));
    let tool_calls = vec![ToolCall { id: "1".to_owned(), name: "x".to_owned(), arguments }];
    state.messages.push(Message::Assistant { text: "\"messages\":[]".to_owned(), tool_calls });
    state.messages.push(Message::User { text: String::new() });
    form.grow(&state);
    assert_is_the_request(&state, &form);
}
