//! Who a span is: the W3C's trace context.

use uuid::Uuid;

/// A span in its trace, as `traceparent` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    /// Whether anybody wants to see it.
    pub(super) sampled: bool,
}

impl Identity {
    /// A trace that begins here.
    pub(super) fn new() -> Self {
        Self { trace: *Uuid::now_v7().as_bytes(), span: Self::span(), sampled: true }
    }

    /// A span below this one.
    pub(super) fn child(self) -> Self {
        Self { span: Self::span(), ..self }
    }

    /// The half of an identifier that is random.
    fn span() -> [u8; 8] {
        let [.., a, b, c, d, e, f, g, h] = *Uuid::now_v7().as_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// What another program calls its span; `None` where it is not as the specification asks. Of a version that is not known, what version 00 has.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let known = version.len() == 2 && version != "ff" && bytes::<1>(version).is_some();
        let complete = version != "00" || parts.next().is_none();
        let [flags] = bytes::<1>(flags)?;
        let (trace, span) = (bytes::<16>(trace)?, bytes::<8>(span)?);
        let sound = known && complete && trace != [0; 16] && span != [0; 8];
        sound.then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("00-")?;
        self.trace.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", u8::from(self.sampled))
    }
}

/// So many bytes in lower-case hexadecimal.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let hexadecimal = text.len() == 2 * N && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate().filter(|_| hexadecimal) {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    hexadecimal.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_again() {
        let identity = Identity::parse(GIVEN).unwrap();
        assert!(identity.sampled && identity.to_string() == GIVEN);
        let child = identity.child();
        assert!(child.trace == identity.trace && child.span != identity.span);
        assert_eq!(Identity::parse(&Identity::new().to_string()).map(|one| one.sampled), Some(true));
    }

    #[test]
    fn what_the_specification_forbids_is_no_parent() {
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1'",
        ] {
            assert_eq!(Identity::parse(wrong), None, "{wrong}");
        }
        assert!(Identity::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-new").is_some());
    }
}
