//! Loops over seeds and models, and what is printed when one fails.

use std::cell::RefCell;
use std::env;
use std::rc::Rc;

use super::choices::Chooser;
use super::cut::take_cut_count;
use super::net::Model;
use super::sim::Trace;

/// One run of a test: its decisions, its model, its trace.
pub struct Run {
    pub seed: u64,
    pub model: Model,
    pub choices: Chooser,
    pub trace: Trace,
}

/// Runs `test` with seeds `0..runs` in each of the six models. Environment: `SEED=n` makes only that one,
/// `MODEL=keep-last` only that model, `RUNS=n` replaces `runs`. Prints how to replay when a run panics.
pub fn each_seed_and_model(name: &str, runs: u64, test: impl Fn(&Run)) {
    for model in Model::ALL {
        each_seed_in(name, model, runs, &test);
    }
}

/// As [`each_seed_and_model`], for tests to which the model is no matter.
pub fn each_seed(name: &str, runs: u64, test: impl Fn(&Run)) {
    each_seed_in(name, Model::KeepLast, runs, &test);
}

fn each_seed_in(name: &str, model: Model, runs: u64, test: &impl Fn(&Run)) {
    if env::var("MODEL").is_ok_and(|wanted| wanted != model.name()) {
        return;
    }
    let runs = number("RUNS").unwrap_or(runs);
    let seeds = number("SEED").map_or(0..runs, |seed| seed..seed + 1);
    for seed in seeds {
        let trace = Trace::default();
        let _guard = Guard { seed: Some(seed), model, name, trace: trace.clone() };
        test(&Run { seed, model, choices: Chooser::seeded(seed), trace });
    }
    println!("{name}: {runs} runs, {} futures dropped", take_cut_count());
}

/// Wraps one run of an enumerated script, so that a failure tells its place.
pub fn enumerated(name: &str, model: Model, choices: &Chooser, test: impl FnOnce(&Run)) {
    let trace = Trace::default();
    let _guard = Guard { seed: None, model, name, trace: trace.clone() };
    test(&Run { seed: 0, model, choices: choices.clone(), trace });
}

/// Whether single runs were asked for, so that counts over all of them mean nothing.
pub fn is_replay() -> bool {
    ["SEED", "MODEL", "RUNS"].iter().any(|name| env::var_os(name).is_some())
}

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Prints how to replay, if dropped by a panic.
struct Guard<'a> {
    seed: Option<u64>,
    model: Model,
    name: &'a str,
    trace: Trace,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.trace);
            match self.seed {
                Some(seed) => {
                    eprintln!("replay: SEED={seed} MODEL={} cargo test {}", self.model.name(), self.name)
                }
                None => eprintln!("in {} with model {} (enumerated, no seed)", self.name, self.model.name()),
            }
        }
    }
}

/// A place for what tasks have to report, shared by them.
pub type Shared<T> = Rc<RefCell<T>>;

pub fn shared<T>(value: T) -> Shared<T> {
    Rc::new(RefCell::new(value))
}
