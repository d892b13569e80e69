//! Words, names and paths that have no place in the project, and `unsafe` out of its places.

use super::{File, code};

/// The file you are reading has to spell out what it forbids.
const THIS_FILE: &str = "xtask/src/tidy/words.rs";

/// Where `unsafe` may stand: a file, or a folder ending in `/`.
const UNSAFE_PLACES: [&str; 6] = [
    "lb-common/src/layout.rs",
    "lb-ebpf/src/bin/lb/",
    "lb-userspace/src/kernel/sys.rs",
    "lb-userspace/src/kernel/sys/",
    "xtask/src/build_ebpf/kernel.rs",
    "xtask/testbed/src/",
];

/// What may stand nowhere, with the reason.
const BANNED: [(&str, &str); 8] = [
    ("TODO", "is work that belongs in an issue"),
    ("FIXME", "is work that belongs in an issue"),
    ("todo!(", "is work that belongs in an issue"),
    ("unimplemented!(", "is work that belongs in an issue"),
    ("dbg!(", "is a trace of debugging"),
    ("/root/", "is a path of one machine"),
    ("/home/", "is a path of one machine"),
    ("/work/", "is a path of one machine"),
];

/// Names that tell nothing of what is behind them.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "helpers", "common", "misc", "types"];

/// The faults of one file.
pub fn check(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    if file.name == THIS_FILE {
        return faults;
    }
    for (number, line) in file.text.lines().enumerate() {
        for (word, reason) in BANNED {
            if line.contains(word) {
                faults.push(format!("line {}: `{word}` {reason}", number + 1));
            }
        }
    }
    if file.is_rust() {
        faults.extend(misplaced_unsafe(file));
        faults.extend(headless(file));
        faults.extend(empty_name(file));
    }
    faults
}

fn misplaced_unsafe(file: &File) -> Option<String> {
    let allowed = UNSAFE_PLACES.iter().any(|place| match place.ends_with('/') {
        true => file.name.starts_with(place),
        false => file.name == *place,
    });
    // An attribute that only a linker could take amiss is not a block.
    let is_unsafe =
        |line: &str| code::has_word(&code::code(line).replace("#[unsafe(", ""), "unsafe");
    let at = file.text.lines().position(is_unsafe)?;
    (!allowed).then(|| format!("line {}: `unsafe` has no place in this file", at + 1))
}

/// A module says what lives here before it says anything else; a licence tag may precede.
fn headless(file: &File) -> Option<String> {
    let mut lines = file.text.lines().filter(|line| !line.starts_with("// SPDX"));
    let first = lines.find(|line| !line.trim().is_empty())?;
    let module = file.name.contains("/src/") && !file.is_test() && !first.starts_with("//!");
    module.then(|| "does not open with what lives here (//!)".to_owned())
}

fn empty_name(file: &File) -> Option<String> {
    let parts = file.name.trim_end_matches(".rs").split('/');
    let empty = parts.into_iter().find(|part| EMPTY_NAMES.contains(part))?;
    Some(format!("`{empty}` is not a name for a room"))
}

#[cfg(test)]
mod tests {
    use super::{File, check};

    #[track_caller]
    fn expect(name: &str, text: &str, faults: &[&str]) {
        let file = File { name: name.to_owned(), text: text.to_owned() };
        assert_eq!(check(&file), faults, "{name}");
    }

    #[test]
    fn unsafe_has_addresses() {
        let text = "//! x\nlet a = unsafe { b() };";
        expect("lb-userspace/src/kernel/sys/map.rs", text, &[]);
        expect(
            "lb-userspace/src/maps/writer.rs",
            text,
            &["line 2: `unsafe` has no place in this file"],
        );
        expect(
            "a/src/b.rs",
            "//! unsafe\n#[unsafe(no_mangle)]\n// unsafe\n#![deny(unsafe_code)]",
            &[],
        );
    }

    #[test]
    fn unfinished_work_and_paths_of_one_machine_are_refused() {
        expect("README.md", "TODO: write", &["line 1: `TODO` is work that belongs in an issue"]);
        expect("deploy/x.yaml", "a\nb: /home/me", &["line 2: `/home/` is a path of one machine"]);
    }

    #[test]
    fn a_module_opens_with_what_lives_there() {
        let fault = "does not open with what lives here (//!)";
        expect("a/src/b.rs", "use x;", &[fault]);
        expect("a/src/b.rs", "// SPDX-License-Identifier: MIT\n//! b", &[]);
        expect("a/src/b/util.rs", "//! b", &["`util` is not a name for a room"]);
    }
}
