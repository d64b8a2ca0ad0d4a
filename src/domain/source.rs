//! Where calls come from, in the one form in which addresses are compared and counted.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// The bits of an IPv6 address that name a subscriber's network: one subscriber has the whole /64 (RFC 6177 section 2).
const SUBSCRIBER_BITS: u32 = 64;

/// The address that a call came from. An IPv4 address that a dual-stack listener maps into IPv6 (RFC 4291 section
/// 2.5.5.2) is that IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Source(IpAddr);

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network(IpAddr);

impl Source {
    /// Takes an address in whatever form it came.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// Reads an address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self::of)
    }

    /// What limits count it as.
    #[must_use]
    pub fn network(self) -> Network {
        match self.0 {
            IpAddr::V4(_) => Network(self.0),
            IpAddr::V6(address) => {
                let mask = u128::MAX << (Ipv6Addr::BITS - SUBSCRIBER_BITS);
                Network(Ipv6Addr::from_bits(address.to_bits() & mask).into())
            }
        }
    }

    /// Whether the address belongs to a network; one of IPv4 addresses mapped into IPv6 is taken for theirs.
    #[must_use]
    pub fn is_in(self, network: &IpNet) -> bool {
        const MAPPED_BITS: u8 = 96;
        match network {
            IpNet::V6(mapped) if mapped.prefix_len() >= MAPPED_BITS => match mapped.addr().to_ipv4_mapped() {
                Some(base) => {
                    let network = ipnet::Ipv4Net::new(base, mapped.prefix_len() - MAPPED_BITS);
                    network.is_ok_and(|network| IpNet::V4(network).contains(&self.0))
                }
                None => network.contains(&self.0),
            },
            _ => network.contains(&self.0),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(prefix) => write!(f, "{prefix}/{SUBSCRIBER_BITS}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::parse(text).unwrap()
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address_that_it_stands_for() {
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        assert_eq!(source("::ffff:10.0.0.1").to_string(), "10.0.0.1");
        for network in ["10.0.0.0/8", "10.0.0.1/32", "::ffff:10.0.0.0/104", "::ffff:10.0.0.1/128", "0.0.0.0/0"] {
            assert!(source("::ffff:10.0.0.1").is_in(&network.parse().unwrap()), "{network}");
            assert!(!source("2001:db8::1").is_in(&network.parse().unwrap()), "{network}");
        }
        assert!(!source("::ffff:11.0.0.1").is_in(&"::ffff:10.0.0.0/104".parse().unwrap()));
        assert!(source("2001:db8::1").is_in(&"2001:db8::/32".parse().unwrap()));
    }

    #[test]
    fn ipv6_addresses_of_one_subscriber_count_as_one_source() {
        assert_eq!(source("2001:db8:0:1::1").network(), source("2001:db8:0:1:ffff::2").network());
        assert_ne!(source("2001:db8:0:1::1").network(), source("2001:db8:0:2::1").network());
        assert_ne!(source("192.0.2.1").network(), source("192.0.2.2").network());
        assert_eq!(source("2001:db8:0:1::1").network().to_string(), "2001:db8:0:1::/64");
        assert_eq!(source("192.0.2.1").network().to_string(), "192.0.2.1");
    }
}
