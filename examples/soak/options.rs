//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use crate::measure;

pub(crate) const HELP: &str = "\
Thousands of idle connections, and a churn of short ones that are killed at random: does anything stay behind?

Usage: soak [OPTIONS]

  --seconds N   how long the churn lasts (default 60)
  --minutes N   the same, in minutes
  --idle N      connections that only answer pings (default 19500, or what the limit of descriptors allows)
  --churn N     connects a second, if the machine can (default 500)
  --seed N      what is random comes from this number (default: the time)
  --help        this text

Exit code 1: something stayed behind, or a payload was not what was sent, or a connection failed that should not.";

/// Descriptors that are neither idle nor part of the churn: listeners, the runtime's, the standard streams.
const OTHERS: usize = 50;
/// Descriptors that the churn has at the least.
const CHURN_LEAST: usize = 300;
/// Connections of the churn that are open at once at the most.
const CHURN_MOST: usize = 2000;

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) lasts: Duration,
    pub(crate) idle: usize,
    pub(crate) churn: u32,
    pub(crate) seed: u64,
    /// Where the server is; `None`: we are the server.
    pub(crate) servers: Vec<SocketAddr>,
    /// Connections of the churn that may be open at once.
    pub(crate) at_once: usize,
}

impl Options {
    /// What the arguments say; `None` if help was asked for. Raises the limit of descriptors as far as may be.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            lasts: Duration::from_secs(60),
            idle: 19_500,
            churn: 500,
            seed: measure::clock_seed(),
            servers: Vec::new(),
            at_once: CHURN_MOST,
        };
        while let Some(name) = arguments.next() {
            if matches!(&*name, "--help" | "-h") {
                return Ok(None);
            }
            let value = arguments.next().ok_or(format!("{name}: a value is missing"))?;
            options.set(&name, &value)?;
        }
        options.fit(measure::raise_descriptor_limit());
        Ok(Some(options))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<u64>().map_err(|_| format!("{name}: {value:?} is no number"));
        match name {
            "--seconds" => self.lasts = Duration::from_secs(number()?.max(1)),
            "--minutes" => self.lasts = Duration::from_secs(number()?.max(1).saturating_mul(60)),
            "--idle" => self.idle = number()?.try_into().unwrap_or(usize::MAX),
            "--churn" => self.churn = number()?.clamp(1, 100_000).try_into().unwrap_or(1),
            "--seed" => self.seed = number()?,
            // Not for people: it makes the second process.
            "--servers" => {
                let addresses = value.split(',').map(str::parse).collect::<Result<_, _>>();
                self.servers = addresses.map_err(|_| format!("{name}: {value:?} are no addresses"))?;
            }
            _ => return Err(format!("unknown argument {name:?}")),
        }
        Ok(())
    }

    /// What so many descriptors have room for.
    fn fit(&mut self, descriptors: usize) {
        let left = descriptors.saturating_sub(OTHERS);
        self.idle = self.idle.min(left.saturating_sub(CHURN_LEAST));
        self.at_once = left.saturating_sub(self.idle).clamp(1, CHURN_MOST);
    }

    /// The arguments that make a second process do the same.
    pub(crate) fn for_clients(&self, servers: &[SocketAddr]) -> Vec<String> {
        let servers: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
        let pairs = [
            ("--seconds", self.lasts.as_secs().to_string()),
            ("--idle", self.idle.to_string()),
            ("--churn", self.churn.to_string()),
            ("--seed", self.seed.to_string()),
            ("--servers", servers.join(",")),
        ];
        pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}
