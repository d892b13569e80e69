//! Debian's `rust-src` package, for machines that reach a Debian mirror but not rustup's server.
//!
//! The mirror is the one the machine's own apt sources name. The suites that may have the right
//! version are looked through with a private apt configuration, so the machine's sources, lists
//! and packages stay as they are.

use crate::{command, progress, workspace};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Suites that may carry a recent compiler, the likeliest first.
const SUITES: [&str; 4] = ["forky", "sid", "trixie-backports", "bookworm-backports"];
/// Suites by which the machine's own Debian mirror is known.
const STANDARD_SUITES: [&str; 9] = [
    "stable",
    "testing",
    "unstable",
    "oldstable",
    "bookworm",
    "trixie",
    "forky",
    "bullseye",
    "sid",
];
const LIST_LIMIT: Duration = Duration::from_secs(120);
const PACKAGE_LIMIT: Duration = Duration::from_secs(300);

/// One mirror named by the machine's apt sources.
#[derive(Debug, PartialEq, Eq)]
struct Mirror {
    address: String,
    /// Path of the key ring its lists are signed with, if the sources name one.
    signed_by: Option<String>,
}

/// Downloads and unpacks the package whose compiler is 1.`minor`, and hands its library folder to
/// `install`. Nothing remains afterwards.
pub fn unpack(minor: u32, install: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let mirrors = mirrors()?;
    let mut failures = Vec::new();
    for mirror in &mirrors {
        for suite in SUITES {
            match fetch(mirror, suite, minor) {
                Ok(package) => return unpack_file(&package, install),
                Err(error) => failures.push(format!("{suite}: {error:#}")),
            }
        }
    }
    bail!("no Debian package rust-src 1.{minor} found ({})", failures.join("; "));
}

/// The Debian mirrors in this machine's apt sources, those signed with Debian's keys first.
fn mirrors() -> Result<Vec<Mirror>> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    for entry in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten() {
        files.push(entry?.path());
    }
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("sources") => found.extend(from_deb822(&text)),
            Some("list") => found.extend(from_lines(&text)),
            _ => {}
        }
    }
    found.sort_by_key(|mirror| {
        !mirror.signed_by.as_ref().is_some_and(|ring| ring.contains("debian-archive"))
    });
    found.dedup();
    if found.is_empty() {
        bail!("this machine's apt sources name no Debian mirror");
    }
    Ok(found)
}

/// Paragraphs of `Field: value` lines.
fn from_deb822(text: &str) -> Vec<Mirror> {
    let uncommented: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let mut found = Vec::new();
    for paragraph in uncommented.split(|line| line.trim().is_empty()) {
        let field = |name: &str| {
            paragraph.iter().find_map(|line| {
                let (label, value) = line.split_once(':')?;
                label.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        if field("Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no")) {
            continue;
        }
        let words = |name: &str| field(name).unwrap_or_default().split_whitespace();
        if words("Types").any(|kind| kind == "deb")
            && words("Components").any(|component| component == "main")
            && words("Suites").any(|suite| STANDARD_SUITES.contains(&suite))
        {
            let signed_by = field("Signed-By").filter(|ring| ring.starts_with('/'));
            found.extend(words("URIs").map(|address| Mirror {
                address: address.to_owned(),
                signed_by: signed_by.map(str::to_owned),
            }));
        }
    }
    found
}

/// Lines of the form `deb [options] address suite component...`.
fn from_lines(text: &str) -> Vec<Mirror> {
    text.lines().filter_map(from_line).collect()
}

fn from_line(line: &str) -> Option<Mirror> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (address, suite) = (words.next()?, words.next()?);
    if !STANDARD_SUITES.contains(&suite) || !words.any(|component| component == "main") {
        return None;
    }
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    Some(Mirror { address: address.to_owned(), signed_by: signed_by.map(str::to_owned) })
}

/// Downloads the package from one suite of one mirror, if it has the version.
fn fetch(mirror: &Mirror, suite: &str, minor: u32) -> Result<PathBuf> {
    let scratch = scratch();
    let _ = fs::remove_dir_all(&scratch);
    for folder in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(scratch.join(folder))?;
    }
    fs::write(scratch.join("status"), "")?;
    fs::write(scratch.join("apt.conf"), private_settings(&scratch))?;
    let ring = mirror.signed_by.as_ref().map(|ring| format!("[signed-by={ring}] "));
    let source = format!("deb {}{} {suite} main\n", ring.unwrap_or_default(), mirror.address);
    fs::write(scratch.join("sources.list"), source)?;

    let mut update = apt("apt-get");
    update.args(["update", "--error-on=any"]);
    progress::step(&format!("reading Debian's list of {suite}"), &mut update, LIST_LIMIT)?;
    let listed = command::capture(apt("apt-cache").args(["madison", "rust-src"]))?;
    let version = matching(&listed, minor)
        .with_context(|| format!("its rust-src is not of version 1.{minor}"))?;
    let mut download = apt("apt-get");
    download.arg("download").arg(format!("rust-src={version}"));
    progress::step(&format!("downloading rust-src {version}"), &mut download, PACKAGE_LIMIT)?;
    for entry in fs::read_dir(&scratch)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            return Ok(path);
        }
    }
    bail!("apt-get said it downloaded rust-src {version}, but there is no such file");
}

