//! Actions in text.

use std::fmt;
use std::sync::Arc;

use packet::wire::ethernet::{MacText, eth_type, parse_mac};

use super::field::{HexText, parse_number};
use super::key::write_sets;
use super::parse::{Item, MAX_DEPTH, items, parse_set};
use super::push::{parse_tnl_push, small, value, write_header};
use super::special::parse_vlan;
use super::{PortNames, PortText, SyntaxError, ct, nsh, parse_port, userspace};
use crate::action::{Action, HashMethod};
use crate::key::{DpPort, RecircId, Vlan};

/// A list of actions in text; `drop` when it is empty.
#[derive(Clone, Copy)]
pub struct ActionsText<'a> {
    /// The actions.
    pub actions: &'a [Action],
    /// Port names (`--names`); [`super::Numbers`] for none.
    pub names: &'a dyn PortNames,
}

impl fmt::Display for ActionsText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.actions.is_empty() {
            return f.write_str("drop");
        }
        for (i, action) in self.actions.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            self.action(f, action)?;
        }
        Ok(())
    }
}

impl ActionsText<'_> {
    fn nested<'a>(&'a self, actions: &'a [Action]) -> ActionsText<'a> {
        ActionsText { actions, names: self.names }
    }

    fn action(&self, f: &mut fmt::Formatter<'_>, action: &Action) -> fmt::Result {
        let port = |port: &DpPort| PortText(*port, self.names);
        match action {
            Action::Output(to) => write!(f, "{}", port(to)),
            Action::PushVlan(tag) => write_push_vlan(f, *tag),
            Action::PopVlan => f.write_str("pop_vlan"),
            Action::Set(set) => write_sets(f, &set.0, &set.1),
            Action::TnlPush(push) => {
                write!(f, "tnl_push(tnl_port({}),", port(&push.tnl_port))?;
                write_header(f, push)?;
                write!(f, ",out_port({}))", port(&push.out_port))
            }
            Action::TnlPop(tunnel) => write!(f, "tnl_pop({})", port(tunnel)),
            Action::Recirc(id) => write!(f, "recirc({})", HexText(id.0.into())),
            Action::Trunc(len) => write!(f, "trunc({len})"),
            Action::PushMpls { entry, eth_type } => {
                write!(f, "push_mpls({},eth_type=0x{eth_type:x})", LabelText(*entry))
            }
            Action::AddMpls { entry, eth_type } => {
                write!(f, "add_mpls({},eth_type=0x{eth_type:x})", LabelText(*entry))
            }
            Action::PopMpls { eth_type } => write!(f, "pop_mpls(eth_type=0x{eth_type:x})"),
            Action::CopyTtlOut => f.write_str("copy_ttl_out"),
            Action::CopyTtlIn => f.write_str("copy_ttl_in"),
            Action::PushPbb { tci } => write!(f, "push_pbb(tci={})", HexText((*tci).into())),
            Action::PopPbb => f.write_str("pop_pbb"),
            Action::PushEth { src, dst } => {
                write!(f, "push_eth(src={},dst={})", MacText(src), MacText(dst))
            }
            Action::PopEth => f.write_str("pop_eth"),
            Action::PushNsh(push) => nsh::write_push(f, push),
            Action::PopNsh => f.write_str("pop_nsh()"),
            Action::Meter(id) => write!(f, "meter({id})"),
            Action::Hash(HashMethod::L4, basis) => write!(f, "hash(l4({basis}))"),
            Action::Hash(HashMethod::SymmetricL4, basis) => write!(f, "hash(sym_l4({basis}))"),
            Action::Clone(actions) => write!(f, "clone({})", self.nested(actions)),
            Action::Sample { probability, actions } => {
                let percent = 100.0 * f64::from(*probability) / f64::from(u32::MAX);
                write!(f, "sample(sample={percent:.1}%,actions({}))", self.nested(actions))
            }
            Action::CheckPktLen { len, greater, less_or_equal } => {
                write!(f, "check_pkt_len(size={len},gt({}),", self.nested(greater))?;
                write!(f, "le({}))", self.nested(less_or_equal))
            }
            Action::Ct(ct) => ct::write(f, ct),
            Action::CtClear => f.write_str("ct_clear"),
            Action::Userspace(reason) => userspace::write(f, *reason),
            Action::Drop(_) => f.write_str("drop"),
        }
    }
}

