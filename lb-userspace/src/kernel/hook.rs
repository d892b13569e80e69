//! The hooks that programs are attached to.

use lb_common::names;

/// A hook, with the program of the object that belongs there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hook {
    /// Name of the program.
    pub program: &'static str,
    /// The kernel's number of the hook.
    pub attach_type: u32,
}

/// The kernel's numbers of the socket hooks, in the order of [`names::SOCKET_PROGRAMS`].
const SOCKET_ATTACH_TYPES: [u32; 8] = [10, 11, 14, 15, 19, 20, 29, 30];

impl Hook {
    /// connect() on IPv4.
    pub const CONNECT4: Self = Self::socket(0);
    /// getpeername() on IPv4.
    pub const GETPEERNAME4: Self = Self::socket(6);
    /// Packets arriving, before the stack knows of them.
    pub const XDP: Self = Self { program: names::XDP_INGRESS, attach_type: 37 };
    /// Packets arriving.
    pub const TC_INGRESS: Self = Self { program: names::TC_INGRESS, attach_type: 46 };
    /// Packets leaving.
    pub const TC_EGRESS: Self = Self { program: names::TC_EGRESS, attach_type: 47 };

    /// Packets arriving from pods, for what they answer.
    pub const TC_REPLY: Self = Self { program: names::TC_REPLY, attach_type: 46 };

    /// The hooks of a device that carries our programs, at the traffic-control layer.
    pub const TC: [Self; 2] = [Self::TC_INGRESS, Self::TC_EGRESS];
    /// All at the traffic-control layer.
    pub const ALL_TC: [Self; 3] = [Self::TC_INGRESS, Self::TC_EGRESS, Self::TC_REPLY];

    const fn socket(index: usize) -> Self {
        Self { program: names::SOCKET_PROGRAMS[index], attach_type: SOCKET_ATTACH_TYPES[index] }
    }

    /// The hooks of a cgroup.
    pub fn sockets() -> impl Iterator<Item = Self> {
        (0..SOCKET_ATTACH_TYPES.len()).map(Self::socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_carry_the_program_of_their_name() {
        assert_eq!(Hook::CONNECT4.program, "connect4");
        assert_eq!(Hook::GETPEERNAME4.program, "getpeername4");
        assert_eq!(Hook::sockets().count(), names::SOCKET_PROGRAMS.len());
    }
}
