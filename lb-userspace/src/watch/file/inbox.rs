//! The folder's inotify queue.
//!
//! The queue is read here without a helper thread in between, because its order is what tells a
//! whole file from a half-written one: whatever a writer did before we read a file is in the queue
//! by the time we have read it.

use std::{
    ffi::OsString,
    fs, io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
    time::Instant,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::EventFd,
        inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
    },
};

/// inotify on one folder, which may go away and come back.
#[derive(Debug)]
pub(super) struct Inbox {
    inotify: Inotify,
    /// The watch, with device and inode of the folder it is on.
    watch: Option<(WatchDescriptor, Identity)>,
}

type Identity = (u64, u64);

/// What happened, to which name in the folder; no name: to the folder itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Notice {
    pub what: AddWatchFlags,
    pub name: Option<OsString>,
}

impl Inbox {
    /// Watches the folder from now on.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let mut inbox = Self { inotify, watch: None };
        inbox.watch(dir)?;
        Ok(inbox)
    }

    /// Watches the folder, again if another one has taken its place.
    pub fn watch(&mut self, dir: &Path) -> io::Result<()> {
        let metadata = fs::metadata(dir)?;
        let present = (metadata.dev(), metadata.ino());
        if self.watch.is_some_and(|(_, watched)| watched == present) {
            return Ok(());
        }
        if let Some((watch, _)) = self.watch.take() {
            // Fails if the folder is gone, and with it its watch.
            let _ = self.inotify.rm_watch(watch);
        }
        let what = AddWatchFlags::IN_ONLYDIR
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        self.watch = Some((self.inotify.add_watch(dir, what)?, present));
        Ok(())
    }

    /// Whether the folder was moved or removed since it was watched.
    pub fn is_lost(&self) -> bool {
        self.watch.is_none()
    }

    /// Everything that is in the queue.
    pub fn drain(&mut self) -> io::Result<Vec<Notice>> {
        let mut notices = Vec::new();
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return Ok(notices),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in events {
                let ours = self.watch.is_some_and(|(watch, _)| watch == event.wd);
                let lost = AddWatchFlags::IN_DELETE_SELF
                    | AddWatchFlags::IN_MOVE_SELF
                    | AddWatchFlags::IN_IGNORED
                    | AddWatchFlags::IN_UNMOUNT;
                if ours && event.mask.intersects(lost) {
                    // Only a folder that was moved still has its watch.
                    let _ = self.inotify.rm_watch(event.wd);
                    self.watch = None;
                }
                // An overflow belongs to no watch.
                if ours || event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    notices.push(Notice { what: event.mask, name: event.name });
                }
            }
        }
    }
    /// Waits until something is in the queue, or until the time has come, or until it is to stop.
    pub fn wait(&self, until: Instant, stop: &EventFd) -> io::Result<Woken> {
        let left = until.saturating_duration_since(Instant::now());
        // In whole milliseconds, rounded up so as not to wake before the time.
        let left = left.as_nanos().div_ceil(1_000_000);
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [readable(self.inotify.as_fd()), readable(stop.as_fd())];
        match poll(&mut fds, left) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let stopped = fds.last().and_then(PollFd::any).unwrap_or(false);
        Ok(if stopped { Woken::Stopped } else { Woken::Look })
    }
}

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Woken {
    /// Something may have to be done.
    Look,
    /// Nobody is interested any more.
    Stopped,
}
