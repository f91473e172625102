//! The README's table of environment variables, made from the settings' own documentation.

use std::{collections::BTreeMap, fmt::Write};

use clap::{Args, Command};
use service::config::{Variable, reference};

/// A Markdown table: variable, default, who reads it, what it means.
pub(crate) fn table() -> String {
    let mut table = "| Variable | Default | Read by | Meaning |\n|---|---|---|---|\n".to_owned();
    for (name, (variable, readers)) in variables() {
        let default = match (&variable.default, variable.required) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => "required".to_owned(),
            (None, false) => String::new(),
        };
        writeln!(table, "| `{name}` | {default} | {} | {} |", readers.join(", "), variable.help)
            .expect("a String takes all");
    }
    table
}

fn variables() -> BTreeMap<String, (Variable, Vec<&'static str>)> {
    let mut all = BTreeMap::<String, (Variable, Vec<&'static str>)>::new();
    for (reader, command) in readers() {
        for variable in reference(&command) {
            let known = all.entry(variable.name.clone()).or_insert_with(|| (variable, Vec::new()));
            known.1.push(reader);
        }
    }
    all
}

fn readers() -> [(&'static str, Command); 5] {
    [
        ("login", login::Settings::augment_args(Command::new("login"))),
        ("upload", upload::Settings::augment_args(Command::new("upload"))),
        ("download", download::Settings::augment_args(Command::new("download"))),
        ("convert", convert::Settings::augment_args(Command::new("convert"))),
        ("run", crate::run::Settings::augment_args(Command::new("run"))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_readme_is_the_one_that_the_code_makes() {
        let readme = include_str!("../../../README.md");
        assert!(
            readme.contains(&table()),
            "paste the output of `video-converter variables` into README.md:\n\n{}",
            table()
        );
    }

    #[test]
    fn every_variable_is_explained_and_means_the_same_to_all_its_readers() {
        let mut meanings = BTreeMap::new();
        for (reader, command) in readers() {
            for variable in reference(&command) {
                assert!(!variable.help.is_empty(), "{} is not explained", variable.name);
                let meaning = meanings.entry(variable.name.clone()).or_insert_with(|| variable.help.clone());
                assert_eq!(*meaning, variable.help, "{} means something else to {reader}", variable.name);
            }
        }
    }
}
