//! What is logged: a line an event, with what belongs to it as keys and values.
//!
//! | key | |
//! |---|---|
//! | `conn` | the connection, the same from its first byte to its last, whatever core it is on |
//! | `core`, `battle` | where that was |
//! | `client` | the number of a client in its battle, another one after each change |
//! | `error`, `reason`, `status`, `name`, .. | what belongs to this event |
//!
//! As text a line is `INFO  leaves conn=17 core=1 battle=3 client=2 name="Ann" here=4`, and with `--log json` an object of the same:
//! `{"time":1732822342.125,"level":"INFO","event":"leaves","conn":17,..}`. In both a value that is no number is quoted,
//! and what could end a line or a quote is escaped: names and paths are chosen by strangers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::kv::{self, Key, Value, VisitSource};

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
}

/// Writes every line to standard error.
struct Logger(Form);

/// Begins to log.
pub(crate) fn begin(form: Form) {
    log::set_max_level(log::LevelFilter::Info);
    if log::set_boxed_logger(Box::new(Logger(form))).is_err() {
        eprintln!("somebody else logs already");
    }
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = line(self.0, record, since);
        // In one piece, for others write as well. If nobody reads it, nobody can be told.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// The line of a record, with its end.
fn line(form: Form, record: &log::Record<'_>, time: Duration) -> String {
    let mut fields = Fields { form, line: String::new() };
    // A String takes everything.
    match form {
        Form::Text => _ = write!(fields.line, "{:<5} {}", record.level(), record.args()),
        Form::Json => {
            let (seconds, millis) = (time.as_secs(), time.subsec_millis());
            _ = write!(
                fields.line,
                "{{\"time\":{seconds}.{millis:03},\"level\":\"{}\",\"event\":",
                record.level()
            );
            put_json(&mut fields.line, &record.args().to_string());
        }
    }
    let _ = record.key_values().visit(&mut fields);
    fields.line.push_str(if form == Form::Json { "}\n" } else { "\n" });
    fields.line
}

/// A line to which keys and values are added.
struct Fields {
    form: Form,
    line: String,
}

impl<'v> VisitSource<'v> for Fields {
    fn visit_pair(&mut self, key: Key<'v>, value: Value<'v>) -> Result<(), kv::Error> {
        let is_number = value.to_i64().is_some() || value.to_u64().is_some();
        match self.form {
            Form::Text if is_number => write!(self.line, " {key}={value}")?,
            Form::Text => write!(self.line, " {key}={:?}", value.to_string())?,
            Form::Json => {
                self.line.push(',');
                put_json(&mut self.line, key.as_str());
                self.line.push(':');
                match is_number {
                    true => write!(self.line, "{value}")?,
                    false => put_json(&mut self.line, &value.to_string()),
                }
            }
        }
        Ok(())
    }
}

/// A text in JSON.
fn put_json(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            // Those that end a line for some, too.
            '\0'..' ' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How an event looks, in both forms.
    fn lines(event: &str, fields: &[(&str, Value<'_>)]) -> [String; 2] {
        [Form::Text, Form::Json].map(|form| {
            let mut record = log::Record::builder();
            record.level(log::Level::Info).key_values(&fields);
            line(
                form,
                &record.args(format_args!("{event}")).build(),
                Duration::from_millis(1_732_822_342_025),
            )
        })
    }

    #[test]
    fn a_line_has_its_event_and_its_values_as_text_or_as_json() {
        let [text, json] =
            lines("leaves", &[("conn", 17.into()), ("name", "Ann Lee".into()), ("left", (-2).into())]);
        assert_eq!(text, "INFO  leaves conn=17 name=\"Ann Lee\" left=-2\n");
        assert_eq!(
            json,
            "{\"time\":1732822342.025,\"level\":\"INFO\",\"event\":\"leaves\",\"conn\":17,\"name\":\"Ann Lee\",\"left\":-2}\n"
        );
    }

    #[test]
    fn what_strangers_choose_neither_ends_a_line_nor_a_quote() {
        let evil = "a\nERROR b\"} \\ \u{1b}[2J \u{2028} \0";
        let [text, json] = lines("refused", &[("path", evil.into())]);
        assert_eq!(text, "INFO  refused path=\"a\\nERROR b\\\"} \\\\ \\u{1b}[2J \\u{2028} \\0\"\n");
        assert!(
            json.ends_with("\"path\":\"a\\u000aERROR b\\\"} \\\\ \\u001b[2J \\u2028 \\u0000\"}\n"),
            "{json}"
        );
        for line in [text, json] {
            assert_eq!(line.matches(|it: char| it.is_control()).count(), 1, "the line's own end");
        }
    }
}
