//! Tests counted from the lines in which each test program sums itself up.

use std::ops::AddAssign;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Test programs that summed themselves up.
    pub programs: u32,
    /// Their tests that passed.
    pub passed: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that did not run.
    pub ignored: u32,
}

impl Tally {
    /// Takes a line that a test program printed.
    pub fn count(&mut self, line: &str) {
        let Some(sums) = line.strip_prefix("test result: ") else { return };
        let sum = |label: &str| -> u32 {
            let part = sums.split([';', '.']).map(str::trim).find_map(|part| {
                part.strip_suffix(label).map(|number| number.trim().parse().unwrap_or(0))
            });
            part.unwrap_or(0)
        };
        self.programs += 1;
        self.passed += sum("passed");
        self.failed += sum("failed");
        self.ignored += sum("ignored");
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.programs += other.programs;
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[track_caller]
    fn check(output: &str, expected: [u32; 4]) {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.count(line));
        let [programs, passed, failed, ignored] = expected;
        assert_eq!(tally, Tally { programs, passed, failed, ignored });
    }

    #[test]
    fn tests_are_counted_over_all_programs() {
        check("running 3 tests\ntest a ... ok\n", [0, 0, 0, 0]);
        check(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; \
             finished in 0.00s\n\
             test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
            [2, 15, 2, 1],
        );
    }
}
