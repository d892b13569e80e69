//! CRC32c, as far as a balancer needs it: what a change of four bytes does to a packet's checksum,
//! whatever else is in the packet.
//!
//! A CRC is linear: the CRCs of two packets of one length differ by the remainder of what the packets
//! differ in, with nothing before it and zeros behind it. And zeros behind it are a multiplication by
//! a power of x, which is looked up. So no byte of the packet is read but those that change, and
//! a checksum that was wrong stays wrong.
//!
//! Polynomials are reflected, as everybody writes CRC32c: the highest bit stands for x to the power
//! of zero.

/// The polynomial, without its highest power.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// 1.
const ONE: u32 = 1 << 31;
/// What a byte of zeros multiplies by: x to the power of 8.
const BYTE: u32 = ONE >> 8;

/// What so many bytes of zeros multiply by.
static BYTES: [u32; 256] = powers(BYTE);
/// What so many times 256 bytes of zeros multiply by.
static PAGES: [u32; 256] = powers(multiply(BYTES[255], BYTE));

const fn powers(of: u32) -> [u32; 256] {
    let mut table = [ONE; 256];
    let mut at = 1;
    while at < table.len() {
        table[at] = multiply(table[at - 1], of);
        at += 1;
    }
    table
}

/// The product of two remainders.
#[inline(always)]
const fn multiply(a: u32, b: u32) -> u32 {
    let (mut product, mut a, mut b) = (0, a, b);
    let mut step = 0;
    while step < 32 {
        // Masks and no branches: there is one way through, for the verifier too.
        product ^= b & (a >> 31).wrapping_neg();
        a <<= 1;
        b = b >> 1 ^ POLYNOMIAL & (b & 1).wrapping_neg();
        step += 1;
    }
    product
}

/// The remainder of four bytes with so many bytes of zeros behind them, at most 65,531.
///
/// Called and not inlined: it takes and returns plain numbers, and needs no room of its caller's.
#[inline(never)]
pub fn remainder(bytes: u32, behind: u32) -> u32 {
    let shift = behind.wrapping_add(4);
    let pages = PAGES[(shift >> 8 & 0xff) as usize];
    let rest = BYTES[(shift & 0xff) as usize];
    multiply(multiply(bytes, pages), rest)
}

/// The checksum field that stood as `field`, after the word `old` became `new` with so many bytes
/// behind it. All as they stand in the packet.
#[inline(always)]
pub fn replace(field: u32, old: u32, new: u32, behind: u16) -> u32 {
    field ^ remainder(u32::from_le(old ^ new), behind.into()).to_le()
}

/// The checksum field of 16 bytes, the third word of which is the field itself.
#[inline(always)]
pub fn of_header([first, second, _, fourth]: [u32; 4]) -> u32 {
    // A CRC begins with ones: the first word turned round.
    let sum = remainder(!u32::from_le(first), 12)
        ^ remainder(u32::from_le(second), 8)
        ^ remainder(u32::from_le(fourth), 0);
    (!sum).to_le()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    /// Byte by byte and bit by bit, as the polynomial says.
    fn by_the_book(bytes: &[u8]) -> u32 {
        let mut crc = !0;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 != 0 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        !crc
    }

    fn random() -> impl FnMut() -> u32 {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u32
        }
    }

    /// Changes the word at the beginning; the field counts as zeros, as in SCTP.
    #[track_caller]
    fn check(packet: &[u8], new: u32) {
        let field = by_the_book(packet).to_le();
        let old = u32::from_ne_bytes(packet[..4].try_into().unwrap());
        let mut changed = packet.to_vec();
        changed[..4].copy_from_slice(&new.to_ne_bytes());
        let found = replace(field, old, new, (packet.len() - 4) as u16);
        assert_eq!(u32::from_le(found), by_the_book(&changed), "{} bytes", packet.len());
    }

    #[test]
    fn the_book_has_the_known_answer() {
        assert_eq!(by_the_book(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_changed_word_gives_what_the_whole_packet_gives_at_every_length() {
        let mut random = random();
        let longest: Vec<u8> = (0..2_100).map(|_| random() as u8).collect();
        for length in 4..longest.len() {
            check(&longest[..length], random());
        }
    }

    #[test]
    fn so_it_does_at_the_longest_lengths() {
        let mut random = random();
        let longest: Vec<u8> = (0..65_535).map(|_| random() as u8).collect();
        for length in (4_000..65_535).step_by(7_919).chain([65_534, 65_535]) {
            check(&longest[..length], random());
        }
    }

    #[test]
    fn a_wrong_checksum_stays_wrong_by_as_much() {
        let (old, new) = (1, 2);
        let right = replace(0x1234_5678, old, new, 100);
        assert_eq!(replace(0x1234_5678 ^ 0x40, old, new, 100), right ^ 0x40);
    }

    #[test]
    fn a_header_of_sixteen_bytes_is_summed_whole() {
        let mut random = random();
        for _ in 0..1_000 {
            let words = [random(), random(), 0, random()];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let with_field = [words[0], words[1], random(), words[3]];
            assert_eq!(u32::from_le(of_header(with_field)), by_the_book(&bytes));
        }
    }
}
