//! Who watches what leaves by an interface: packet sockets (tcpdump and its like), and what netfilter has hooked in there.
//!
//! # Why
//! What the kernel puts at the other end of a veth at once does not pass by this end: nobody who listens here would hear of it, and
//! nothing that was set up for its egress would be done. So that goes on only while there is nobody ([`crate::Device::look_across`]).
//!
//! # What
//! The kernel's list of packet sockets (`/proc/net/packet`, see proc_pid_net(5)), and its chains of the family `netdev` with the hook
//! `egress`. Of the latter one anywhere is enough: who has such a thing has it for a reason.
//!
//! What cannot be found out counts as somebody.

use std::collections::HashMap;
use std::io;
use std::mem::size_of;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::rtnl::datagram;

/// As they were at one time, in the network namespace of the thread that looked.
#[derive(Clone, Debug, Default)]
pub struct Bystanders {
    /// Inodes of the sockets that hear an interface, by its index; 0 stands for all interfaces.
    sockets: HashMap<u32, Vec<u64>>,
    /// Netfilter has something to do with what leaves.
    filter: bool,
}

/// What the calling thread's network namespace has.
const LIST: &str = "/proc/thread-self/net/packet";
/// There while netfilter's chains are, if they are a module.
const MODULE: &str = "/sys/module/nf_tables";
/// All protocols: such a socket is given what is sent as well.
const ETH_P_ALL: u32 = 3;

/// Whoever looks again and again.
#[derive(Clone, Debug, Default)]
pub struct Lookout {
    /// The kernel has no chains that could be hooked in, as long as its module is not loaded.
    no_chains: bool,
}

impl Lookout {
    /// Looks.
    pub fn look(&mut self) -> io::Result<Bystanders> {
        let sockets = parse(&std::fs::read_to_string(LIST)?);
        Ok(Bystanders { sockets, filter: self.filters_egress() })
    }

    /// Whether some chain is hooked into egress.
    fn filters_egress(&mut self) -> bool {
        // Who asks for chains has the module loaded, or has the kernel look for it: once is enough.
        if self.no_chains && !Path::new(MODULE).exists() {
            return false;
        }
        let chains = egress_chains();
        self.no_chains = chains.as_ref().is_err_and(|error| {
            let unknown =
                [Errno::PROTONOSUPPORT, Errno::INVAL, Errno::OPNOTSUPP, Errno::AFNOSUPPORT];
            Errno::from_io_error(error).is_some_and(|errno| unknown.contains(&errno))
        });
        !self.no_chains && chains.unwrap_or(true)
    }
}

impl Bystanders {
    /// Whether nobody watches what leaves by this interface, but for these sockets of ours. One of them must be in the list, or it is
    /// another namespace's.
    pub(crate) fn none_but(&self, ours: &[u64], ifindex: u32) -> bool {
        let on = |ifindex| self.sockets.get(&ifindex).map_or(&[][..], Vec::as_slice);
        let here = on(ifindex);
        !self.filter
            && here.iter().any(|inode| ours.contains(inode))
            && here.iter().chain(on(0)).all(|inode| ours.contains(inode))
    }
}

/// Reads the list of sockets. A line that is not understood is one that hears everything.
fn parse(list: &str) -> HashMap<u32, Vec<u64>> {
    let mut sockets: HashMap<u32, Vec<u64>> = HashMap::new();
    for line in list.lines().skip(1) {
        // sk, RefCnt, Type, Proto, Iface, R(unning), Rmem, User, Inode.
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        let protocol = words.get(3).and_then(|word| u32::from_str_radix(word, 16).ok());
        if protocol.is_some_and(|protocol| protocol != ETH_P_ALL) || number(5) == Some(0) {
            continue;
        }
        let ifindex = number(4).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        // No socket's inode is 0.
        sockets.entry(ifindex).or_default().push(number(8).unwrap_or(0));
    }
    sockets
}

// Of linux/netfilter/nfnetlink.h and nf_tables.h.
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_GETCHAIN: u16 = 4;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFPROTO_NETDEV: u8 = 5;
const NF_NETDEV_EGRESS: u32 = 1;
// Of linux/netlink.h.
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
/// Attributes' types without what is said about their order.
const NLA_TYPE_MASK: u16 = 0x3fff;

