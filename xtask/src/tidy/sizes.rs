//! Files that have grown past one subject.

use super::{File, code};

/// Production lines a file may have before it is split by noun.
const LINES: usize = 400;

/// The fault, if the file is too long.
pub fn check(file: &File) -> Vec<String> {
    if !file.is_rust() || file.is_test() {
        return Vec::new();
    }
    let lines = code::production(&file.text).lines().count();
    if lines <= LINES {
        return Vec::new();
    }
    vec![format!("{lines} production lines, at most {LINES}: split it by noun")]
}

#[cfg(test)]
mod tests {
    use super::{File, LINES, check};

    #[track_caller]
    fn expect(name: &str, text: String, faults: usize) {
        let file = File { name: name.to_owned(), text };
        assert_eq!(check(&file).len(), faults, "{name}");
    }

    #[test]
    fn production_lines_are_limited_and_tests_are_not() {
        expect("a/src/x.rs", "x\n".repeat(LINES), 0);
        expect("a/src/x.rs", "x\n".repeat(LINES + 1), 1);
        expect("a/src/x.rs", format!("#[cfg(test)]\n{}", "x\n".repeat(LINES)), 0);
        expect("a/tests/x.rs", "x\n".repeat(LINES + 1), 0);
        expect("README.md", "x\n".repeat(LINES + 1), 0);
    }
}
