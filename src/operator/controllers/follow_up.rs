//! What has to follow from something that is told once.

use std::sync::Arc;

use crate::context::Context;
use crate::error::Error;
use crate::telemetry::{Event as _, ReconcileFailed};

/// Does what has to follow from something that was seen, again and again until it is done: nobody is told of it a second time.
pub(super) fn follow_up<F>(context: &Arc<Context>, kind: &'static str, object: String, act: impl Fn(Arc<Context>) -> F + Send + 'static)
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let context = Arc::clone(context);
    tokio::spawn(async move {
        let key = format!("what follows from {kind} {object}");
        while let Err(error) = act(Arc::clone(&context)).await {
            if error.is_fenced() {
                context.stop.cancel();
                return;
            }
            let wait = context.again_in(&key);
            ReconcileFailed { kind, object: &object, class: error.class(), error: &error.to_string(), again_in: wait }.emit();
            tokio::select! {
                biased;
                () = context.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
        context.backoff.reset(&key);
    });
}
