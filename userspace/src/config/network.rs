//! Networks as they are typed: `192.0.2.0/24`, `2001:db8::/32`, or one address.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor a network.
    #[error("is not an IPv4 or IPv6 address, or network such as 192.0.2.0/24 or 2001:db8::/32")]
    Address,
    /// An address, and no length of a prefix behind it.
    #[error("has the prefix length {length:?}; expected a number from 0 to {longest}")]
    Length {
        /// What was typed in its place.
        length: String,
        /// The bits of an address.
        longest: u8,
    },
    /// An address in a network, in place of the network.
    #[error("has bits set after its prefix length; the network is {0}")]
    HostBits(IpNetwork),
    /// An IPv4 network as IPv6 sockets have it.
    #[error("is IPv4-mapped, and packets carry IPv4 addresses as IPv4; write {0}")]
    Mapped(String),
}

/// Reads a network, or an address as the network of only that address.
pub(crate) fn parse(text: &str) -> Result<IpNetwork, NetworkError> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let bits = match length {
        None => longest,
        Some(length) => prefix_length(length, longest)?,
    };
    if let (IpAddr::V6(v6), true) = (address, bits >= MAPPED_BITS)
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        let v4 = network(IpAddr::V4(v4), bits - MAPPED_BITS);
        return Err(NetworkError::Mapped(if bits == longest { v4.ip().to_string() } else { v4.to_string() }));
    }
    let network = network(address, bits);
    if network.ip() == address { Ok(network) } else { Err(NetworkError::HostBits(network)) }
}

/// ::ffff:0:0/96 holds the IPv4 addresses.
const MAPPED_BITS: u8 = 96;

fn prefix_length(text: &str, longest: u8) -> Result<u8, NetworkError> {
    let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let length = if digits_only { text.parse().ok() } else { None };
    length
        .filter(|&length| length <= longest)
        .ok_or_else(|| NetworkError::Length { length: text.chars().take(32).collect(), longest })
}

/// The network of `bits` leading bits that `address` is in; its `ip()` has no bit set after them.
fn network(address: IpAddr, bits: u8) -> IpNetwork {
    let within = IpNetwork::new(address, bits).expect("the length was compared with the family's");
    IpNetwork::new(within.network(), bits).expect("the length was compared with the family's")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_read() {
        for (text, network) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:DB8::1", "2001:db8::1/128"),
            ("::/0", "::/0"),
            ("::/64", "::/64"),
        ] {
            assert_eq!(parse(text).map(|network| network.to_string()), Ok(network.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_network_that_was_meant() {
        for (text, message) in [
            ("1.2.3.4/24", "has bits set after its prefix length; the network is 1.2.3.0/24"),
            ("2001:db8::1/32", "has bits set after its prefix length; the network is 2001:db8::/32"),
            ("::ffff:1.2.3.4", "is IPv4-mapped, and packets carry IPv4 addresses as IPv4; write 1.2.3.4"),
            (
                "::ffff:1.2.3.4/120",
                "is IPv4-mapped, and packets carry IPv4 addresses as IPv4; write 1.2.3.0/24",
            ),
            ("1.2.3.0/33", "has the prefix length \"33\"; expected a number from 0 to 32"),
            ("1.2.3.0/+8", "has the prefix length \"+8\"; expected a number from 0 to 32"),
            (
                "1.2.3.0/255.255.255.0",
                "has the prefix length \"255.255.255.0\"; expected a number from 0 to 32",
            ),
            ("::/129", "has the prefix length \"129\"; expected a number from 0 to 128"),
            ("::/", "has the prefix length \"\"; expected a number from 0 to 128"),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), message, "{text}");
        }
        for text in
            ["", "10.0.0/8", "010.0.0.1", "example.org", " 1.2.3.4", "fe80::1%eth0", "1.2.3.4-1.2.3.9"]
        {
            assert_eq!(parse(text), Err(NetworkError::Address), "{text:?}");
        }
    }
}
