//! Log lines as flat JSON: what the spans around an event say stands beside what the event says.

use std::fmt::{Error, Result};

use chrono::{SecondsFormat, Utc};
use opentelemetry::{Context, trace::TraceContextExt};
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_serde::fields::AsMap;
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormattedFields,
        format::{JsonFields, Writer},
    },
    registry::{LookupSpan, Scope},
};

/// `{"timestamp", "level", "target", "trace_id", fields of the spans, fields of the event}`.
pub(super) struct Flat;

impl<S> FormatEvent<S, JsonFields> for Flat
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> Result {
        let mut line = heading(event);
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
                let fields = object(serde_json::from_str(&fields.fields))?;
                line.extend(fields.into_iter().filter(|(name, _)| !name.starts_with("otel.")));
            }
        }
        line.extend(object(serde_json::to_value(event.field_map()))?);
        writeln!(writer, "{}", Value::Object(line))
    }
}

fn heading(event: &Event<'_>) -> Map<String, Value> {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let mut line = Map::new();
    line.insert("timestamp".into(), now.into());
    line.insert("level".into(), event.metadata().level().as_str().into());
    line.insert("target".into(), event.metadata().target().into());
    let context = Context::current();
    if context.has_active_span() {
        line.insert("trace_id".into(), context.span().span_context().trace_id().to_string().into());
    }
    line
}

/// Fields are objects by construction; anything else is a failed write.
fn object(fields: serde_json::Result<Value>) -> std::result::Result<Map<String, Value>, Error> {
    match fields {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Error),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Result, Write},
        sync::{Arc, Mutex},
    };

    use tracing::{info, info_span, subscriber::with_default};
    use tracing_subscriber::{Registry, fmt, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> Value {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().with_writer(move || writer.clone());
        let layer = layer.fmt_fields(JsonFields::new()).event_format(Flat);
        with_default(Registry::default().with(layer), log);
        let written = lines.0.lock().unwrap();
        serde_json::from_slice(&written).unwrap()
    }

    #[test]
    fn a_line_has_the_fields_of_the_event_and_of_the_spans_around_it() {
        let line = logged(|| {
            let _request = info_span!("request", request_id = "r1", otel.kind = "server").entered();
            let _job = info_span!("job", fid = "f1").entered();
            info!(status = 200, "two\nlines");
        });
        assert_eq!(line["message"], "two\nlines");
        assert_eq!((&line["level"], &line["status"]), (&"INFO".into(), &200.into()));
        assert_eq!((&line["request_id"], &line["fid"]), (&"r1".into(), &"f1".into()));
        assert!(line.get("otel.kind").is_none() && line.get("trace_id").is_none());
    }
}
