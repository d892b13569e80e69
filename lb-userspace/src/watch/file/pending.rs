//! What inotify told, and when each file is fit to be read.
//!
//! Most changes are whole when they are told: a rename, a closed writer. A file being written in
//! place and a file just removed are not: the first says half of what it will, the second is often
//! about to be replaced. Such files are held back until they are closed or have been quiet for a
//! while; everything else goes on.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::inotify::AddWatchFlags;

use super::{
    inbox::Notice,
    scan::{Look, format_of},
};

/// How long a file that is open for writing must be quiet before it is read all the same.
pub(super) const WRITING: Duration = Duration::from_millis(30);
/// The same for a file that is still empty: a shell empties the target of `>` when it starts the
/// program, whose output may take its time.
const EMPTY: Duration = Duration::from_secs(10);
/// How long a file must be gone: an editor's "move away, write anew" takes far less.
pub(super) const GONE: Duration = Duration::from_millis(5);

/// How long a file that lost all its content is doubted. A writer empties the file a moment before
/// inotify says so, and on a busy machine the moment may be long; whoever means to remove objects
/// removes the file.
const EMPTIED: Duration = Duration::from_secs(1);

/// What is still to be looked at.
#[derive(Debug, Default)]
pub(super) struct Pending {
    files: BTreeMap<String, Instant>,
    everywhere: Option<Instant>,
    /// Since when files are found emptied.
    emptied: BTreeMap<String, Instant>,
}

impl Pending {
    /// Takes note of what happened in `dir`.
    pub fn note(&mut self, notice: &Notice, dir: &Path, now: Instant) {
        let Some(name) = &notice.name else {
            // The folder itself is gone, or notices were lost.
            self.look_everywhere(now);
            return;
        };
        let Some(name) = name.to_str() else { return };
        if format_of(name).is_some() {
            self.note_file(name, dir, notice.what, now);
        } else if name.starts_with('.') && notice.what.contains(AddWatchFlags::IN_MOVED_TO) {
            // A ConfigMap volume switches all its files at once by renaming a hidden link.
            self.look_everywhere(now);
        }
    }

    /// Look at the whole folder, now.
    pub fn look_everywhere(&mut self, now: Instant) {
        self.everywhere = Some(now);
    }

    /// Takes note of what was found in a file, and has it looked at again later if all it held is
    /// gone all of a sudden.
    pub fn doubt(&mut self, name: &str, emptied: bool, now: Instant) {
        if !emptied {
            self.emptied.remove(name);
            return;
        }
        let since = *self.emptied.entry(name.to_owned()).or_insert(now);
        if now < since + EMPTIED {
            self.files.entry(name.to_owned()).or_insert(since + EMPTIED);
        } else {
            self.emptied.remove(name);
        }
    }