fn write_push_vlan(f: &mut fmt::Formatter<'_>, tag: Vlan) -> fmt::Result {
    f.write_str("push_vlan(")?;
    if tag.tpid != eth_type::VLAN {
        write!(f, "tpid=0x{:04x},", tag.tpid)?;
    }
    write!(f, "vid={},pcp={}", tag.vid(), tag.pcp())?;
    f.write_str(if tag.is_present() { ")" } else { ",cfi=0)" })
}

/// Reads a list of actions; `drop` alone is the empty list.
pub fn parse_actions(text: &str, names: &dyn PortNames) -> Result<Vec<Action>, SyntaxError> {
    parse_list(text, names, 0)
}

fn parse_list(text: &str, names: &dyn PortNames, depth: usize) -> Result<Vec<Action>, SyntaxError> {
    if text.trim() == "drop" {
        return Ok(vec![]);
    }
    if depth > MAX_DEPTH {
        return Err(SyntaxError::because(text, "nested too deeply"));
    }
    items(text)?.iter().map(|item| parse_action(item, names, depth)).collect()
}

fn parse_action(
    item: &Item<'_>,
    names: &dyn PortNames,
    depth: usize,
) -> Result<Action, SyntaxError> {
    let wrong = || SyntaxError::at(item.from);
    let Some(args) = item.args else {
        return match item.name {
            "pop_vlan" => Ok(Action::PopVlan),
            "pop_eth" => Ok(Action::PopEth),
            "pop_pbb" => Ok(Action::PopPbb),
            "copy_ttl_out" => Ok(Action::CopyTtlOut),
            "copy_ttl_in" => Ok(Action::CopyTtlIn),
            "ct_clear" => Ok(Action::CtClear),
            "ct" => Ok(Action::Ct(Box::default())),
            name => parse_port(name, names).map(Action::Output).ok_or_else(wrong),
        };
    };
    let number = || parse_number(args).and_then(|n| u32::try_from(n).ok());
    let action = match item.name {
        "push_vlan" => parse_push_vlan(args).map(Action::PushVlan),
        "set" => Some(Action::Set(Box::new(parse_set(item, names)?))),
        "tnl_push" => parse_tnl_push(args, names).map(|push| Action::TnlPush(Arc::new(push))),
        "tnl_pop" => parse_port(args, names).map(Action::TnlPop),
        "recirc" => number().map(|id| Action::Recirc(RecircId(id))),
        "trunc" => number().map(Action::Trunc),
        "push_mpls" => {
            parse_label(args).map(|(entry, eth_type)| Action::PushMpls { entry, eth_type })
        }
        "add_mpls" => {
            parse_label(args).map(|(entry, eth_type)| Action::AddMpls { entry, eth_type })
        }
        "pop_mpls" => small(args, "eth_type").map(|eth_type| Action::PopMpls { eth_type }),
        "push_pbb" => small(args, "tci").map(|tci| Action::PushPbb { tci }),
        "push_eth" => parse_push_eth(args),
        "push_nsh" => nsh::parse_push(args).map(|push| Action::PushNsh(Box::new(push))),
        "pop_nsh" => args.trim().is_empty().then_some(Action::PopNsh),
        "meter" => number().map(Action::Meter),
        "hash" => parse_hash(args),
        "clone" => Some(Action::Clone(parse_list(args, names, depth + 1)?)),
        "sample" => parse_sample(item, args, names, depth)?,
        "check_pkt_len" => parse_check_pkt_len(item, args, names, depth)?,
        "ct" => ct::parse(args).map(|ct| Action::Ct(Box::new(ct))),
        "userspace" => userspace::parse(args).map(Action::Userspace),
        _ => None,
    };
    action.ok_or_else(wrong)
}

