//! The folder of bpffs in which a cluster's agents keep their pins. The file system is mounted
//! where it is missing and then stays mounted, as on any machine that uses BPF.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use crate::{
    error::{During, Result},
    run::RunName,
};

/// Where bpffs is mounted.
pub const ROOT: &str = "/sys/fs/bpf";

/// A cluster's folder; removed with the value, which takes the programs and maps pinned in it
/// with it unless something else holds them.
#[derive(Debug)]
pub struct Pins {
    path: PathBuf,
    mounted: bool,
}

impl Pins {
    pub(crate) fn create(run: &RunName) -> Result<Self> {
        let mounted = mount_if_missing()?;
        let path = Path::new(ROOT).join(run.as_str());
        fs::create_dir(&path).during("create", path.display())?;
        Ok(Self { path, mounted })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether bpffs was missing and has been mounted for this.
    pub fn mounted(&self) -> bool {
        self.mounted
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // Pins that stay are found by the next sweep; there is nobody to tell.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn mount_if_missing() -> Result<bool> {
    if statfs(ROOT).during("look at", ROOT)?.filesystem_type() == BPF_FS_MAGIC {
        return Ok(false);
    }
    mount(Some("bpf"), ROOT, Some("bpf"), MsFlags::empty(), None::<&str>)
        .during("mount bpffs on", ROOT)?;
    Ok(true)
}
