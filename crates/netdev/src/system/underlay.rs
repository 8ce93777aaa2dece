//! A card whose address stays with the host, and that carries tunnels all the same.
//!
//! The packet socket gets a copy of what is for tunnels (and of what tells of neighbours), and of nothing else: a program in the
//! kernel decides ([`program`]). The card is not made promiscuous, and all other traffic of the host is as it was, SSH among it.
//!
//! The host's stack gets tunnel packets as well, and would answer each with "port unreachable". So somebody must listen at the
//! tunnels' UDP ports: a socket that hears nothing ([`Sinks`]).

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};
use sys::packet_socket::{self, Instruction, RETURN};

/// Most UDP ports that a program tells apart: jumps of such programs are short.
pub const PORTS_MAX: usize = 64;

// Classic BPF, bpf(4) and linux/filter.h.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
/// X = 4 * (byte & 15): the length of an IPv4 header.
const LOAD_HEADER_LEN: u16 = 0xb1;
const LOAD_HALF_AT_X: u16 = 0x48;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_ANY_BIT: u16 = 0x45;
/// Whether there was a VLAN tag, which the kernel has taken off.
const VLAN_PRESENT: u32 = 0xffff_f000 + 48;
const EVERYTHING: u32 = 0x4_0000;

// Offsets in a frame.
const ETH_TYPE: u32 = 12;
const IP: u32 = 14;

/// A place in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    /// The next instruction.
    Next,
    V4,
    V4Icmp,
    V6,
    V6Fragment,
    V6Udp,
    Discovery,
    Ports,
    Drop,
    Accept,
}

/// An instruction whose jumps are not measured yet, and the label that it has.
struct Step {
    label: Option<Label>,
    code: u16,
    k: u32,
    then: Label,
    otherwise: Label,
}

fn step(code: u16, k: u32) -> Step {
    Step { label: None, code, k, then: Label::Next, otherwise: Label::Next }
}

fn branch(code: u16, k: u32, then: Label, otherwise: Label) -> Step {
    Step { then, otherwise, ..step(code, k) }
}

fn at(label: Label, step: Step) -> Step {
    Step { label: Some(label), ..step }
}

