//! `userspace(..)`: what goes to the slow path, and why.

use std::fmt;

use super::field::{HexText, parse_number};
use super::parse::items;
use super::push::small;
use crate::action::{Direction, FlowSample, PacketIn, Protocol, SlowReason};
use crate::key::{DpPort, RecircId};

/// The names in `slow_path(..)`.
const SLOW: [(&str, SlowReason); 10] = [
    ("cfm", SlowReason::Protocol(Protocol::Cfm)),
    ("bfd", SlowReason::Protocol(Protocol::Bfd)),
    ("lacp", SlowReason::Protocol(Protocol::Lacp)),
    ("stp", SlowReason::Protocol(Protocol::Stp)),
    ("lldp", SlowReason::Protocol(Protocol::Lldp)),
    ("action", SlowReason::Action),
    ("match", SlowReason::Match),
    // Ours.
    ("path_mtu", SlowReason::PathMtu),
    ("fragment", SlowReason::Fragment(DpPort::NONE)),
    // Ours: the reference drops such packets. Which output waits is for the slow path alone.
    ("neighbour", SlowReason::Neighbour(0)),
];

/// What the end of a sample's text says.
const DIRECTIONS: [(&str, Direction); 2] =
    [("ingress", Direction::Ingress), ("egress", Direction::Egress)];

pub(super) fn write(f: &mut fmt::Formatter<'_>, reason: SlowReason) -> fmt::Result {
    let same = |other: SlowReason| match (reason, other) {
        (SlowReason::Neighbour(_), SlowReason::Neighbour(_)) => true,
        (SlowReason::Fragment(_), SlowReason::Fragment(_)) => true,
        (a, b) => a == b,
    };
    if let SlowReason::Controller(to) = reason {
        let flag = |is: bool| u8::from(is);
        write!(f, "userspace(pid=0,controller(reason={},", to.reason)?;
        write!(f, "dont_send={},continuation={},", flag(to.dont_send), flag(to.continuation))?;
        write!(f, "recirc_id={},rule_cookie={},", to.state.0, HexText(to.cookie.into()))?;
        return write!(f, "controller_id={},max_len={}))", to.controller_id, to.max_len);
    }
    if let SlowReason::Sample(sample) = reason {
        let FlowSample { probability, collectors, domain, point, output, direction } = sample;
        write!(f, "userspace(pid=0,flow_sample(probability={probability},")?;
        write!(f, "collector_set_id={collectors},obs_domain_id={domain},obs_point_id={point},")?;
        write!(f, "output_port={}", output.0)?;
        let way = DIRECTIONS.iter().find(|(_, other)| *other == direction);
        way.map_or(Ok(()), |(name, _)| write!(f, ",{name}"))?;
        return f.write_str("))");
    }
    let name = SLOW.iter().find(|(_, other)| same(*other)).map_or("0", |(name, _)| name);
    write!(f, "userspace(pid=0,slow_path({name}))")
}

/// Reads the arguments; the process that the reference names is of no interest.
pub(super) fn parse(args: &str) -> Option<SlowReason> {
    let list = items(args).ok()?;
    let part = |name: &str| list.iter().find(|item| item.name == name)?.args;
    if let Some(name) = part("slow_path") {
        return SLOW.iter().find(|(n, _)| *n == name.trim()).map(|(_, reason)| *reason);
    }
    if let Some(args) = part("flow_sample") {
        let is_said = |name: &str| args.split(',').any(|part| part.trim() == name);
        return Some(SlowReason::Sample(FlowSample {
            probability: small(args, "probability")?,
            collectors: small(args, "collector_set_id")?,
            domain: small(args, "obs_domain_id")?,
            point: small(args, "obs_point_id")?,
            output: DpPort(small(args, "output_port")?),
            direction: DIRECTIONS
                .iter()
                .find(|(name, _)| is_said(name))
                .map_or(Direction::Default, |(_, way)| *way),
        }));
    }
    let args = part("controller")?;
    let flag = |name| Some(small::<u8>(args, name)? != 0);
    Some(SlowReason::Controller(PacketIn {
        reason: small(args, "reason")?,
        dont_send: flag("dont_send")?,
        continuation: flag("continuation")?,
        state: RecircId(small(args, "recirc_id")?),
        cookie: u64::try_from(parse_number(super::push::value(args, "rule_cookie")?)?).ok()?,
        controller_id: small(args, "controller_id")?,
        max_len: small(args, "max_len")?,
    }))
}
