//! The folder's files and what they say; all reading is done here, none of the waiting.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{
    model::Rejection,
    watch::{
        allot::Ranges, document::Format, error::WatchError, folder::Assembler, manifest::Manifest,
        news::News,
    },
};

/// The files of a folder as last read.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    assembler: Assembler,
    files: BTreeMap<String, File>,
    /// Why the folder could not be listed the last time, if it could not.
    problem: Option<Rejection>,
}

/// What to look at again.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// List the folder, and read every file whose metadata changed.
    pub everywhere: bool,
    /// Read these, whatever their metadata say: two writes within one tick of the clock look alike.
    pub files: BTreeSet<String>,
    /// Leave these alone: someone is writing them.
    pub held: BTreeSet<String>,
}

/// What was found, not yet believed: a file may have been caught half written.
#[derive(Debug, Default)]
pub(super) struct Reads {
    files: Vec<(String, Found)>,
    /// Whether the folder could be listed, if it was tried.
    listed: Option<Result<(), String>>,
}

impl Reads {
    /// Files that could be read, and whether they were empty.
    pub fn contents(&self) -> impl Iterator<Item = (&str, bool)> {
        self.files.iter().filter_map(|(name, found)| match found {
            Found::Content { bytes, .. } => Some((name.as_str(), bytes.is_empty())),
            Found::Nothing | Found::Failure(_) => None,
        })
    }

    /// Forgets the files that `doubtful` names.
    pub fn discard(&mut self, doubtful: impl Fn(&str) -> bool) {
        self.files.retain(|(name, _)| !doubtful(name));
    }
}

#[derive(Debug)]
enum Found {
    Nothing,
    Content { stamp: Stamp, bytes: Vec<u8>, format: Format },
    Failure(io::Error),
}