/// Lets untagged frames pass that are ARP, neighbour discovery, or UDP datagrams to one of these ports; fragments of any UDP
/// datagram, for only the first one has ports; and what routers say of packets that are too long.
pub(super) fn program(ports: &BTreeSet<u16>) -> Vec<Instruction> {
    use Label::{Accept, Discovery, Drop, Next, Ports, V4, V4Icmp, V6, V6Fragment, V6Udp};
    let for_tunnels = if ports.is_empty() { Drop } else { Accept };
    let mut steps = vec![
        step(LOAD_WORD, VLAN_PRESENT),
        branch(IF_EQUAL, 0, Next, Drop),
        step(LOAD_HALF, ETH_TYPE),
        branch(IF_EQUAL, 0x0806, Accept, Next),
        branch(IF_EQUAL, 0x0800, V4, Next),
        branch(IF_EQUAL, 0x86dd, V6, Drop),
        at(V4, step(LOAD_BYTE, IP + 9)),
        branch(IF_EQUAL, 17, Next, V4Icmp),
        step(LOAD_HALF, IP + 6),
        branch(IF_ANY_BIT, 0x3fff, for_tunnels, Next), // a fragment
        step(LOAD_HEADER_LEN, IP),
        step(LOAD_HALF_AT_X, IP + 2),
        branch(JUMP, 0, Ports, Ports),
        at(V4Icmp, branch(IF_EQUAL, 1, Next, Drop)),
        step(LOAD_HALF, IP + 6),
        branch(IF_ANY_BIT, 0x3fff, Drop, Next),
        step(LOAD_HEADER_LEN, IP),
        step(LOAD_HALF_AT_X, IP),
        branch(IF_EQUAL, 0x0304, for_tunnels, Drop), // fragmentation needed
        at(V6, step(LOAD_BYTE, IP + 6)),
        branch(IF_EQUAL, 17, V6Udp, Next),
        branch(IF_EQUAL, 44, V6Fragment, Next),
        branch(IF_EQUAL, 58, Discovery, Drop),
        at(V6Fragment, step(LOAD_BYTE, IP + 40)),
        branch(IF_EQUAL, 17, for_tunnels, Drop),
        at(Discovery, step(LOAD_BYTE, IP + 40)),
        branch(IF_EQUAL, 135, Accept, Next),
        branch(IF_EQUAL, 136, Accept, Next),
        branch(IF_EQUAL, 2, for_tunnels, Drop), // packet too big
        at(V6Udp, step(LOAD_HALF, IP + 40 + 2)),
    ];
    let first = steps.len();
    let ports = ports.iter().take(PORTS_MAX);
    steps.extend(ports.map(|port| branch(IF_EQUAL, (*port).into(), Accept, Next)));
    steps.push(at(Drop, step(RETURN, 0)));
    steps.push(at(Accept, step(RETURN, EVERYTHING)));
    // Without ports, the list of them is where frames are dropped.
    let place = |label: Label| match label {
        Ports => Some(first),
        label => steps.iter().position(|step| step.label == Some(label)),
    };
    let resolved = steps.iter().enumerate().map(|(i, step)| {
        let far = |label: Label| match label {
            Next => 0,
            label => place(label).map_or(0, |to| to.saturating_sub(i + 1)),
        };
        match step.code {
            JUMP => Instruction { code: JUMP, jt: 0, jf: 0, k: far(step.then) as u32 },
            code => Instruction {
                code,
                jt: far(step.then) as u8,
                jf: far(step.otherwise) as u8,
                k: step.k,
            },
        }
    });
    resolved.collect()
}

/// Sockets at UDP ports that hear nothing.
#[derive(Debug)]
pub(super) struct Sinks {
    _sockets: Vec<OwnedFd>,
}

impl Sinks {
    /// Takes these ports of the host, of both families; and says which it has got. Those that somebody else has are logged, and
    /// left to them.
    pub(super) fn open(card: &str, ports: &BTreeSet<u16>) -> (Self, BTreeSet<u16>) {
        let (mut sockets, mut got) = (Vec::new(), BTreeSet::new());
        for port in ports {
            match pair(*port) {
                Ok(mut pair) => {
                    sockets.append(&mut pair);
                    got.insert(*port);
                }
                Err(error) if is_taken(&error) => log::warn!(
                    target: "tunnel",
                    "{card}: UDP port {port} is in use on this host, by a tunnel device of the kernel for one: tunnels at it do not receive"
                ),
                Err(error) => log::warn!(target: "tunnel", "{card}: UDP port {port}: {error}"),
            }
        }
        (Self { _sockets: sockets }, got)
    }
}

/// Of both families; a host without IPv6 has no such port.
fn pair(port: u16) -> io::Result<Vec<OwnedFd>> {
    let v4 = sink((Ipv4Addr::UNSPECIFIED, port).into())?;
    match sink((Ipv6Addr::UNSPECIFIED, port).into()) {
        Ok(v6) => Ok(vec![v4, v6]),
        Err(error) if is_taken(&error) => Err(error),
        Err(_) => Ok(vec![v4]),
    }
}

fn is_taken(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::ADDRINUSE)
}

