//! A folder of manifests as a source of news.
//!
//! Files directly in the folder whose names end in `.yaml`, `.yml` or `.json` count, hidden ones
//! and sub-folders do not, as with `kubectl apply -f DIR`. A file that cannot be read or parsed
//! keeps its last good content. The agent runs [`FileSource::run`] as one of its tasks; `sluice
//! check` calls [`load`].

mod inbox;
mod pending;
mod scan;

use std::{
    collections::BTreeSet,
    io, panic,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::{sync::watch, task::spawn_blocking};

use self::{
    inbox::{Inbox, Woken},
    pending::Pending,
    scan::{Folder, Look},
};
use super::{allot::Ranges, error::WatchError, news::News};
use crate::model::Rejection;

/// How often the folder is looked at without being told: links to files elsewhere, and a folder
/// that is itself replaced, change without an event here.
const UNASKED: Duration = Duration::from_secs(2);

/// Reads a folder once.
///
/// # Errors
/// The folder cannot be listed.
pub fn load(dir: &Path, ranges: &Ranges) -> Result<News, WatchError> {
    Folder::new(dir.to_owned(), ranges.clone()).load()
}

/// Follows a folder. News stands in a channel that holds the latest alone, so a reader that is busy
/// skips pictures that are out of date already.
pub struct FileSource {
    folder: Folder,
    news: watch::Sender<News>,
    inbox: Inbox,
    pending: Pending,
    /// What was complained about in the log.
    reported: BTreeSet<Rejection>,
}

impl FileSource {
    /// Starts watching and reads the folder; the receiver holds the first news.
    ///
    /// # Errors
    /// The folder cannot be listed or watched.
    pub fn open(dir: PathBuf, ranges: Ranges) -> Result<(Self, watch::Receiver<News>), WatchError> {
        // Watch before reading: what changes in between is read twice, not missed.
        let inbox = Inbox::open(&dir)
            .map_err(|source| WatchError::WatchFolder { dir: dir.clone(), source })?;
        let mut folder = Folder::new(dir, ranges);
        let (news, receiver) = watch::channel(folder.load()?);
        let (pending, reported) = Default::default();
        let mut source = Self { folder, news, inbox, pending, reported };
        source.report();
        Ok((source, receiver))
    }

    /// Follows the folder until every receiver is gone. A folder that disappears is no reason to
    /// end: its last content stays, and it is watched again when it comes back.
    ///
    /// The work is done on a thread for blocking work, since it is all reading and parsing; the
    /// thread ends with this future.
    ///
    /// # Errors
    /// inotify itself fails.
    pub async fn run(self) -> Result<(), WatchError> {
        let dir = self.folder.dir().to_owned();
        let failed = |source: io::Error| WatchError::WatchFolder { dir: dir.clone(), source };
        let stop = Arc::new(
            EventFd::from_flags(EfdFlags::EFD_CLOEXEC).map_err(|error| failed(error.into()))?,
        );
        let stop_on_drop = StopOnDrop(Arc::clone(&stop));
        let news = self.news.clone();
        let mut following = spawn_blocking(move || self.follow(&stop));
        let ended = tokio::select! {
            ended = &mut following => ended,
            () = news.closed() => {
                drop(stop_on_drop);
                following.await
            }
        };
        match ended {
            Ok(result) => result.map_err(failed),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => Ok(()),
            },
        }
    }

    fn follow(mut self, stop: &EventFd) -> io::Result<()> {
        let dir = self.folder.dir().to_owned();
        let mut unasked = Instant::now() + UNASKED;
        loop {
            let due = self.pending.due().map_or(unasked, |due| due.min(unasked));
            if self.inbox.wait(due, stop)? == Woken::Stopped {
                return Ok(());
            }
            let heard = Instant::now();
            self.hear(heard)?;
            if heard >= unasked || self.inbox.is_lost() {
                // Fails only while there is no folder; then the last content stays.
                let _ = self.inbox.watch(&dir);
                self.pending.look_everywhere(heard);
                unasked = heard + UNASKED;
            }
            let Some(look) = self.pending.take(heard) else { continue };
            if self.look(&look)? {
                tracing::debug!("read the folder in {:?}", heard.elapsed());
            }
        }
    }

    /// Takes note of everything in the queue.
    fn hear(&mut self, now: Instant) -> io::Result<()> {
        for notice in self.inbox.drain()? {
            self.pending.note(&notice, self.folder.dir(), now);
        }
        Ok(())
    }

    /// Looks at what is due and passes on what is new; says whether anything was.
    fn look(&mut self, look: &Look) -> io::Result<bool> {
        let mut reads = self.folder.read(look);
        let now = Instant::now();
        // A writer may have begun anew before we read. If so its notice is in the queue by now,
        // unless it has only just emptied the file.
        self.hear(now)?;
        for (name, emptied) in reads.contents() {
            self.pending.doubt(name, emptied && self.folder.has_objects(name), now);
        }
        reads.discard(|name| self.pending.concerns(name));
        if !self.folder.apply(reads) {
            return Ok(false);
        }
        let news = self.folder.news();
        let changed = self.news.send_if_modified(|current| {
            let changed = *current != news;
            *current = news;
            changed
        });
        if changed {
            self.report();
        }
        Ok(changed)
    }

    /// Logs rejections once.
    fn report(&mut self) {
        let now: BTreeSet<_> = self.news.borrow().rejections.iter().cloned().collect();
        for rejection in now.difference(&self.reported) {
            tracing::warn!("{rejection}");
        }
        self.reported = now;
    }
}

/// Ends the thread with the future that waits for it.
struct StopOnDrop(Arc<EventFd>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        // Fails only when the counter is full, and then the thread is woken already.
        let _ = self.0.write(1);
    }
}

#[cfg(test)]
mod tests;
