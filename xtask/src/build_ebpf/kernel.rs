//! Asks this kernel to take the object's BTF. The one place of `xtask` with a raw system call: aya
//! loads BTF only together with everything else, and only warns when the kernel refuses it.

use anyhow::{Context as _, Result, bail};
use std::io;

const BPF_BTF_LOAD: libc::c_int = 18;
const LOG_BYTES: u32 = 1 << 20;

/// What this kernel said to an object's BTF.
pub enum Verdict {
    /// It took it.
    Loaded,
    /// We may not ask (no `CAP_BPF`, or no such system call here).
    NotAllowed,
}

/// Arguments of the command, as in the kernel's `union bpf_attr`.
#[repr(C)]
struct LoadBtf {
    btf: u64,
    log: u64,
    btf_size: u32,
    log_size: u32,
    log_level: u32,
    padding: u32,
}

/// Loads the object's BTF as the agent's loader would, and lets it go at once. An error is the
/// kernel's refusal, with what it said.
pub fn load_btf(object: &[u8]) -> Result<Verdict> {
    let mut object = aya_obj::Object::parse(object).context("the loader cannot read the object")?;
    let Some(features) = aya::features().btf() else {
        return Ok(Verdict::NotAllowed);
    };
    let btf = object.fixup_and_sanitize_btf(features)?.context("the object has no BTF")?.to_bytes();
    let mut log = vec![0_u8; LOG_BYTES as usize];
    match load(&btf, &mut log) {
        Ok(()) => Ok(Verdict::Loaded),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Verdict::NotAllowed),
        Err(error) => {
            let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
            let said = String::from_utf8_lossy(&log[..end]);
            let tail: Vec<&str> = said.lines().rev().take(3).collect();
            bail!("the kernel refuses the object's BTF ({error}): {}", tail.join(" / "));
        }
    }
}

#[expect(unsafe_code, reason = "a raw bpf(2) call, which no safe interface offers on its own")]
fn load(btf: &[u8], log: &mut [u8]) -> io::Result<()> {
    let arguments = LoadBtf {
        btf: btf.as_ptr() as u64,
        log: log.as_mut_ptr() as u64,
        btf_size: btf.len() as u32,
        log_size: log.len() as u32,
        log_level: 1,
        padding: 0,
    };
    // SAFETY: `arguments` is laid out as this command wants it, and its two pointers are to slices
    // of the stated lengths that outlive the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_BTF_LOAD, &raw const arguments, size_of::<LoadBtf>())
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call gave us this descriptor and nobody else knows it.
    drop(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd as i32) });
    Ok(())
}

use std::os::fd::FromRawFd as _;