fn sink(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, Some(ipproto::UDP))?;
    packet_socket::mute(socket.as_fd())?;
    // Each card has its own.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do with this frame; of VLAN tags it knows none here.
    fn passes(program: &[Instruction], frame: &[u8]) -> bool {
        let (mut a, mut x, mut pc) = (0u32, 0u32, 0);
        let byte = |at: u32| frame.get(at as usize).copied().map(u32::from);
        let half = |at: u32| Some(byte(at)? << 8 | byte(at + 1)?);
        loop {
            let i = program[pc];
            pc += 1;
            let loaded = match i.code {
                LOAD_WORD => Some(0),
                LOAD_HALF => half(i.k),
                LOAD_BYTE => byte(i.k),
                LOAD_HALF_AT_X => half(i.k + x),
                LOAD_HEADER_LEN => {
                    let Some(len) = byte(i.k) else { return false };
                    x = (len & 15) * 4;
                    continue;
                }
                JUMP => {
                    pc += i.k as usize;
                    continue;
                }
                RETURN => return i.k != 0,
                IF_EQUAL | IF_ANY_BIT => {
                    let holds = if i.code == IF_EQUAL { a == i.k } else { a & i.k != 0 };
                    pc += usize::from(if holds { i.jt } else { i.jf });
                    continue;
                }
                code => panic!("{code:#x}"),
            };
            // Beyond the end of a frame the program ends, and nothing passes.
            let Some(loaded) = loaded else { return false };
            a = loaded;
        }
    }

    fn v4(proto: u8, fragment: u16, options: usize, port: u16) -> Vec<u8> {
        let mut f = vec![0; 14 + 20 + options + 8];
        f[12..14].copy_from_slice(&[8, 0]);
        f[14] = 0x45 + (options / 4) as u8;
        f[20..22].copy_from_slice(&fragment.to_be_bytes());
        f[23] = proto;
        f[36 + options..38 + options].copy_from_slice(&port.to_be_bytes());
        f
    }

    fn icmp(kind: u8, code: u8, options: usize) -> Vec<u8> {
        let mut f = v4(1, 0x4000, options, 0);
        f[34 + options..36 + options].copy_from_slice(&[kind, code]);
        f
    }

    fn v6(next: u8, word: u32) -> Vec<u8> {
        let mut f = vec![0; 14 + 40 + 8];
        f[12..14].copy_from_slice(&[0x86, 0xdd]);
        f[20] = next;
        f[54..58].copy_from_slice(&word.to_be_bytes());
        f
    }

    #[test]
    fn what_is_for_tunnels_passes_and_nothing_else() {
        let some = program(&BTreeSet::from([4789, 6081]));
        let none = program(&BTreeSet::new());
        let arp = [&[0; 12][..], &[8, 6], &[0; 28]].concat();
        for (frame, want) in [
            (arp, true),
            (v4(17, 0x4000, 0, 4789), true),
            (v4(17, 0, 8, 6081), true),
            (v4(17, 0, 0, 53), false),
            (v4(6, 0, 0, 4789), false),
            (v4(17, 0x2000, 0, 53), true),
            (v4(17, 5, 0, 4789), true),
            (v4(6, 0x2000, 0, 4789), false),
            (icmp(3, 4, 0), true),
            (icmp(3, 4, 12), true),
            (icmp(3, 3, 0), false),
            (icmp(8, 0, 0), false),
            (v6(44, 17 << 24), true),
            (v6(44, 6 << 24), false),
            (v6(58, 2 << 24), true),
            (v6(58, 1 << 24), false),
            (v6(17, 4789), true),
            (v6(17, 53), false),
            (v6(58, 135 << 24), true),
            (v6(58, 136 << 24), true),
            (v6(58, 128 << 24), false),
            (v6(6, 4789), false),
            (vec![0; 14], false),
            (v4(17, 0, 0, 4789)[..30].to_vec(), false),
        ] {
            assert_eq!(passes(&some, &frame), want, "{frame:x?}");
            let is_for_both = frame[12..14] == [8, 6] || matches!(frame.get(54), Some(135 | 136));
            let is_tunnel = !is_for_both;
            assert_eq!(passes(&none, &frame), want && !is_tunnel, "{frame:x?}");
        }
    }

    #[test]
    fn the_kernel_takes_the_longest_program() {
        let program = program(&(1..=PORTS_MAX as u16).collect());
        let socket = sink((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        packet_socket::filter(socket.as_fd(), &program).unwrap();
    }
}
