#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use http::{Method, Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;

use super::*;

#[test]
fn each_refusal_of_the_api_server_has_its_class() {
    let cases = [
        ("Conflict", 409, Class::Conflict),
        ("AlreadyExists", 409, Class::Conflict),
        ("NotFound", 404, Class::Conflict),
        ("Expired", 410, Class::Conflict),
        ("TooManyRequests", 429, Class::Throttled),
        ("ServerTimeout", 500, Class::Throttled),
        ("", 429, Class::Throttled),
        ("InternalError", 500, Class::Transient),
        ("Timeout", 504, Class::Transient),
        ("", 503, Class::Transient),
        ("Unauthorized", 401, Class::Transient),
        ("Forbidden", 403, Class::Invalid),
        ("Invalid", 422, Class::Invalid),
        ("RequestEntityTooLarge", 413, Class::Invalid),
        ("BadRequest", 400, Class::Bug),
        ("MethodNotAllowed", 405, Class::Bug),
        (UNREADABLE, 404, Class::Transient),
        (UNREADABLE, 422, Class::Transient),
    ];
    for (reason, code, class) in cases {
        let status = Status::failure("no", reason).with_code(code);
        assert_eq!(classify(&kube::Error::Api(Box::new(status))), class, "{reason} {code}");
    }
}

#[tokio::test]
async fn half_an_answer_says_nothing_of_what_is_there() {
    for (code, body) in [(404, r#"{"kind":"Status","apiVersion":"v1","reason":"NotF"#), (404, "404 page not found"), (422, "{")] {
        let server = tower::service_fn(move |_: Request<Body>| async move {
            Ok::<_, kube::Error>(Response::builder().status(code).body(Body::from(body.as_bytes().to_vec())).unwrap())
        });
        let refused = create_owned(&Client::new(server, "team"), &owned_by(Some("uid-1"))).await.unwrap_err();
        assert_eq!((refused.is_gone(), refused.class()), (false, Class::Transient), "{code} {body}");
    }
}

/// Answers POST by "exists", and GET with an object of this owner.
fn server_with(owner: Option<&'static str>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| async move {
        let answer = if request.method() == Method::GET {
            serde_json::to_value(owned_by(owner)).unwrap()
        } else {
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "AlreadyExists", "code": 409, "message": "exists"})
        };
        let response = Response::builder().status(if request.method() == Method::GET { 200 } else { 409 });
        Ok::<_, kube::Error>(response.body(Body::from(serde_json::to_vec(&answer).unwrap())).unwrap())
    });
    Client::new(service, "team")
}

fn owned_by(owner: Option<&str>) -> ConfigMap {
    let owners =
        owner.map(|uid| json!([{"apiVersion": "reeve.dev/v1alpha1", "kind": "AgentRun", "name": "r", "uid": uid, "controller": true}]));
    serde_json::from_value(json!({"metadata": {"name": "x", "namespace": "team", "ownerReferences": owners}})).unwrap()
}

#[tokio::test]
async fn a_name_in_use_is_ours_only_by_the_owners_uid() {
    let ours = owned_by(Some("uid-1"));
    assert!(matches!(create_owned(&server_with(Some("uid-1")), &ours).await, Ok(Created::Found(_))));
    for (owner, words) in [(Some("uid-2"), "UID uid-2"), (None, "nobody")] {
        let error = create_owned(&server_with(owner), &ours).await.unwrap_err();
        assert_eq!(error.class(), Class::Invalid);
        assert!(error.to_string().contains(words), "{error}");
    }
    let orphan = create_owned(&server_with(None), &owned_by(None)).await.unwrap_err();
    assert_eq!(orphan.class(), Class::Bug);
}

#[tokio::test]
async fn what_is_there_and_cannot_be_read_is_no_refusal() {
    for code in [403, 422, 500] {
        let service = tower::service_fn(move |request: Request<Body>| async move {
            let (code, reason) = if request.method() == Method::POST { (409, "AlreadyExists") } else { (code, "") };
            let body = serde_json::to_vec(&Status::failure("no", reason).with_code(code)).unwrap();
            Ok::<_, kube::Error>(Response::builder().status(code).body(Body::from(body)).unwrap())
        });
        let unread = create_owned(&Client::new(service, "team"), &owned_by(Some("uid-1"))).await.unwrap_err();
        assert_eq!((unread.class(), unread.is_gone()), (Class::Transient, false), "{code}: {unread}");
    }
}
