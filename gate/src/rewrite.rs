//! Writing a DSCP into an IP header (RFC 2474), the ECN bits kept.

/// The byte of IPv4's type of service with `dscp` (0..=63) in it.
#[inline(always)]
#[must_use]
pub const fn type_of_service(old: u8, dscp: u8) -> u8 {
    (dscp << 2) | (old & 0b11)
}

/// The first 16 bits of an IPv6 header (version, traffic class, upper flow label) with `dscp` in them.
#[inline(always)]
#[must_use]
pub const fn traffic_class(old: u16, dscp: u8) -> u16 {
    (old & 0xf03f) | ((dscp as u16) << 6)
}

/// An IPv4 header's checksum after one 16-bit word changed from `old` to `new` (RFC 1624, equation 3).
#[inline(always)]
#[must_use]
pub const fn checksum(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = !checksum as u32 + !old as u32 + new as u32;
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 791: the one's complement of the one's complement sum of all 16-bit words.
    fn full_checksum(words: &[u16]) -> u16 {
        let mut sum: u32 = words.iter().map(|&word| u32::from(word)).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).expect("folded")
    }

    #[test]
    fn every_tos_change_keeps_the_checksum_right_and_ecn_alone() {
        for tos in 0..=255u8 {
            for dscp in 0..64u8 {
                let mut header = [0x4500, 60, 0x1c46, 0x4000, 0x4006, 0, 0xac10, 0x0a63, 0xac10, 0x0a0c];
                header[0] = 0x4500 | u16::from(tos);
                let old = full_checksum(&header);
                let new_tos = type_of_service(tos, dscp);
                let changed = checksum(old, header[0], 0x4500 | u16::from(new_tos));
                header[0] = 0x4500 | u16::from(new_tos);
                assert_eq!(changed, full_checksum(&header), "tos {tos:#x} dscp {dscp}");
                assert_eq!((new_tos >> 2, new_tos & 3), (dscp, tos & 3));
            }
        }
    }

    #[test]
    fn traffic_class_leaves_version_flow_label_and_ecn_alone() {
        for old in [0x6000u16, 0x6fff, 0x6abc, 0x603f] {
            for dscp in 0..64u8 {
                let new = traffic_class(old, dscp);
                assert_eq!(new >> 12, 6);
                assert_eq!(new & 0x3f, old & 0x3f);
                assert_eq!((new >> 6) & 0x3f, u16::from(dscp));
            }
        }
    }
}
