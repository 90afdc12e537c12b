//! From a world that goes wrong to the shortest scenario that goes wrong in the same way.
//!
//! What goes wrong beside the text becomes lines of it, before the others; then lines are left out, half of them first, then a quarter, and
//! so on, for as long as the world goes wrong in the same way (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input",
//! 2002). Each try is the text that would be printed, read again and played: what is printed is what has failed.

use super::play::{Outcome, Setting};
use super::scenario::Scenario;

/// The most worlds that are played for one.
const REPLAYS: usize = 150;

/// A scenario that goes wrong by itself, and what is wrong in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimised {
    /// The whole file.
    pub text: String,
    /// How many of its lines are steps.
    pub steps: usize,
    /// As [`Outcome::wrong`].
    pub wrong: Vec<String>,
    /// How many worlds were played for it.
    pub replays: usize,
}

/// Makes a world that goes wrong small. None: written as a text it does not go wrong in the same way.
///
/// Lines of the text itself are left out only while the text without its faults (and without the mistake, where one was made) ends well:
/// what is left fails for the faults, and not for what is missing.
pub fn minimised(scenario: &Scenario, setting: &Setting, mut play: impl FnMut(&Scenario, &Setting) -> Outcome) -> Option<Minimised> {
    let wrong = play(scenario, setting).wrong;
    let plain = Setting { sabotage: setting.sabotage, quiet_ms: setting.quiet_ms, ..Setting::of(1) };
    let mut search = Search { name: &scenario.name, wanted: likeness(wrong.first()?), plain, replays: 1, play: &mut play };
    let installed = scenario.installed.lines();
    let mut least = Lines {
        installed: installed.clone(),
        seed: scenario.seed.or(Some(setting.seed)),
        faults: setting.faults().iter().map(ToString::to_string).collect(),
        steps: scenario.steps.iter().map(|step| step.text.clone()).collect(),
    };
    search.fails(&least)?;
    let unseeded = Lines { seed: None, ..least.clone() };
    if search.fails(&unseeded).is_some() {
        least = unseeded;
    }
    let (seed, steps) = (least.seed, least.steps.clone());
    let with_faults = |faults: &[String]| Lines { installed: installed.clone(), seed, faults: faults.to_vec(), steps: steps.clone() };
    least.faults = fewest(&least.faults, |faults| search.fails(&with_faults(faults)).is_some());
    let faults = least.faults.clone();
    let with_steps = |steps: &[String]| Lines { installed: installed.clone(), seed, faults: faults.clone(), steps: steps.to_vec() };
    let stands = search.stands(&least);
    least.steps = fewest(&least.steps, |steps| {
        let fewer = with_steps(steps);
        (!stands || search.stands(&fewer)) && search.fails(&fewer).is_some()
    });
    let wrong = search.fails(&least)?;
    Some(Minimised {
        text: least.text(&scenario.name, &wrong),
        steps: least.faults.len() + least.steps.len(),
        wrong,
        replays: search.replays,
    })
}

/// The lines of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lines {
    installed: Vec<String>,
    seed: Option<u64>,
    faults: Vec<String>,
    steps: Vec<String>,
}

impl Lines {
    fn body(&self) -> String {
        let seed = self.seed.map(|seed| format!("seed {seed}"));
        let lines = self.installed.iter().chain(&seed).chain(&self.faults).chain(&self.steps).map(String::as_str);
        lines.collect::<Vec<&str>>().join("\n") + "\n"
    }

    fn text(&self, name: &str, wrong: &[String]) -> String {
        let why = wrong.first().map_or("", |why| why.lines().next().unwrap_or_default());
        format!("# Of {name}: {why}\n{}", self.body())
    }
}

struct Search<'a, P> {
    name: &'a str,
    wanted: String,
    plain: Setting,
    replays: usize,
    play: &'a mut P,
}

impl<P: FnMut(&Scenario, &Setting) -> Outcome> Search<'_, P> {
    fn played(&mut self, lines: &Lines, setting: &Setting) -> Option<Outcome> {
        if self.replays >= REPLAYS {
            return None;
        }
        self.replays += 1;
        let scenario = Scenario::parse(self.name, &lines.body()).ok()?;
        Some((self.play)(&scenario, setting))
    }

    /// What is wrong, where that is like what was wrong at first.
    fn fails(&mut self, lines: &Lines) -> Option<Vec<String>> {
        let plain = self.plain.clone();
        let wrong = self.played(lines, &plain)?.wrong;
        wrong.iter().any(|why| likeness(why) == self.wanted).then_some(wrong)
    }

    /// Whether nothing is wrong without the faults; and where a mistake was made, not with them either, without it.
    fn stands(&mut self, lines: &Lines) -> bool {
        let right = Setting { sabotage: None, ..self.plain.clone() };
        let mistaken = self.plain.sabotage.is_some();
        if !mistaken && lines.faults.is_empty() {
            return false;
        }
        let bare = Lines { faults: Vec::new(), ..lines.clone() };
        let mut ends_well = |lines: &Lines| self.played(lines, &right).is_some_and(|outcome| outcome.wrong.is_empty());
        ends_well(&bare) && (!mistaken || lines.faults.is_empty() || ends_well(lines))
    }
}

/// What two complaints have in common that are about the same thing: all but their numbers, and the line that made them.
fn likeness(why: &str) -> String {
    let of_line =
        |(_, rest): (&str, &str)| rest.split_once(": ").filter(|(line, _)| line.parse::<u64>().is_ok()).map(|(_, why)| why.to_owned());
    let why = why.split_once(':').and_then(of_line).unwrap_or_else(|| why.to_owned());
    let mut like = String::with_capacity(why.len());
    for letter in why.chars() {
        match letter {
            '0'..='9' if like.ends_with('#') => {}
            '0'..='9' => like.push('#'),
            other => like.push(other),
        }
    }
    like
}

/// The fewest of these that still do: leaving out any one of them, or any half, they do no more.
fn fewest(all: &[String], mut still: impl FnMut(&[String]) -> bool) -> Vec<String> {
    let mut least = all.to_vec();
    let mut parts = 1;
    while !least.is_empty() {
        let size = least.len().div_ceil(parts);
        let without = |at: usize| [&least[..at], &least[(at + size).min(least.len())..]].concat();
        let fewer = (0..least.len()).step_by(size).map(without).find(|fewer| still(fewer));
        match fewer {
            Some(fewer) => {
                least = fewer;
                parts = (parts - 1).max(1);
            }
            None if parts >= least.len() => break,
            None => parts = (parts * 2).min(least.len()),
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let all: Vec<String> = (1..=40).map(|n| n.to_string()).collect();
        let mut tries = 0;
        let least = fewest(&all, |some| {
            tries += 1;
            ["7", "31"].iter().all(|needed| some.iter().any(|kept| kept == needed))
        });
        assert_eq!(least, ["7", "31"]);
        assert!(tries < 60, "{tries}");
        assert!(fewest(&all, |_| true).is_empty());
    }

    #[test]
    fn complaints_are_alike_but_for_numbers_and_lines() {
        let (a, b) = ("approved:13: run/r1 shows \"Running\"", "approved:2: run/r2 shows \"Running\"");
        assert_eq!(likeness(a), likeness(b));
        assert_ne!(likeness(a), likeness("approved:2: run/r2 shows \"Failed\""));
        assert_eq!(likeness("row 12 overdraws team/default"), likeness("row 7 overdraws team/default"));
    }
}
