//! The kernel object that the build embedded.

use std::borrow::Cow;

/// The object that runs.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SLUICE_BPF_OBJECT"));

/// The same with log lines, for `sluice agent -v`.
pub static LOG_OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SLUICE_BPF_LOG_OBJECT"));

/// Where the object came from: `fresh` from these sources, or `kept` in the repository.
pub const ORIGIN: &str = env!("SLUICE_BPF_ORIGIN");

/// An object for a kernel that shows XDP frames of more than one buffer, as the object asks, or for
/// one that does not know of that: the name of the program's section says which.
pub(super) fn of(object: &[u8], xdp_frags: bool) -> Cow<'_, [u8]> {
    const WITH: &[u8] = b"xdp.frags\0";
    const WITHOUT: &[u8] = b"xdp\0\0\0\0\0\0\0";

    if xdp_frags {
        return Cow::Borrowed(object);
    }
    let mut object = object.to_vec();
    let mut from = 0;
    while let Some(rest) = object.get_mut(from..)
        && let Some(at) = rest.windows(WITH.len()).position(|window| window == WITH)
    {
        rest[at..at + WITH.len()].copy_from_slice(WITHOUT);
        from += at + WITH.len();
    }
    Cow::Owned(object)
}