fn egress_chains() -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        flags,
        Some(netlink::NETFILTER),
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_secs(1)))?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    let mut request = Vec::new();
    request.extend(20u32.to_ne_bytes());
    request.extend((NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN).to_ne_bytes());
    request.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    request.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    request.extend([NFPROTO_NETDEV, 0, 0, 0]);
    rustix::net::send(&socket, &request, SendFlags::empty())?;
    let mut buffer = vec![0; datagram::MAX];
    let mut any = false;
    loop {
        let (len, _) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        for message in datagram::messages(&buffer[..len]) {
            match message.kind {
                datagram::DONE => return Ok(any),
                datagram::ERROR => return message.error().map_or(Ok(any), Err),
                kind if kind == NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN => {
                    any |= is_egress(message.bytes.get(HEADERS..).unwrap_or_default());
                }
                _ => {}
            }
        }
    }
}

/// Of the message, and of netfilter's part in it.
const HEADERS: usize = 20;

/// Whether a chain, by its attributes, is hooked into egress.
fn is_egress(chain: &[u8]) -> bool {
    let hooks = attributes(chain).filter(|(kind, _)| *kind == NFTA_CHAIN_HOOK);
    let numbers = hooks.flat_map(|(_, hook)| attributes(hook));
    numbers
        .filter(|(kind, _)| *kind == NFTA_HOOK_HOOKNUM)
        .any(|(_, number)| number == NF_NETDEV_EGRESS.to_be_bytes())
}

/// Splits attributes: their types and what is in them. Ends where a length cannot be true.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const HEADER: usize = 2 * size_of::<u16>();
    std::iter::from_fn(move || {
        let [a, b, c, d] = *bytes.first_chunk()?;
        let len = usize::from(u16::from_ne_bytes([a, b]));
        let value = bytes.get(HEADER..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & NLA_TYPE_MASK, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";

    fn of(lines: &str) -> Bystanders {
        Bystanders { sockets: parse(&format!("{HEAD}{lines}")), filter: false }
    }

    #[test]
    fn ours_do_not_count_and_others_do() {
        let ours = "0000000000000000 3      3    0003   7     1 0      0      41\n";
        let lldp = "0000000000000000 3      3    88cc   7     1 0      0      50\n";
        let unbound = "0000000000000000 3      3    0003   0     0 0      0      51\n";
        let elsewhere = "0000000000000000 3      3    0003   8     1 0      0      52\n";
        assert!(of(&[ours, lldp, unbound, elsewhere].concat()).none_but(&[40, 41], 7));
        let here = "0000000000000000 3      3    0003   7     1 0      0      60\n";
        assert!(!of(&[ours, here].concat()).none_but(&[41], 7));
        let everywhere = "0000000000000000 3      3    0003   0     1 0      0      61\n";
        assert!(!of(&[ours, everywhere].concat()).none_but(&[41], 7));
        assert!(!of(elsewhere).none_but(&[41], 7), "another namespace's list");
        let filtered = Bystanders { filter: true, ..of(ours) };
        assert!(!filtered.none_but(&[41], 7));
    }

    #[test]
    fn an_egress_hook_is_found_among_a_chains_attributes() {
        let attribute = |kind: u16, value: &[u8]| {
            let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let chain = |hook: u32| {
            let number = attribute(NFTA_HOOK_HOOKNUM, &hook.to_be_bytes());
            [attribute(1, b"table\0"), attribute(NFTA_CHAIN_HOOK | 0x8000, &number)].concat()
        };
        assert!(is_egress(&chain(NF_NETDEV_EGRESS)) && !is_egress(&chain(0)));
        assert!(!is_egress(&attribute(3, b"name\0")));
    }

    proptest! {
        #[test]
        fn any_list_is_read_without_panic(list in "\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            parse(&format!("{HEAD}{list}"));
            is_egress(&bytes);
        }

        #[test]
        fn each_socket_is_found_where_it_listens(sockets in proptest::collection::vec((0u32..9, 1u64..1000), 1..20)) {
            let line = |(ifindex, inode): &(u32, u64)| format!("0 3 3 0003 {ifindex} 1 0 0 {inode}\n");
            let all = of(&sockets.iter().map(line).collect::<String>());
            let inodes: Vec<u64> = sockets.iter().map(|(_, inode)| *inode).collect();
            for (ifindex, _) in sockets.iter().filter(|(ifindex, _)| *ifindex > 0) {
                prop_assert!(all.none_but(&inodes, *ifindex));
                prop_assert!(!all.none_but(&[], *ifindex));
            }
        }
    }
}
