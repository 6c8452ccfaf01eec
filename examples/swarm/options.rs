//! The command line.

use std::path::PathBuf;
use std::time::Duration;

pub(crate) const HELP: &str = "\
Thousands of players for a battle that runs, and an account of every word they say.

Usage: swarm [OPTIONS]

  --address ADDR      where the battle listens (default 127.0.0.1:8080)
  --players N         players, each on a socket of its own (default 200)
  --ramp-up SECONDS   the time in which they come (default 2)
  --seconds N         how long they speak (default 10)
  --rate N            words that each says in a second, at most 100 (default 2)
  --payload BYTES     bytes of a word, 24 to 255 (default 32)
  --plot FILE         an SVG of the latency over time
  --help              this text

Exit status: 0 if every word reached every member of its battle, and nobody was parted with; 1 otherwise.";

/// What shall be done.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) address: String,
    pub(crate) players: usize,
    pub(crate) ramp_up: Duration,
    pub(crate) lasts: Duration,
    pub(crate) rate: u32,
    pub(crate) payload: usize,
    pub(crate) plot: Option<PathBuf>,
}

impl Options {
    /// What the arguments say; `None` if help was asked for.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            address: String::from("127.0.0.1:8080"),
            players: 200,
            ramp_up: Duration::from_secs(2),
            lasts: Duration::from_secs(10),
            rate: 2,
            payload: 32,
            plot: None,
        };
        while let Some(name) = arguments.next() {
            if matches!(&*name, "--help" | "-h") {
                return Ok(None);
            }
            let value = arguments.next().ok_or(format!("{name}: a value is missing"))?;
            let number = |least: u32, most: u32| match value.parse() {
                Ok(number) if (least..=most).contains(&number) => Ok(number),
                _ => Err(format!("{name}: {value:?} is no number from {least} to {most}")),
            };
            let count =
                |least, most| number(least, most).map(|number| usize::try_from(number).unwrap_or(usize::MAX));
            let seconds = |most| number(0, most).map(|number| Duration::from_secs(number.into()));
            match &*name {
                "--address" => options.address = value,
                "--players" => options.players = count(1, 60_000)?,
                "--ramp-up" => options.ramp_up = seconds(3600)?,
                "--seconds" => options.lasts = seconds(86_400)?,
                // A battle gives each of its clients 120 commands a second.
                "--rate" => options.rate = number(1, 100)?,
                "--payload" => options.payload = count(24, 255)?,
                "--plot" => options.plot = Some(value.into()),
                _ => return Err(format!("{name}: there is no such option")),
            }
        }
        Ok(Some(options))
    }
}
