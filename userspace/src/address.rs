//! Addresses of one family as numbers.

/// An address as a number: `u32` for IPv4, `u128` for IPv6, most significant bit first.
pub trait Key: Copy + Ord + std::hash::Hash + std::fmt::Debug {
    /// The first address.
    const FIRST: Self;
    /// The last address.
    const LAST: Self;
    /// The address after this one; `None` after the last.
    fn next(self) -> Option<Self>;
    /// The address before this one, which is not the first.
    fn before(self) -> Self;
    /// First and last address of a network; `None` for a network of the other family.
    fn range(network: &ipnetwork::IpNetwork) -> Option<(Self, Self)>;
}

macro_rules! key {
    ($key:ty, $family:ident, $other:ident) => {
        impl Key for $key {
            const FIRST: Self = 0;
            const LAST: Self = Self::MAX;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn before(self) -> Self {
                self - 1
            }

            fn range(network: &ipnetwork::IpNetwork) -> Option<(Self, Self)> {
                match network {
                    ipnetwork::IpNetwork::$family(network) => {
                        Some((network.network().into(), network.broadcast().into()))
                    }
                    ipnetwork::IpNetwork::$other(_) => None,
                }
            }
        }
    };
}

key!(u32, V4, V6);
key!(u128, V6, V4);
