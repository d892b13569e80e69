//! What a backend goes by that closed a connection first and waits out its end (TIME_WAIT).
//!
//! It takes a new connection between the same addresses and ports only if that is younger than the
//! last packet it had of the old one (RFC 6191): by the timestamps if the packets have them, else by
//! the sequence numbers. Both begin anywhere for each client, and for each of its ports: of two
//! connections that come from one port of ours, the later is the younger by chance, one time in two.
//! One that is not, is lost for a second, until its first packet is sent again. So a closed flow
//! keeps what its backend goes by, and its port is given to a connection that will be taken.

use crate::{
    packet::Packet,
    parse::{Layer3, Parsed},
};

/// How old a TCP packet is, in its connection's own measure; all zero if that is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Age {
    /// Number of the byte, FIN included, that follows the packet's last. Of a SYN, its own.
    sequence: u32,
    /// Its timestamp, or zero.
    stamp: u32,
}

/// Set in what a backend waits for if that is a timestamp; what the bit is worth is not missed.
const STAMPED: u32 = 1;

impl Age {
    /// Of a SYN or a FIN. `None`: it is cut short.
    #[inline(always)]
    pub fn read<F: Layer3, P: Packet + ?Sized>(packet: &P, of: &Parsed<F>) -> Option<Self> {
        const LEAST: usize = 20;
        const MOST: usize = 60;

        let [sequence, _, offset_flags] = packet.words(of.l4.0 + 4)?;
        let [offset, _, _, _] = offset_flags.to_ne_bytes();
        let header = usize::from(offset >> 4) * 4;
        let before = of.l4.0 - of.l3.0 + header;
        let payload = u32::from(of.length).wrapping_sub(before as u32);
        let follows = payload.wrapping_add(u32::from(of.ending() != 0));
        let sequence = u32::from_be(sequence).wrapping_add(follows);
        let mut at = LEAST;
        while at < MOST - 4 && at + 8 <= header {
            let [word, stamp] = packet.words(of.l4.0 + at)?;
            if is_stamp(word) {
                return Some(Self { sequence, stamp: u32::from_be(stamp) });
            }
            at += 4;
        }
        Some(Self { sequence, stamp: 0 })
    }

    /// What a backend waits for that had this packet last.
    #[inline(always)]
    pub const fn wait(self) -> u32 {
        if self.stamp != 0 { self.stamp | STAMPED } else { self.sequence & !STAMPED }
    }

    /// Whether a backend that waits takes a connection that begins with this packet.
    #[inline(always)]
    pub const fn is_taken_after(self, wait: u32) -> bool {
        if wait == 0 || self.stamp | self.sequence == 0 {
            return true;
        }
        let now = match wait & STAMPED {
            0 => self.sequence,
            _ if self.stamp == 0 => return false,
            _ => self.stamp,
        };
        ((wait | STAMPED).wrapping_sub(now) as i32) < 0
    }
}

/// Whether an option word is followed by a timestamp. Senders lay it out so that the timestamp stands
/// by whole words: behind two options that say nothing, or, as Linux in a SYN, behind the permission
/// of selective acknowledgements. One that does otherwise is gone by its sequence numbers.
#[inline(always)]
const fn is_stamp(word: u32) -> bool {
    matches!(word.to_ne_bytes(), [1, 1, 8, 10] | [4, 2, 8, 10])
}

#[cfg(test)]
mod tests {
    use lb_common::V4;

    use super::*;
    use crate::parse::{ETHERNET, FIN, SYN};

    fn age(sequence: u32, stamp: u32) -> Age {
        Age { sequence, stamp }
    }

    #[track_caller]
    fn check(last: Age, first: Age, expected: bool) {
        assert_eq!(first.is_taken_after(last.wait()), expected, "{last:?} {first:?}");
    }

    /// A TCP header in a frame of IPv4, with this flag, options and payload.
    #[track_caller]
    fn check_read(flag: u8, options: &[u8], payload: usize, expected: Age) {
        let mut frame = [0; 14 + 20 + 60 + 8];
        let header = 20 + options.len();
        let length = 20 + header + payload;
        frame[14] = 0x45;
        frame[16..18].copy_from_slice(&(length as u16).to_be_bytes());
        frame[23] = 6;
        frame[38..42].copy_from_slice(&1_000_u32.to_be_bytes());
        frame[46] = (header as u8 / 4) << 4;
        frame[47] = flag;
        frame[54..54 + options.len()].copy_from_slice(options);
        let frame = &frame[..14 + length];
        let parsed = V4::parse(frame, ETHERNET).unwrap();
        assert_eq!(Age::read(frame, &parsed), Some(expected), "{options:?}");
    }

    #[test]
    fn a_timestamp_is_read_where_senders_put_it() {
        check_read(SYN, &[], 0, age(1_000, 0));
        check_read(FIN, &[], 5, age(1_006, 0));
        let after_nothing = [1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 0, 0];
        check_read(FIN, &after_nothing, 0, age(1_001, 0x102));
        let linux = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 1, 2, 0, 0, 0, 0, 1, 3, 3, 7];
        check_read(SYN, &linux, 0, age(1_000, 0x102));
        let elsewhere = [8, 10, 0, 0, 1, 2, 0, 0, 0, 0, 1, 1];
        check_read(SYN, &elsewhere, 0, age(1_000, 0));
    }

    #[test]
    fn timestamps_decide_if_there_are_any() {
        check(age(1_000, 500), age(0, 502), true);
        check(age(1_000, 500), age(2_000, 500), false);
        check(age(1_000, 500), age(2_000, 498), false);
        check(age(1_000, u32::MAX - 3), age(0, 4), true);
        check(age(1_000, 4), age(0, u32::MAX - 3), false);
    }

    #[test]
    fn sequence_numbers_decide_if_there_are_none() {
        check(age(1_000, 0), age(1_002, 0), true);
        check(age(1_000, 0), age(1_002, 7), true);
        check(age(1_000, 0), age(1_000, 0), false);
        check(age(1_000, 0), age(900, 0), false);
        check(age(u32::MAX - 3, 0), age(4, 0), true);
    }

    #[test]
    fn who_gave_no_timestamp_is_not_measured_by_one() {
        check(age(1_000, 500), age(2_000, 0), false);
    }

    #[test]
    fn nothing_is_asked_of_what_is_not_known() {
        check(age(1_000, 500), Age::default(), true);
        check(age(1_000, 0), Age::default(), true);
        assert!(age(1, 1).is_taken_after(0));
    }
}
