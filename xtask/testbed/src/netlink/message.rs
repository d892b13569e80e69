//! Netlink messages as bytes: a header, a family's own header, attributes.

/// Bytes of the header that every message has.
const HEADER: usize = 16;
/// Bytes of an attribute's header.
const ATTRIBUTE_HEADER: usize = 4;
/// Everything starts at a multiple of this.
const ALIGNMENT: usize = 4;
/// Marks an attribute that holds attributes.
const NESTED: u16 = 1 << 15;
/// The bits of an attribute's type that are the type.
const ATTRIBUTE_TYPE: u16 = 0x3fff;

/// Flags of a message's header.
pub(crate) mod flags {
    /// Every request has it.
    pub(crate) const REQUEST: u16 = 1;
    /// An acknowledgement is wanted.
    pub(crate) const ACKNOWLEDGE: u16 = 4;
    /// Everything there is, not one thing.
    pub(crate) const DUMP: u16 = 0x300;
}

/// A message to the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: Vec<u8>,
}

impl Message {
    /// A request that is acknowledged; `family_header` is what the family puts first.
    pub(crate) fn new(kind: u16, sequence: u32, family_header: &[u8]) -> Self {
        Self {
            kind,
            flags: flags::REQUEST | flags::ACKNOWLEDGE,
            sequence,
            payload: family_header.to_vec(),
        }
    }

    /// A request for everything there is.
    pub(crate) fn dump(kind: u16, sequence: u32, family_header: &[u8]) -> Self {
        Self { flags: flags::REQUEST | flags::DUMP, ..Self::new(kind, sequence, family_header) }
    }

    /// A request that is not acknowledged.
    pub(crate) fn silent(kind: u16, sequence: u32, family_header: &[u8]) -> Self {
        Self { flags: flags::REQUEST, ..Self::new(kind, sequence, family_header) }
    }

    /// With these attributes after what is there.
    pub(crate) fn with(mut self, attributes: &Attributes) -> Self {
        self.payload.extend_from_slice(&attributes.0);
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.payload.len());
        bytes.extend_from_slice(&((HEADER + self.payload.len()) as u32).to_ne_bytes());
        bytes.extend_from_slice(&self.kind.to_ne_bytes());
        bytes.extend_from_slice(&self.flags.to_ne_bytes());
        bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        // The sender's port, which the kernel fills in.
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(&self.payload);
        align(&mut bytes);
        bytes
    }
}

/// A list of attributes to send.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// With an attribute of plain bytes.
    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend_from_slice(&((ATTRIBUTE_HEADER + value.len()) as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        align(&mut self.0);
        self
    }

    /// With a text, which ends with a zero byte.
    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// With a list of attributes.
    pub(crate) fn nest(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }
}

/// A message from the kernel.
pub(super) struct Part<'a> {
    pub(super) kind: u16,
    pub(super) sequence: u32,
    pub(super) payload: &'a [u8],
}

/// The messages in what was received; `None` ends a list that is cut short.
pub(super) fn split(mut received: &[u8]) -> impl Iterator<Item = Option<Part<'_>>> {
    std::iter::from_fn(move || {
        if received.is_empty() {
            return None;
        }
        let part = part(received);
        received = part.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(part.map(|(part, _)| part))
    })
}

fn part(received: &[u8]) -> Option<(Part<'_>, &[u8])> {
    let length = u32::from_ne_bytes(*received.first_chunk()?) as usize;
    let message = received.get(..length)?;
    let part = Part {
        kind: u16::from_ne_bytes(*message.get(4..)?.first_chunk()?),
        sequence: u32::from_ne_bytes(*message.get(8..)?.first_chunk()?),
        payload: message.get(HEADER..)?,
    };
    Some((part, received.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or(&[])))
}

/// Types and values of the attributes in a payload, up to where it makes no sense.
pub(crate) fn attributes(mut payload: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*payload.first_chunk()?));
        let kind = u16::from_ne_bytes(*payload.get(2..)?.first_chunk()?) & ATTRIBUTE_TYPE;
        let value = payload.get(ATTRIBUTE_HEADER..length)?;
        payload = payload.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

/// A text from the kernel, without the zero byte at its end.
pub(crate) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}

fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_taken_apart() {
        let inner = Attributes::default().text(7, "eth0");
        let list = Attributes::default().bytes(1, &[9]).nest(2, &inner);
        let first = Message::new(17, 3, &[1, 2, 3, 4]).with(&list).bytes();
        let second = Message::silent(18, 4, &[]).bytes();
        let received = [first, second].concat();
        let parts: Vec<_> = split(&received).flatten().collect();
        assert_eq!(
            parts.iter().map(|p| (p.kind, p.sequence)).collect::<Vec<_>>(),
            [(17, 3), (18, 4)]
        );
        let (family, list) = parts[0].payload.split_at(4);
        assert_eq!(family, [1, 2, 3, 4]);
        let found: Vec<_> = attributes(list).collect();
        assert_eq!(found[0], (1, &[9][..]));
        assert_eq!(found[1].0, 2);
        let nested: Vec<_> = attributes(found[1].1).collect();
        assert_eq!((nested[0].0, text(nested[0].1)), (7, "eth0".to_owned()));
    }

    #[test]
    fn an_answer_cut_short_is_noticed() {
        let whole = Message::new(17, 3, &[0; 8]).bytes();
        let parts: Vec<_> = split(&whole[..whole.len() - 1]).map(|part| part.is_some()).collect();
        assert_eq!(parts, [false]);
        assert_eq!(attributes(&[200, 0, 1, 0, 5]).count(), 0);
    }
}
