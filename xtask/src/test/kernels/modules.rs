//! Which modules of a kernel the tests need, and in what order, by what the modules say of
//! themselves: the list that others go by is made where a kernel is installed, which these are not.

use crate::command;
use anyhow::{Context as _, Result, bail};
use object::read::{Object as _, ObjectSection as _};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What clusters, hooks and tests are made of.
const WANTED: [&str; 5] = ["veth", "bridge", "sch_ingress", "cls_bpf", "sctp"];
/// Names what is no module because the kernel has it inside.
const BUILT_IN: &str = "modules.builtin";

/// Files of the modules below a folder that are needed, each after those that it needs itself.
pub fn needed(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = BTreeMap::new();
    walk(folder, &mut files)?;
    let built_in = fs::read_to_string(folder.join(BUILT_IN)).context(BUILT_IN)?;
    let inside = |wanted: &str| built_in.lines().any(|path| name(Path::new(path)) == wanted);
    let mut order = Vec::new();
    for wanted in WANTED {
        if !inside(wanted) {
            add(wanted, &files, &depends, &mut order)?;
        }
    }
    Ok(order)
}

fn walk(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.insert(name(&path), path);
        }
    }
    Ok(())
}

/// What a module is called, whatever its file is.
fn name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split('.').next().unwrap_or_default().replace('-', "_")
}

/// Puts a module into the order, behind what it depends on.
fn add(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    depends: &impl Fn(&Path) -> Result<(PathBuf, Vec<String>)>,
    order: &mut Vec<PathBuf>,
) -> Result<()> {
    let Some(file) = files.get(name) else { bail!("the kernel has no module {name}") };
    let (file, needs) = depends(file)?;
    if !order.contains(&file) {
        for need in needs {
            add(&need, files, depends, order)?;
        }
        order.push(file);
    }
    Ok(())
}

/// The file of a module as the kernel takes it, and the modules it depends on.
fn depends(file: &Path) -> Result<(PathBuf, Vec<String>)> {
    let plain = match file.extension() {
        Some(ending) if ending == "xz" => {
            let plain = file.with_extension("");
            if !plain.exists() {
                command::run(Command::new("xz").args(["--decompress", "--keep"]).arg(file))?;
            }
            plain
        }
        _ => file.to_owned(),
    };
    let bytes = fs::read(&plain).with_context(|| plain.display().to_string())?;
    let parsed = object::File::parse(&*bytes).with_context(|| plain.display().to_string())?;
    let section = parsed.section_by_name(".modinfo").context("a module that says nothing")?;
    Ok((plain.clone(), listed(section.data()?)))
}

/// The modules listed in what a module says of itself: texts, each ended by a zero.
fn listed(information: &[u8]) -> Vec<String> {
    let texts = information.split(|&byte| byte == 0);
    let list = texts.filter_map(|text| text.strip_prefix(b"depends=")).next().unwrap_or_default();
    let list = String::from_utf8_lossy(list);
    list.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::{add, listed, name};
    use std::{
        collections::BTreeMap,
        path::{Path, PathBuf},
    };

    /// Files by name, what depends on what, and the order in which `wanted` are loaded.
    #[track_caller]
    fn check(wanted: &[&str], expected: Option<&[&str]>) {
        let needs: BTreeMap<&str, &[&str]> =
            [("a", &["b", "c"][..]), ("b", &["c"]), ("c", &[]), ("d", &["gone"])].into();
        let files = needs.keys().map(|&name| (name.to_owned(), PathBuf::from(name))).collect();
        let depends = |file: &Path| {
            let needs = needs[file.to_str().unwrap()].iter().map(|&need| need.to_owned());
            Ok((file.to_owned(), needs.collect()))
        };
        let mut order = Vec::new();
        let done = wanted.iter().try_for_each(|name| add(name, &files, &depends, &mut order));
        let found = done.ok().map(|()| order);
        let expected = expected.map(|names| names.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(found, expected, "{wanted:?}");
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        check(&["a"], Some(&["c", "b", "a"]));
        check(&["b", "a", "c"], Some(&["c", "b", "a"]));
    }

    #[test]
    fn a_module_that_is_not_there_is_a_failure() {
        check(&["d"], None);
        check(&["e"], None);
    }

    #[test]
    fn modules_are_named_as_they_name_each_other() {
        assert_eq!(name(Path::new("kernel/crypto/crc32c-intel.ko.xz")), "crc32c_intel");
        assert_eq!(listed(b"license=GPL\0depends=x-y,z\0name=a\0"), ["x_y", "z"]);
        assert_eq!(listed(b"license=GPL\0depends=\0"), [""; 0]);
    }
}
