//! The half of the data path that runs anywhere: reading headers, one's-complement arithmetic,
//! rewriting, verdicts. It never mentions aya, so the host tests it; the other half, in
//! `bin/lb`, holds maps, hooks and helpers and runs in the kernel only.
#![no_std]

pub mod answer;
pub mod crc32c;
pub mod csum;
pub mod fragment;
pub mod icmp;
pub mod life;
pub mod packet;
pub mod parse;
pub mod rewrite;
pub mod sctp;
pub mod verdict;
pub mod wait;