fn parse_push_vlan(args: &str) -> Option<Vlan> {
    let (mut tag, _) = parse_vlan(args)?;
    if tag.tpid == 0 {
        tag.tpid = eth_type::VLAN;
    }
    Some(tag)
}

/// `label=100,tc=3,ttl=64,bos=1`.
struct LabelText(u32);

impl fmt::Display for LabelText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let l = self.0;
        write!(f, "label={},tc={},ttl={},bos={}", l >> 12, l >> 9 & 7, l & 0xff, l >> 8 & 1)
    }
}

/// An entry, and the type of what it makes of the packet.
fn parse_label(args: &str) -> Option<(u32, u16)> {
    let field = |name, bits: u32, shift: u32| {
        small::<u32>(args, name).filter(|n| n >> bits == 0).map(|n| n << shift)
    };
    let entry = field("label", 20, 12)? | field("tc", 3, 9)? | field("bos", 1, 8)?;
    let entry = entry | field("ttl", 8, 0)?;
    Some((entry, small(args, "eth_type")?))
}

fn parse_push_eth(args: &str) -> Option<Action> {
    let mac = |name| parse_mac(value(args, name)?);
    Some(Action::PushEth { src: mac("src")?, dst: mac("dst")? })
}

fn parse_hash(args: &str) -> Option<Action> {
    let list = items(args).ok()?;
    let [Item { name, args: Some(basis), .. }] = list.as_slice() else { return None };
    let method = match *name {
        "l4" => HashMethod::L4,
        "sym_l4" => HashMethod::SymmetricL4,
        _ => return None,
    };
    Some(Action::Hash(method, u32::try_from(parse_number(basis)?).ok()?))
}

/// The arguments of one of `list`'s items.
fn part<'a>(list: &[Item<'a>], name: &str) -> Option<&'a str> {
    list.iter().find(|item| item.name == name)?.args
}

/// `sample=50.0%,actions(..)`. `Ok(None)`: not of that form.
fn parse_sample(
    item: &Item<'_>,
    args: &str,
    names: &dyn PortNames,
    depth: usize,
) -> Result<Option<Action>, SyntaxError> {
    let list = items(args)?;
    let percent = list.iter().find_map(|item| item.name.strip_prefix("sample=")?.strip_suffix('%'));
    let percent = percent.and_then(|text| text.parse::<f64>().ok());
    let Some(percent) = percent.filter(|p| (0.0..=100.0).contains(p)) else {
        return Err(SyntaxError::because(item.from, "sample is 0% to 100%"));
    };
    let Some(actions) = part(&list, "actions") else { return Ok(None) };
    // A conversion from floating point saturates.
    let probability = (percent / 100.0 * f64::from(u32::MAX) + 0.5).floor() as u32;
    Ok(Some(Action::Sample { probability, actions: parse_list(actions, names, depth + 1)? }))
}

/// `size=200,gt(..),le(..)`.
fn parse_check_pkt_len(
    item: &Item<'_>,
    args: &str,
    names: &dyn PortNames,
    depth: usize,
) -> Result<Option<Action>, SyntaxError> {
    let list = items(args)?;
    let len = list.iter().find_map(|item| super::parse::number_after(item.name, "size"));
    let len = len.and_then(|n| u16::try_from(n).ok());
    let len = len.ok_or_else(|| SyntaxError::because(item.from, "size is a 16-bit number"))?;
    let (Some(greater), Some(less)) = (part(&list, "gt"), part(&list, "le")) else {
        return Ok(None);
    };
    let greater = parse_list(greater, names, depth + 1)?;
    let less_or_equal = parse_list(less, names, depth + 1)?;
    Ok(Some(Action::CheckPktLen { len, greater, less_or_equal }))
}

#[cfg(test)]
mod tests;
