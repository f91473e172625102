//! The one place that defines instruments, by OpenTelemetry's semantic conventions.
//!
//! Before [`crate::telemetry::init`] every function here does nothing. Names in Prometheus have `_`
//! for `.`, the unit at the end, and `_total` on counters.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter, UpDownCounter},
};

static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();
static PROCESS_START: OnceLock<Instant> = OnceLock::new();

/// Boundaries that the HTTP semantic conventions advise, in seconds.
const REQUEST_SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const JOB_SECONDS: [f64; 14] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0];
const TIMES_REALTIME: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0];

#[derive(Debug)]
struct Instruments {
    request_duration: Histogram<f64>,
    active_requests: UpDownCounter<i64>,
    unauthorized_requests: Counter<u64>,
    job_transitions: Counter<u64>,
    jobs: Gauge<u64>,
    conversion_speed: Histogram<f64>,
    conversion_duration: Histogram<f64>,
    conversion_queue_wait: Histogram<f64>,
    conversion_failures: Counter<u64>,
    io_bytes: Counter<u64>,
    publish_unconfirmed: Counter<u64>,
    start_to_listening: Gauge<f64>,
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let counter = |name, about| meter.u64_counter(name).with_description(about).build();
        let seconds = |name, about, boundaries: &[f64]| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(about);
            histogram.with_boundaries(boundaries.to_vec()).build()
        };
        Self {
            request_duration: seconds(
                "http.server.request.duration",
                "Time from a request's head to its answer's head",
                &REQUEST_SECONDS,
            ),
            active_requests: meter
                .i64_up_down_counter("http.server.active_requests")
                .with_description("Requests in flight, until the answer's last byte")
                .build(),
            unauthorized_requests: counter("unauthorized_requests", "Requests answered with 401"),
            job_transitions: counter("job_transitions", "Jobs that entered a state"),
            jobs: meter.u64_gauge("jobs").with_description("Jobs that are in a state").build(),
            conversion_speed: meter
                .f64_histogram("conversion.speed")
                .with_description("Length of the audio over the time that its conversion took")
                .with_boundaries(TIMES_REALTIME.to_vec())
                .build(),
            conversion_duration: seconds("conversion.duration", "Time that a conversion took", &JOB_SECONDS),
            conversion_queue_wait: seconds(
                "conversion.queue_wait",
                "Time that a job waited for a worker",
                &JOB_SECONDS,
            ),
            conversion_failures: counter("conversion.failures", "Conversions that failed, by code"),
            io_bytes: counter("io.bytes", "Bytes of media read and written"),
            publish_unconfirmed: counter(
                "publish_unconfirmed",
                "Messages that the broker did not confirm; the sweep makes up for them",
            ),
            start_to_listening: meter
                .f64_gauge("process.start_to_listening")
                .with_unit("s")
                .with_description("Time from the process's start until it listened: a cold start")
                .build(),
        }
    }
}

/// Creates the instruments; the first call counts.
pub(crate) fn install(meter: &Meter) {
    INSTRUMENTS.get_or_init(|| Instruments::new(meter));
}

fn record(measure: impl FnOnce(&Instruments)) {
    if let Some(instruments) = INSTRUMENTS.get() {
        measure(instruments);
    }
}

fn count(counter: fn(&Instruments) -> &Counter<u64>, increment: u64, labels: &[KeyValue]) {
    record(|instruments| counter(instruments).add(increment, labels));
}

/// A request was answered; `route` is the pattern, never the path.
pub(crate) fn request_answered(function: &'static str, method: &str, route: &str, status: u16, took: Duration) {
    let labels = [
        KeyValue::new("function", function),
        KeyValue::new("http.request.method", method.to_owned()),
        KeyValue::new("http.route", route.to_owned()),
        KeyValue::new("http.response.status_code", i64::from(status)),
    ];
    record(|instruments| {
        instruments.request_duration.record(took.as_secs_f64(), &labels);
        if status == 401 {
            instruments.unauthorized_requests.add(1, &labels[..3]);
        }
    });
}

/// One more request is in flight (`1`), or one less (`-1`).
pub(crate) fn requests_in_flight(function: &'static str, change: i64) {
    record(|instruments| {
        instruments.active_requests.add(change, &[KeyValue::new("function", function)]);
    });
}

/// A job entered this state.
pub fn job_entered(state: &'static str) {
    count(|i| &i.job_transitions, 1, &[KeyValue::new("state", state)]);
}

/// How many jobs are in each state now; name every state, those without jobs too.
pub fn jobs(counts: &[(&'static str, u64)]) {
    record(|instruments| {
        for (state, count) in counts {
            instruments.jobs.record(*count, &[KeyValue::new("state", *state)]);
        }
    });
}

/// A job waited this long for a worker.
pub fn conversion_waited(wait: Duration) {
    record(|instruments| {
        instruments.conversion_queue_wait.record(wait.as_secs_f64(), &[]);
    });
}

/// A conversion made this length of audio in this time.
pub fn conversion_done(audio: Duration, took: Duration) {
    record(|instruments| {
        instruments.conversion_duration.record(took.as_secs_f64(), &[]);
        if !took.is_zero() {
            let speed = audio.as_secs_f64() / took.as_secs_f64();
            instruments.conversion_speed.record(speed, &[]);
        }
    });
}

/// A conversion failed, for the reason that `code` names.
pub fn conversion_failed(code: &'static str) {
    count(|i| &i.conversion_failures, 1, &[KeyValue::new("code", code)]);
}

/// Media came in from a client or a store.
pub fn bytes_read(bytes: u64) {
    count(|i| &i.io_bytes, bytes, &[KeyValue::new("direction", "read")]);
}

/// Media went out to a client or a store.
pub fn bytes_written(bytes: u64) {
    count(|i| &i.io_bytes, bytes, &[KeyValue::new("direction", "written")]);
}

/// The broker did not confirm a message.
pub fn publish_unconfirmed() {
    count(|i| &i.publish_unconfirmed, 1, &[]);
}

/// Marks the beginning of a cold start.
pub(crate) fn process_started() {
    PROCESS_START.get_or_init(Instant::now);
}

/// Marks the end of a cold start.
pub(crate) fn listening() {
    if let Some(start) = PROCESS_START.get() {
        let took = start.elapsed().as_secs_f64();
        record(|instruments| instruments.start_to_listening.record(took, &[]));
    }
}
