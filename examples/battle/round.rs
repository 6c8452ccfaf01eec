//! What follows what: a fight, until its time is over or somebody has the score that wins; its result, for a while; the
//! next fight. It is told the tick and the best score, and knows nothing else.

use crate::rules::Rules;
use crate::wire::{Event, Phase};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) phase: Phase,
    /// The tick with which the phase is over.
    ends: u32,
    goal: u32,
}

impl Round {
    pub(crate) fn fight(now: u32, rules: &Rules) -> Self {
        Self { phase: Phase::Fight, ends: now.saturating_add(rules.fight), goal: rules.goal }
    }

    fn result(now: u32, rules: &Rules) -> Self {
        Self { phase: Phase::Result, ends: now.saturating_add(rules.result), goal: rules.goal }
    }

    /// The round that comes after this one, if this one is over at tick `now`.
    pub(crate) fn next(&self, now: u32, best: u32, rules: &Rules) -> Option<Self> {
        let out_of_time = now >= self.ends;
        match self.phase {
            Phase::Fight if out_of_time || best >= self.goal => Some(Self::result(now, rules)),
            Phase::Result if out_of_time => Some(Self::fight(now, rules)),
            _ => None,
        }
    }

    pub(crate) fn event(&self) -> Event<'static> {
        Event::Round { phase: self.phase, ends: self.ends, goal: self.goal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules { fight: 100, result: 30, goal: 50, ..Rules::default() }
    }

    /// The ticks at which something began, when the best score is told by `best`.
    fn changes(ticks: u32, best: impl Fn(u32) -> u32) -> Vec<(u32, Phase)> {
        let mut round = Round::fight(0, &rules());
        let mut changes = Vec::new();
        for now in 0..ticks {
            if let Some(next) = round.next(now, best(now), &rules()) {
                round = next;
                changes.push((now, round.phase));
            }
        }
        changes
    }

    #[test]
    fn a_fight_ends_with_its_time_its_result_is_shown_and_the_next_begins() {
        let expected = [(100, Phase::Result), (130, Phase::Fight), (230, Phase::Result), (260, Phase::Fight)];
        assert_eq!(changes(300, |_| 49), expected);
    }

    #[test]
    fn a_fight_ends_with_the_score_that_wins_but_a_result_is_shown_for_its_whole_time() {
        let best = |now| if (40..70).contains(&now) { 50 } else { 0 };
        assert_eq!(changes(100, best), [(40, Phase::Result), (70, Phase::Fight)]);
    }
}
