//! Integers whose byte order is part of their type.

/// A 16-bit number in network order, as ports and checksums stand in a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Be16(u16);

/// A 32-bit number in network order, as IPv4 addresses stand in a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Be32(u32);

macro_rules! big_endian {
    ($name:ident, $int:ty) => {
        impl $name {
            /// All bits zero.
            pub const ZERO: Self = Self(0);

            /// From a number in host order.
            #[inline(always)]
            pub const fn new(host: $int) -> Self {
                Self(host.to_be())
            }

            /// The number in host order.
            #[inline(always)]
            pub const fn get(self) -> $int {
                <$int>::from_be(self.0)
            }

            /// From the bytes as they stand in a packet, loaded as one native word.
            #[inline(always)]
            pub const fn from_wire(raw: $int) -> Self {
                Self(raw)
            }

            /// The bytes as they stand in a packet, as one native word: what one's-complement
            /// sums and the kernel's context fields work on.
            #[inline(always)]
            pub const fn wire(self) -> $int {
                self.0
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Debug::fmt(&self.get(), f)
            }
        }
    };
}

big_endian!(Be16, u16);
big_endian!(Be32, u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_in_memory_is_the_highest() {
        assert_eq!(Be16::new(0x1234).wire().to_ne_bytes(), [0x12, 0x34]);
        assert_eq!(Be32::new(0x0a60_000a).wire().to_ne_bytes(), [10, 96, 0, 10]);
        assert_eq!(Be32::from_wire(u32::from_ne_bytes([10, 96, 0, 10])).get(), 0x0a60_000a);
    }
}
