//! What a person sees whose configuration is wrong, and what the README says about it.

use std::time::Duration;

use clap::{Args, Command};
use service::config::{self, Variable, try_parse_from};

#[derive(Args, Debug)]
struct Settings {
    /// Where the users are,
    /// and the jobs.
    #[arg(long, env = "TEST_DATABASE_URL", hide_env_values = true)]
    database: String,

    /// Signs tokens.
    #[arg(long, env = "TEST_PRIVATE_KEY", hide_env_values = true)]
    key: String,

    /// How long.
    #[arg(long, env = "TEST_TTL", default_value = "1h", value_parser = config::duration)]
    ttl: Duration,

    #[command(flatten)]
    service: service::Settings,
}

/// Cargo sets these for every test: values that are there, and wrong.
#[derive(Args, Debug)]
struct FromCargo {
    /// A number.
    #[arg(long, env = "CARGO_PKG_NAME")]
    number: Option<u16>,
}

#[derive(Args, Debug)]
struct SecretFromCargo {
    /// A secret number.
    #[arg(long, env = "CARGO_PKG_NAME", hide_env_values = true)]
    number: Option<u16>,
}

#[derive(Args, Debug)]
struct Empty {
    /// The manifest has no repository, so this is set and empty.
    #[arg(long, env = "CARGO_PKG_REPOSITORY")]
    url: Option<String>,
}

#[test]
fn every_missing_variable_is_named_at_once_with_its_meaning() {
    let refusal = try_parse_from::<Settings>("login", ["login"]).unwrap_err();
    assert!(refusal.contains("TEST_DATABASE_URL: Where the users are, and the jobs"), "{refusal}");
    assert!(refusal.contains("TEST_PRIVATE_KEY: Signs tokens"), "{refusal}");
    assert!(!refusal.contains("TEST_TTL"), "{refusal}");
}

#[test]
fn flags_do_what_variables_do() {
    let flags = ["login", "--database", "postgres://db", "--key=k", "--port", "18080"];
    let settings: Settings = try_parse_from("login", flags).unwrap();
    assert_eq!(settings.database, "postgres://db");
    assert_eq!((settings.ttl, settings.service.serve.port), (Duration::from_hours(1), 18080));
}

#[test]
fn an_invalid_value_names_the_variable_the_value_and_what_is_valid() {
    let flags = ["login", "--database", "d", "--key", "k", "--ttl", "soon"];
    let refusal = try_parse_from::<Settings>("login", flags).unwrap_err();
    for part in ["TEST_TTL", "\"soon\"", "90s, 15m or 2h", "How long"] {
        assert!(refusal.contains(part), "{part} is not in {refusal}");
    }
    let flags = ["login", "--database", "d", "--key", "k", "--log-format", "xml"];
    let refusal = try_parse_from::<Settings>("login", flags).unwrap_err();
    assert!(refusal.contains("LOG_FORMAT") && refusal.contains("auto, json, text"), "{refusal}");
}

#[test]
fn an_invalid_value_from_the_environment_is_named_too() {
    let refusal = try_parse_from::<FromCargo>("x", ["x"]).unwrap_err();
    assert!(refusal.contains("CARGO_PKG_NAME cannot be \"service\": invalid digit"), "{refusal}");
}

#[test]
fn a_secret_is_never_repeated() {
    let refusal = try_parse_from::<SecretFromCargo>("x", ["x"]).unwrap_err();
    assert!(refusal.contains("CARGO_PKG_NAME"), "{refusal}");
    assert!(!refusal.contains("service"), "{refusal}");
}

#[test]
fn an_empty_variable_counts_as_unset() {
    assert_eq!(std::env::var("CARGO_PKG_REPOSITORY").as_deref(), Ok(""));
    assert_eq!(try_parse_from::<Empty>("x", ["x"]).unwrap().url, None);
}

#[test]
fn the_reference_lists_every_variable() {
    let variables = config::reference(&Settings::augment_args(Command::new("login")));
    let database = Variable {
        name: "TEST_DATABASE_URL".into(),
        default: None,
        required: true,
        help: "Where the users are, and the jobs".into(),
    };
    assert_eq!(variables[0], database);
    let names: Vec<_> = variables.iter().map(|variable| variable.name.as_str()).collect();
    for name in ["LOG", "LOG_FORMAT", "OTEL_EXPORTER_OTLP_ENDPOINT", "METRICS_ADDR"] {
        assert!(names.contains(&name), "{name}");
    }
    let port = variables.iter().find(|variable| variable.name == "PORT").unwrap();
    assert_eq!((port.default.as_deref(), port.required), (Some("8080"), false));
}
