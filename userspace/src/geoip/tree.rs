//! The search tree of an MMDB file: every network with the value its record holds, in ascending order.
//!
//! maxminddb's own iterator is not used for this: it takes an IPv6 network whose record happens to be the one that
//! also covers `::/96` for an alias and leaves it out, and a crafted file in which 2^96 ways lead to the IPv4 tree
//! keeps it busy for ever. This walk visits a bounded number of nodes.

use super::runs::Address;

/// How many times more nodes than the file has may be visited. A tree needs one; files that repeat subtrees are
/// tolerated to a degree, the same as maxminddb's own check has.
const PATIENCE: usize = 3;

/// The tree. A node has two values, for the next bit being 0 or 1: below `node_count` they are nodes, `node_count`
/// stands for "nothing known", larger ones for data.
pub(super) struct Tree<'a> {
    nodes: &'a [u8],
    node_count: u32,
    record_bits: u16,
    ip_version: u16,
    /// What is found at `::/96`, or where a shorter network covers it; a node, nothing or data.
    v4_start: u32,
}

/// Both families' networks, in order. Aliases of the IPv4 tree are not visited.
pub(super) trait Visit<E> {
    /// `first` to `last` have the data at `value`.
    fn v4(&mut self, first: u32, last: u32, value: u32) -> Result<(), E>;
    /// The same for IPv6.
    fn v6(&mut self, first: u128, last: u128, value: u32) -> Result<(), E>;
}

impl<'a> Tree<'a> {
    /// `file` must hold the whole tree: `node_count * record_bits / 4` bytes from its start (maxminddb's `Reader`
    /// checks that). `None` where it does not, or where `record_bits` is none of 24, 28, 32.
    pub(super) fn new(file: &'a [u8], node_count: u32, record_bits: u16, ip_version: u16) -> Option<Self> {
        if !matches!(record_bits, 24 | 28 | 32) || node_count == 0 {
            return None;
        }
        let size = usize::try_from(node_count).ok()?.checked_mul(usize::from(record_bits) / 4)?;
        let mut tree = Self { nodes: file.get(..size)?, node_count, record_bits, ip_version, v4_start: 0 };
        if ip_version == 6 {
            for _ in 0..96 {
                if tree.v4_start < node_count {
                    tree.v4_start = tree.child(tree.v4_start, 0);
                }
            }
        }
        Some(tree)
    }

    /// Visits every network that has data: first IPv4, then IPv6.
    ///
    /// The IPv4 tree is walked once. Wherever else it is reached from (`::ffff:0:0/96`, `2002::/16`,
    /// `64:ff9b::/96`, `2001::/32`, …), and at `::/96`, IPv6 has no network.
    pub(super) fn walk<E: From<Damage>>(&self, visit: &mut impl Visit<E>) -> Result<(), E> {
        let mut left = (self.node_count as usize).saturating_mul(PATIENCE);
        if self.ip_version == 6 && self.v4_start == 0 {
            return Err(Damage::Cycle.into());
        }
        self.descend(self.v4_start, 32, None, &mut left, |first: u128, last, value| {
            visit.v4((first >> 96) as u32, (last >> 96) as u32, value)
        })?;
        if self.ip_version == 6 {
            let alias = (self.v4_start < self.node_count).then_some(self.v4_start);
            self.descend(0, 128, alias, &mut left, |first, last, value| visit.v6(first, last, value))?;
        }
        Ok(())
    }

    /// All data under node `root`, addresses being left-aligned in 128 bits, at most `bits` deep.
    fn descend<E: From<Damage>>(
        &self,
        root: u32,
        bits: u8,
        alias: Option<u32>,
        left: &mut usize,
        mut found: impl FnMut(u128, u128, u32) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut stack = vec![(root, 0u128, 0u8)];
        while let Some((value, first, depth)) = stack.pop() {
            if value == self.node_count || alias == Some(value) {
                continue;
            }
            if value > self.node_count {
                let last = first | u128::LAST.checked_shr(u32::from(depth)).unwrap_or(0);
                found(first, last, value)?;
                continue;
            }
            if depth == bits {
                return Err(Damage::TooDeep.into());
            }
            *left = left.checked_sub(1).ok_or(Damage::Cycle)?;
            let one = first | (1 << (127 - depth));
            stack.push((self.child(value, 1), one, depth + 1));
            stack.push((self.child(value, 0), first, depth + 1));
        }
        Ok(())
    }

    /// The left (0) or right (1) record of a node. `node` is less than `node_count`, so all bytes are there.
    fn child(&self, node: u32, side: usize) -> u32 {
        let at = |offset: usize| {
            let bytes = &self.nodes[offset..offset + 4];
            u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
        };
        let node = node as usize;
        match self.record_bits {
            24 => (at(node * 6 + side * 2) >> (8 * (1 - side))) & 0x00ff_ffff,
            28 => {
                // The byte in the middle holds the highest four bits of both.
                let word = at(node * 7 + side * 3);
                if side == 0 { (word >> 8) | ((word & 0xf0) << 20) } else { word & 0x0fff_ffff }
            }
            _ => at(node * 8 + side * 4),
        }
    }
}

/// Writes the left (0) or right (1) record of a node, as `Tree::child` reads it.
pub(super) fn set_child(nodes: &mut [u8], record_bits: u16, node: usize, side: usize, value: u32) {
    let mut put = |offset: usize, bytes: &[u8]| nodes[offset..offset + bytes.len()].copy_from_slice(bytes);
    let bytes = value.to_be_bytes();
    match record_bits {
        24 => put(node * 6 + side * 3, &bytes[1..]),
        28 => {
            put(node * 7 + side * 4, &bytes[1..]);
            let middle = &mut nodes[node * 7 + 3];
            *middle =
                if side == 0 { (*middle & 0x0f) | (bytes[0] << 4) } else { (*middle & 0xf0) | bytes[0] };
        }
        _ => put(node * 8 + side * 4, &bytes),
    }
}

/// What can be wrong with a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Damage {
    /// More nodes are reached than the file has.
    Cycle,
    /// A way through the tree has more steps than an address has bits.
    TooDeep,
}

impl Damage {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Cycle => "the search tree runs in circles",
            Self::TooDeep => "the search tree is deeper than an address has bits",
        }
    }
}