/// The newest version 1.`minor` in what `apt-cache madison` prints, which is newest first.
fn matching(listed: &str, minor: u32) -> Option<String> {
    let wanted = format!("1.{minor}.");
    listed
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .map(str::trim)
        .find(|version| version.starts_with(&wanted))
        .map(str::to_owned)
}

fn unpack_file(package: &Path, install: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let unpacked = scratch().join("unpacked");
    let mut extract = command::detached("dpkg-deb");
    extract.arg("-x").args([package, &unpacked]);
    progress::step("unpacking rust-src", &mut extract, PACKAGE_LIMIT)?;
    for entry in fs::read_dir(unpacked.join("usr/src")).context("the package has no usr/src")? {
        let library = entry?.path().join("library");
        if library.join("core").is_dir() {
            install(&library)?;
            fs::remove_dir_all(scratch())?;
            return Ok(());
        }
    }
    bail!("the package holds no library/core");
}

/// An apt program that reads and writes nothing of the machine's own state.
fn apt(program: &str) -> Command {
    let mut command = command::detached(program);
    command.current_dir(scratch()).args(["-c", "apt.conf"]);
    command
}

/// The settings that keep apt to the scratch folder and in bounds of time. Lists must be signed,
/// but may be of any age: some mirrors are pictures of one day, and an old list can only lack the
/// version we ask for.
fn private_settings(scratch: &Path) -> String {
    let scratch = scratch.display();
    format!(
        "Dir::Etc::sourcelist \"{scratch}/sources.list\";\n\
         Dir::Etc::sourceparts \"/dev/null\";\n\
         Dir::State \"{scratch}\";\n\
         Dir::State::Lists \"{scratch}/lists\";\n\
         Dir::State::status \"{scratch}/status\";\n\
         Dir::Cache \"{scratch}/cache\";\n\
         APT::Sandbox::User \"root\";\n\
         APT::Get::AllowUnauthenticated \"false\";\n\
         Acquire::Check-Valid-Until \"false\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
         Acquire::http::Timeout \"10\";\n\
         Acquire::https::Timeout \"10\";\n\
         Acquire::Retries \"1\";\n"
    )
}

fn scratch() -> PathBuf {
    workspace::tools().join("debian")
}

#[cfg(test)]
mod tests {
    use super::{Mirror, from_deb822, from_lines, matching};

    fn mirror(address: &str, signed_by: Option<&str>) -> Mirror {
        Mirror { address: address.to_owned(), signed_by: signed_by.map(str::to_owned) }
    }

    #[test]
    fn only_debians_own_paragraphs_count() {
        let text = "Types: deb\n# an archived copy\nURIs: http://mirror.test/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main\n\
                    Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                    Types: deb\nURIs: http://mirror.test/debian-security\n\
                    Suites: bookworm-security\nComponents: main\n\n\
                    Types: deb\nURIs: https://node.test/x\nSuites: nodistro\nComponents: main\n\n\
                    Enabled: no\nTypes: deb\nURIs: http://off.test\nSuites: sid\nComponents: main\n";
        let ring = "/usr/share/keyrings/debian-archive-keyring.gpg";
        assert_eq!(from_deb822(text), [mirror("http://mirror.test/debian", Some(ring))]);
    }

    #[test]
    fn lines_are_read_with_and_without_options() {
        let text = "# deb http://no.test bookworm main\n\
                    deb http://a.test/debian bookworm main contrib\n\
                    deb [arch=amd64 signed-by=/r.gpg] http://b.test/debian trixie main\n\
                    deb http://c.test/docker bookworm stable\n\
                    deb-src http://a.test/debian bookworm main\n";
        let expected =
            [mirror("http://a.test/debian", None), mirror("http://b.test/debian", Some("/r.gpg"))];
        assert_eq!(from_lines(text), expected);
    }

    #[track_caller]
    fn check(minor: u32, expected: Option<&str>) {
        let listed = "  rust-src | 1.97.1+dfsg1-1 | http://a.test sid/main amd64 Packages\n\
                      rust-src | 1.97.0+dfsg1-2 | http://a.test sid/main amd64 Packages\n\
                      rust-src | 1.9.0-1 | http://a.test sid/main amd64 Packages\n";
        assert_eq!(matching(listed, minor).as_deref(), expected);
    }

    #[test]
    fn the_newest_package_of_the_very_minor_version_is_taken() {
        check(97, Some("1.97.1+dfsg1-1"));
        check(9, Some("1.9.0-1"));
        check(98, None);
    }
}