    /// Whether something was told of the file that has not been looked at.
    pub fn concerns(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// When the next look is due.
    pub fn due(&self) -> Option<Instant> {
        self.files.values().copied().chain(self.everywhere).min()
    }

    /// Takes what is due by `now`.
    pub fn take(&mut self, now: Instant) -> Option<Look> {
        self.due().filter(|due| *due <= now)?;
        let mut look = Look::default();
        if self.everywhere.is_some_and(|due| due <= now) {
            self.everywhere = None;
            look.everywhere = true;
        }
        self.files.retain(|name, due| {
            let list = if *due <= now { &mut look.files } else { &mut look.held };
            list.insert(name.clone());
            *due > now
        });
        Some(look)
    }

    fn note_file(&mut self, name: &str, dir: &Path, what: AddWatchFlags, now: Instant) {
        let due = if what.intersects(AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO) {
            now
        } else if what.intersects(AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM) {
            now + GONE
        } else if what.contains(AddWatchFlags::IN_ATTRIB) {
            // Says nothing about the content, so a writer at work is still waited for.
            self.files.get(name).copied().unwrap_or(now)
        } else {
            now + quiet_time(&dir.join(name))
        };
        self.files.insert(name.to_owned(), due);
    }
}

/// How long a file that was created or written to must be quiet.
fn quiet_time(path: &Path) -> Duration {
    match fs::symlink_metadata(path) {
        // Links of either sort are whole from the start.
        Ok(metadata) if metadata.is_symlink() || metadata.nlink() > 1 => Duration::ZERO,
        Ok(metadata) if metadata.len() == 0 => EMPTY,
        _ => WRITING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: AddWatchFlags = AddWatchFlags::IN_CREATE;
    const WRITTEN: AddWatchFlags = AddWatchFlags::IN_MODIFY;
    const CLOSED: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE;
    const CHMOD: AddWatchFlags = AddWatchFlags::IN_ATTRIB;
    const REMOVED: AddWatchFlags = AddWatchFlags::IN_DELETE;
    const MOVED_IN: AddWatchFlags = AddWatchFlags::IN_MOVED_TO;
    const MOVED_AWAY: AddWatchFlags = AddWatchFlags::IN_MOVED_FROM;

    fn note(pending: &mut Pending, name: &str, what: AddWatchFlags, now: Instant) {
        let name = (!name.is_empty()).then(|| name.into());
        pending.note(&Notice { what, name }, Path::new("/nonexistent"), now);
    }

    /// `expected` is the wait in milliseconds until the next look; `None`: there is none.
    #[track_caller]
    fn check(notices: &[(&str, AddWatchFlags)], expected: Option<u64>) {
        let now = Instant::now();
        let mut pending = Pending::default();
        for (name, what) in notices {
            note(&mut pending, name, *what, now);
        }
        let wait = pending.due().map(|due| (due - now).as_millis() as u64);
        assert_eq!(wait, expected, "{notices:?}");
    }

    #[test]
    fn whole_changes_are_read_at_once_and_others_held_back() {
        check(&[("a.yaml", CREATED), ("a.yaml", WRITTEN)], Some(30));
        check(&[("a.yaml", CREATED), ("a.yaml", WRITTEN), ("a.yaml", CLOSED)], Some(0));
        check(&[("a.yaml", WRITTEN), ("a.yaml", CHMOD)], Some(30));
        check(&[("a.yaml", CHMOD)], Some(0));
        check(&[("a.yaml", MOVED_IN)], Some(0));
        check(&[("a.yaml", REMOVED)], Some(5));
        check(&[("a.yaml", MOVED_AWAY), ("a.yaml", CREATED)], Some(30));
        check(&[("a.yaml", MOVED_AWAY), ("a.yaml", CREATED), ("a.yaml", CLOSED)], Some(0));
        check(&[("", AddWatchFlags::IN_Q_OVERFLOW)], Some(0));
    }

    #[test]
    fn what_cannot_matter_is_ignored() {
        check(&[("notes.txt", CLOSED), (".a.yaml.swp", WRITTEN), ("a.yaml~", CLOSED)], None);
        check(&[("..2024", CREATED), ("..data_tmp", CREATED), ("..2023", REMOVED)], None);
        check(&[("..data", MOVED_IN)], Some(0));
    }

    #[test]
    fn an_emptied_file_is_believed_when_it_stays_so() {
        let now = Instant::now();
        let mut pending = Pending::default();
        pending.doubt("a.yaml", true, now);
        assert!(pending.concerns("a.yaml"));
        note(&mut pending, "a.yaml", CLOSED, now);
        assert_eq!(pending.take(now).unwrap().files, ["a.yaml".into()].into());
        pending.doubt("a.yaml", true, now + WRITING);
        assert_eq!(pending.due(), Some(now + EMPTIED));
        pending.take(now + EMPTIED).unwrap();
        pending.doubt("a.yaml", true, now + EMPTIED);
        assert!(!pending.concerns("a.yaml"), "believed");
        pending.doubt("a.yaml", true, now);
        pending.take(now + EMPTIED).unwrap();
        pending.doubt("a.yaml", false, now + EMPTIED);
        pending.doubt("a.yaml", true, now + EMPTIED);
        assert!(pending.concerns("a.yaml"), "doubted anew after having had content");
    }

    #[test]
    fn a_file_being_written_is_held_while_another_is_read() {
        let now = Instant::now();
        let mut pending = Pending::default();
        note(&mut pending, "a.yaml", WRITTEN, now);
        note(&mut pending, "b.yaml", CLOSED, now);
        let look = pending.take(now).unwrap();
        assert_eq!((look.files, look.held), (["b.yaml".into()].into(), ["a.yaml".into()].into()));
        assert!(pending.take(now).is_none());
        assert_eq!(pending.take(now + WRITING).unwrap().files, ["a.yaml".into()].into());
    }
}
