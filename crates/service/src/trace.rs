//! W3C Trace Context: one trace from the request through the queue to the worker.

use std::collections::HashMap;

use opentelemetry::{global, trace::TraceContextExt};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header, and the message field, that carries the context.
pub const TRACEPARENT: &str = "traceparent";

/// The `traceparent` of the current span, to be sent along; `None` outside a trace.
pub fn current_traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut carrier));
    carrier.remove(TRACEPARENT)
}

/// Makes `span` a part of the trace that `traceparent` names; must come before the span is entered.
///
/// A malformed value starts a trace of its own, as W3C Trace Context, section 2.2.2, asks for.
pub fn continue_from(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&carrier));
    if parent.has_active_span()
        && let Err(error) = span.set_parent(parent)
    {
        tracing::debug!(%error, "cannot continue the trace");
    }
}