#[derive(Debug, Default)]
struct File {
    stamp: Option<Stamp>,
    /// The last good content.
    manifest: Manifest,
    /// It has been good once.
    known: bool,
    problem: Option<Rejection>,
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The format of a manifest, by its name; `None` for every other file. Hidden files are none:
/// editors and kubelet keep their unfinished business in them.
pub(super) fn format_of(name: &str) -> Option<Format> {
    if name.starts_with('.') {
        return None;
    }
    match Path::new(name).extension()?.to_str()? {
        "yaml" | "yml" => Some(Format::Yaml),
        "json" => Some(Format::Json),
        _ => None,
    }
}

impl Folder {
    pub fn new(dir: PathBuf, ranges: Ranges) -> Self {
        let (files, problem) = Default::default();
        Self { dir, assembler: Assembler::new(ranges), files, problem }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the file defines anything, as far as it is known.
    pub fn has_objects(&self, name: &str) -> bool {
        self.files.get(name).is_some_and(|file| file.manifest.objects().next().is_some())
    }

    /// Reads the folder for the first time; a folder that cannot be listed is an error only now.
    pub fn load(&mut self) -> Result<News, WatchError> {
        let mut reads = Reads::default();
        self.list(&BTreeSet::new(), &mut reads)
            .map_err(|source| WatchError::ReadFolder { dir: self.dir.clone(), source })?;
        self.apply(reads);
        Ok(self.news())
    }

    /// Reads what is to be looked at, without believing it yet.
    pub fn read(&self, look: &Look) -> Reads {
        let mut reads = Reads::default();
        if look.everywhere {
            match self.list(&look.held, &mut reads) {
                Ok(()) => reads.listed = Some(Ok(())),
                Err(error) => reads.listed = Some(Err(error.to_string())),
            }
        }
        for name in look.files.difference(&look.held) {
            self.visit(name, true, &mut reads);
        }
        reads
    }

    /// Takes in what was read and says whether anything changed.
    pub fn apply(&mut self, reads: Reads) -> bool {
        let mut changed = false;
        for (name, found) in reads.files {
            changed |= match found {
                Found::Nothing => self.files.remove(&name).is_some(),
                Found::Content { stamp, bytes, format } => {
                    let file = self.files.entry(name.clone()).or_default();
                    file.stamp = Some(stamp);
                    file.take(&name, &bytes, format);
                    true
                }
                Found::Failure(error) => {
                    let file = self.files.entry(name.clone()).or_default();
                    file.stamp = None;
                    file.fail(&name, "", format!("cannot be read: {error}"));
                    true
                }
            };
        }
        if let Some(listed) = reads.listed {
            let problem = listed.err().map(|error| Rejection {
                object: format!("folder {}", self.dir.display()),
                field: String::new(),
                reason: format!("cannot be listed, its last content stays: {error}"),
            });
            changed |= self.problem != problem;
            self.problem = problem;
        }
        changed
    }

    /// The complete picture.
    pub fn news(&mut self) -> News {
        let objects = self.files.iter().flat_map(|(name, file)| {
            file.manifest.objects().map(move |object| (name.as_str(), object))
        });
        let (picture, refused) = self.assembler.assemble(objects);

        let mut rejections: Vec<_> = self.problem.clone().into_iter().collect();
        for (name, file) in &self.files {
            rejections.extend(file.problem.clone());
            rejections.extend(file.manifest.rejections(name));
        }
        rejections.extend(refused);
        News {
            picture,
            rejections: rejections.into(),
            complete: self.files.values().all(|file| file.known),
            triggers: Vec::new(),
        }
    }

    fn list(&self, held: &BTreeSet<String>, reads: &mut Reads) -> io::Result<()> {
        let mut present = BTreeSet::new();
        for entry in fs::read_dir(&self.dir)? {
            if let Ok(name) = entry?.file_name().into_string()
                && format_of(&name).is_some()
            {
                present.insert(name);
            }
        }
        for name in self.files.keys().filter(|name| !present.contains(*name)) {
            if !held.contains(name) {
                reads.files.push((name.clone(), Found::Nothing));
            }
        }
        for name in present.difference(held) {
            self.visit(name, false, reads);
        }
        Ok(())
    }

    /// Reads a file if its metadata changed or `always`.
    fn visit(&self, name: &str, always: bool, reads: &mut Reads) {
        let Some(format) = format_of(name) else { return };
        let path = self.dir.join(name);
        // Follows symlinks: a ConfigMap's files are links into the folder of its current version.
        let found = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                let stamp = self.files.get(name).and_then(|file| file.stamp);
                if !always && stamp == Some(Stamp::from(&metadata)) {
                    return;
                }
                match read(&path) {
                    Ok((stamp, bytes)) => Found::Content { stamp, bytes, format },
                    Err(error) => Found::Failure(error),
                }
            }
            Ok(_) => Found::Nothing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
            Err(error) => Found::Failure(error),
        };
        reads.files.push((name.to_owned(), found));
    }
}

/// The content, with the stamp of the very file it was read from.
fn read(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    let mut file = fs::File::open(path)?;
    let stamp = Stamp::from(&file.metadata()?);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((stamp, bytes))
}

impl File {
    fn take(&mut self, name: &str, bytes: &[u8], format: Format) {
        let text = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return self.fail(name, "", format!("is not UTF-8: {error}")),
        };
        match Manifest::read(text, format, &self.manifest) {
            Ok(manifest) => {
                if manifest.passed_over() != self.manifest.passed_over() {
                    say_passed_over(name, &manifest);
                }
                *self = Self { stamp: self.stamp, manifest, known: true, problem: None };
            }
            Err(error) => {
                let place = format!("document {}, line {}", error.document, error.line);
                self.fail(name, &place, error.reason);
            }
        }
    }

    fn fail(&mut self, name: &str, place: &str, reason: String) {
        let reason =
            if self.known { format!("{reason}; its last good content stays") } else { reason };
        let object = format!("file {name}");
        self.problem = Some(Rejection { object, field: place.to_owned(), reason });
    }
}

fn say_passed_over(name: &str, manifest: &Manifest) {
    let kinds: Vec<_> =
        manifest.passed_over().iter().map(|(kind, count)| format!("{count} x {kind}")).collect();
    if !kinds.is_empty() {
        tracing::info!("{name}: passed over {}", kinds.join(", "));
    }
}
