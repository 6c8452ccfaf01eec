//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::limits::Most;
use crate::logs::Form;
use crate::per_core::Pin;
use crate::rules::{Rules, ticks};

pub(crate) const HELP: &str = "\
A small battle in the browser.

Usage: battle [OPTIONS]

  --listen ADDR      address and port to listen on (default 127.0.0.1:8080; port 0 takes any that is free)
  --bots N           pilots in each battle that fly by themselves, on at most half of its seats (default 0)
  --seats N          clients in one battle; for more, another one opens (default 12, at most 64)
  --round SECONDS    how long a fight lasts (default 180)
  --score N          the score that ends it before its time: a hit is 1, the last one 5 (default 150)
  --result SECONDS   how long the result is shown (default 10)
  --idle SECONDS     who asks for nothing for so long, not even to play, loses the seat (default 120)
  --threads N        cores that battles are spread over, a thread each (default 1, at most 64)
  --pin              keeps each of these threads on one core of the machine
  --share-port       a listener for each thread (SO_REUSEPORT): who has no ticket stays where the system put the connection;
                     several processes may do so on one port
  --max-connections N  sockets that may be open; who comes later is told 503 (default: as many as the system gives)
  --max-per-ip N     of these, from one address (but this machine's own); more are told 429
  --results FILE     keeps the best of all time there (default: they are forgotten)
  --log FORM         how lines on standard error look: text or json (default text)
  --deflate          compresses what it sends, where the browser agrees (build with --features deflate)
  --help             this text

Open the address it prints in a browser. Ctrl-C ends it.";

/// What the server shall do.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) listen: String,
    pub(crate) rules: Rules,
    pub(crate) deflate: bool,
    pub(crate) threads: NonZeroUsize,
    pub(crate) pin: Pin,
    pub(crate) share_port: bool,
    pub(crate) most: Most,
    pub(crate) results: Option<PathBuf>,
    pub(crate) log: Form,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: String::from("127.0.0.1:8080"),
            rules: Rules::default(),
            deflate: false,
            threads: NonZeroUsize::MIN,
            pin: Pin::No,
            share_port: false,
            most: Most::default(),
            results: None,
            log: Form::Text,
        }
    }
}

impl Options {
    /// What the arguments say; `None` if help was asked for.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            if matches!(&*argument, "--help" | "-h") {
                return Ok(None);
            }
            options.set(&argument, || arguments.next().ok_or(format!("{argument}: a value is missing")))?;
        }
        Ok(Some(options))
    }

    fn set(&mut self, name: &str, value: impl FnOnce() -> Result<String, String>) -> Result<(), String> {
        let number = |value: String, least: u32, most: u32| match value.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(format!("{name}: {value:?} is no number from {least} to {most}")),
        };
        let seconds = |value| number(value, 1, 86_400).map(ticks);
        let rules = &mut self.rules;
        match name {
            "--listen" => self.listen = value()?,
            "--bots" => rules.bots = number(value()?, 0, 64)?.try_into().unwrap_or(0),
            // A frame counts ships in a byte, and the field is not endless.
            "--seats" => rules.seats = number(value()?, 1, 64)?.try_into().unwrap_or(1),
            "--round" => rules.fight = seconds(value()?)?,
            "--score" => rules.goal = number(value()?, 1, 1_000_000)?,
            "--result" => rules.result = seconds(value()?)?,
            // A ticket tells its core in a byte; a machine with more cores wants several processes.
            "--threads" => {
                let threads = number(value()?, 1, 64)?.try_into().ok().and_then(NonZeroUsize::new);
                self.threads = threads.unwrap_or(NonZeroUsize::MIN);
            }
            "--max-connections" => self.most.in_all = number(value()?, 1, u32::MAX)?.try_into().ok(),
            "--max-per-ip" => self.most.from_one_address = number(value()?, 1, u32::MAX)?.try_into().ok(),
            "--results" => self.results = Some(value()?.into()),
            "--log" => {
                self.log = match &*value()? {
                    "text" => Form::Text,
                    "json" => Form::Json,
                    other => return Err(format!("--log: {other:?} is neither text nor json")),
                }
            }
            "--pin" => self.pin = Pin::Yes,
            "--share-port" => self.share_port = true,
            "--deflate" if cfg!(feature = "deflate") => self.deflate = true,
            "--deflate" => return Err("--deflate: this was built without the feature `deflate`".to_owned()),
            "--idle" => rules.idle = seconds(value()?)?,
            _ => return Err(format!("unknown argument {name:?}")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_option_is_taken_and_is_in_the_help() {
        let line = "--listen [::1]:0 --bots 5 --seats 3 --round 20 --score 9 --result 2 --idle 60 --threads 4 --pin --share-port --max-connections 9 --max-per-ip 3 --results best.redb --log json";
        let Options { listen, rules, threads, pin, share_port, most, results, log, .. } =
            parse(line).unwrap().unwrap();
        assert_eq!(log, Form::Json);
        assert_eq!(results, Some(PathBuf::from("best.redb")));
        assert_eq!((threads.get(), pin, share_port), (4, Pin::Yes, true));
        assert_eq!(most, Most { in_all: Some(9), from_one_address: Some(3) });
        assert_eq!((&*listen, rules.bots, rules.seats, rules.goal), ("[::1]:0", 5, 3, 9));
        assert_eq!((rules.fight, rules.result, rules.idle), (ticks(20), ticks(2), ticks(60)));
        for option in line.split_whitespace().filter(|word| word.starts_with("--")) {
            assert!(HELP.contains(&format!("\n  {option} ")), "{option}");
        }
        match parse("--deflate") {
            Ok(options) => assert!(cfg!(feature = "deflate") && options.unwrap().deflate),
            Err(complaint) => assert!(!cfg!(feature = "deflate") && complaint.contains("--deflate: ")),
        }
        assert!(parse("--bots 5 --help").unwrap().is_none());
    }

    #[test]
    fn the_defaults_are_those_of_the_help() {
        let Options { listen, rules, deflate, threads, pin, share_port, most, results, log } =
            parse("").unwrap().unwrap();
        assert_eq!(log, Form::Text);
        assert!(!deflate && results.is_none());
        assert_eq!((threads.get(), pin, share_port), (1, Pin::No, false));
        assert_eq!(most, Most { in_all: None, from_one_address: None });
        assert_eq!((&*listen, rules.bots, rules.seats, rules.goal), ("127.0.0.1:8080", 0, 12, 150));
        assert_eq!((rules.fight, rules.result, rules.idle), (ticks(180), ticks(10), ticks(120)));
    }

    #[test]
    fn nonsense_is_named() {
        for (line, complaint) in [
            ("--fast", "unknown argument \"--fast\""),
            ("--seats", "--seats: a value is missing"),
            ("--seats 0", "--seats: \"0\" is no number from 1 to 64"),
            ("--bots many", "--bots: \"many\" is no number from 0 to 64"),
            ("--threads 65", "--threads: \"65\" is no number from 1 to 64"),
            ("--log loud", "--log: \"loud\" is neither text nor json"),
            ("--round -1", "--round: \"-1\" is no number from 1 to 86400"),
        ] {
            assert_eq!(parse(line).unwrap_err(), complaint);
        }
    }
}
