//! Congestion marks across a tunnel.
//!
//! Entering, the reference (as the Linux kernel) copies the inner mark but for CE, which travels as ECT(0): congestion is
//! then told by the inner header alone, once (RFC 3168, 9.1.1 "full functionality"). Leaving follows RFC 6040, figure 4,
//! which understands that and the newer way alike.

/// The two ECN bits of a TOS byte.
pub const MASK: u8 = 0b11;
/// Not ECN-capable.
pub const NOT_ECT: u8 = 0b00;
/// ECN-capable, codepoint 1.
pub const ECT_1: u8 = 0b01;
/// ECN-capable, codepoint 0.
pub const ECT_0: u8 = 0b10;
/// Congestion experienced.
pub const CE: u8 = 0b11;

/// The outer ECN bits for a packet with this inner TOS.
pub fn encapsulate(inner_tos: u8) -> u8 {
    match inner_tos & MASK {
        CE => ECT_0,
        other => other,
    }
}

/// What to do with an unwrapped packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decap {
    /// The inner mark stands.
    Keep,
    /// The inner mark becomes this.
    Mark(u8),
    /// Congestion was experienced by a packet whose ends cannot be told: drop, so that they notice.
    Drop,
}

/// Combines the marks of an unwrapped packet (RFC 6040, section 4.2).
pub fn decapsulate(outer_tos: u8, inner_tos: u8) -> Decap {
    match (outer_tos & MASK, inner_tos & MASK) {
        (CE, NOT_ECT) => Decap::Drop,
        (CE, ECT_0 | ECT_1) => Decap::Mark(CE),
        (ECT_1, ECT_0) => Decap::Mark(ECT_1),
        _ => Decap::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_rfc_6040_figure_4() {
        use Decap::{Drop, Keep, Mark};
        let rows = [
            (NOT_ECT, [Keep, Keep, Keep, Drop]),
            (ECT_0, [Keep, Mark(ECT_1), Keep, Mark(CE)]),
            (ECT_1, [Keep, Keep, Keep, Mark(CE)]),
            (CE, [Keep, Keep, Keep, Keep]),
        ];
        for (inner, by_outer) in rows {
            for (outer, want) in [NOT_ECT, ECT_1, ECT_0, CE].into_iter().zip(by_outer) {
                assert_eq!(
                    decapsulate(outer | 0xb8, inner | 0x10),
                    want,
                    "inner {inner:02b} outer {outer:02b}"
                );
            }
        }
    }
}
