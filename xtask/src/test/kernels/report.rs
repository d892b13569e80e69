//! What an emulated machine has said, and whether that is what it had to say.

use crate::test::Tally;
use anyhow::{Result, bail};
use lb_testbed::guest::Word;

/// What has to come of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    name: &'static str,
    tests: u32,
}

impl Expected {
    /// Reads which tests a program has from its own list; there has to be one.
    pub fn new(name: &'static str, list: &str) -> Result<Self> {
        let tests = list.lines().filter(|line| line.ends_with(": test")).count();
        if tests == 0 {
            bail!("{name}: no such test");
        }
        Ok(Self { name, tests: tests as u32 })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Report {
    kernel: Option<String>,
    /// Of each program that has ended: whether well, and its tests.
    ended: Vec<(bool, Tally)>,
    running: Tally,
    failed: Option<String>,
    done: bool,
}

impl Report {
    /// Takes a line that the machine said.
    pub fn read(&mut self, line: &str) {
        match Word::of(line) {
            None => self.running.count(line),
            Some(Word::Up(release)) => self.kernel = Some(release),
            // Out of turn it belongs to no program, and that one will be missed.
            Some(Word::Ended(at, well)) if at == self.ended.len() => {
                self.ended.push((well, std::mem::take(&mut self.running)));
            }
            Some(Word::Ended(..)) => {}
            Some(Word::Failed(reason)) => self.failed = Some(reason),
            Some(Word::Done) => self.done = true,
        }
    }

    /// Whether the machine says that it has done all it was to do.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// All tests so far.
    pub fn total(&self) -> Tally {
        let mut total = self.running;
        self.ended.iter().for_each(|(_, tally)| total += *tally);
        total
    }

    /// The kernel's release, if all programs ended well and every test of theirs has passed.
    ///
    /// # Errors
    ///
    /// The first thing that is not as it has to be.
    pub fn judge(&self, expected: &[Expected]) -> Result<&str> {
        let Some(kernel) = &self.kernel else { bail!("it did not come up") };
        if let Some(reason) = &self.failed {
            bail!("{reason}");
        }
        for (at, Expected { name, tests }) in expected.iter().enumerate() {
            let Some((well, tally)) = self.ended.get(at) else { bail!("{name} did not end") };
            let wanted = Tally { programs: 1, passed: *tests, ..Tally::default() };
            if !well || *tally != wanted {
                let Tally { passed, failed, ignored, .. } = tally;
                bail!(
                    "{name}: {passed} of {tests} tests passed, {failed} failed, {ignored} ignored"
                );
            }
        }
        if !self.done {
            bail!("it ended before it was done");
        }
        Ok(kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::{Expected, Report};

    const UP: &str = "guest: {\"Up\":\"6.1.0\"}";
    const SUM_A: &str =
        "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out";
    const SUM_B: &str =
        "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
    const END_A: &str = "guest: {\"Ended\":[0,true]}";
    const END_B: &str = "guest: {\"Ended\":[1,true]}";
    const DONE: &str = "guest: \"Done\"";

    #[track_caller]
    fn check(lines: &[&str], expected: Result<&str, &str>) {
        let mut report = Report::default();
        lines.iter().for_each(|line| report.read(line));
        let programs = [
            Expected::new("a", "x::one: test\nx::two: test\n").unwrap(),
            Expected::new("b", "only: test\n").unwrap(),
        ];
        let verdict = report.judge(&programs).map_err(|error| error.to_string());
        assert_eq!(verdict.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_kernel_holds_when_all_was_said() {
        check(&[UP, "test x ... ok", SUM_A, END_A, SUM_B, END_B, DONE], Ok("6.1.0"));
    }

    #[test]
    fn whatever_is_missing_is_a_failure() {
        check(&[], Err("it did not come up"));
        check(&[UP, SUM_A, END_A, SUM_B], Err("b did not end"));
        check(&[UP, SUM_A, END_A, SUM_B, END_B], Err("it ended before it was done"));
        check(&[UP, SUM_A, SUM_B, END_B, DONE], Err("a did not end"));
        check(&[UP, "guest: {\"Failed\":\"load x.ko\"}"], Err("load x.ko"));
    }

    #[test]
    fn tests_that_did_not_pass_are_a_failure() {
        let fewer = "a: 1 of 2 tests passed, 0 failed, 0 ignored";
        check(&[UP, SUM_B, END_A, SUM_B, END_B, DONE], Err(fewer));
        let silent = "a: 0 of 2 tests passed, 0 failed, 0 ignored";
        check(&[UP, END_A, SUM_B, END_B, DONE], Err(silent));
        let badly = "guest: {\"Ended\":[1,false]}";
        let crashed = "b: 1 of 1 tests passed, 0 failed, 0 ignored";
        check(&[UP, SUM_A, END_A, SUM_B, badly, DONE], Err(crashed));
        let ignored = "test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured";
        check(
            &[UP, ignored, END_A, SUM_B, END_B, DONE],
            Err("a: 1 of 2 tests passed, 0 failed, 1 ignored"),
        );
    }

    #[test]
    fn a_program_without_tests_is_no_proof() {
        assert!(Expected::new("a", "x: benchmark\n").is_err());
    }
}
