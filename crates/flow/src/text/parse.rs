//! Reading flows.

use packet::wire::ethernet::eth_type;

use super::field::{ETH, Field, Group, SCALARS, UPPER, hint, parse_number};
use super::{PortNames, SyntaxError, nsh, parse_port, special, tunnel};
use crate::key::{FlowKey, Mask};
use crate::options::OptionMask;

/// Attributes or actions in one text at most.
const MAX_ITEMS: usize = 1024;

/// Parentheses nested at most.
pub(super) const MAX_DEPTH: usize = 16;

/// `name` or `name(args)` in a list, and the text from there on (for error messages).
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) name: &'a str,
    pub(super) args: Option<&'a str>,
    pub(super) from: &'a str,
}

/// Takes a list apart at commas and spaces outside of parentheses.
pub(super) fn items(text: &str) -> Result<Vec<Item<'_>>, SyntaxError> {
    const DELIMITERS: [char; 5] = [',', ' ', '\t', '\r', '\n'];
    let (mut out, mut rest) = (vec![], text.trim_start_matches(DELIMITERS));
    while !rest.is_empty() {
        let name_end = rest.find(|c| c == '(' || DELIMITERS.contains(&c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_end);
        let (args, after) = if after.starts_with('(') {
            let close = closing(after).ok_or_else(|| SyntaxError::at(rest))?;
            (Some(&after[1..close]), &after[close + 1..])
        } else {
            (None, after)
        };
        out.push(Item { name, args, from: rest });
        if out.len() > MAX_ITEMS {
            return Err(SyntaxError::because(rest, "too many"));
        }
        rest = after.trim_start_matches(DELIMITERS);
    }
    Ok(out)
}

/// The index of the parenthesis that closes the one that `text` begins with.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(i);
        }
        if depth > MAX_DEPTH {
            return None;
        }
    }
    None
}

/// Reads a flow: the key, and as mask what the text mentions (in full where it gives no mask). Fields that are not mentioned
/// are zero and outside the mask.
pub fn parse_flow(text: &str, names: &dyn PortNames) -> Result<(FlowKey, Mask), SyntaxError> {
    let (mut key, mut mask) = (FlowKey::default(), Mask::default());
    // A listing may begin with the flow's identifier.
    let text = match text.trim_start().strip_prefix("ufid:") {
        Some(rest) => rest.split_once([' ', ',']).map_or("", |(_, flow)| flow),
        None => text,
    };
    parse_level(text, names, &mut key, &mut mask, 0)?;
    Ok((key, mask))
}

/// The Geneve options that a flow names, as they are in the header, and which of them count. In the key that [`parse_flow`] has
/// made of the same text a 1 stands for them, until somebody gives them a name.
pub fn flow_options(text: &str) -> (Vec<u8>, OptionMask) {
    let named = text.split_once("geneve(").and_then(|(_, rest)| rest.split_once(')'));
    named.and_then(|(options, _)| super::geneve::parse_looked(options)).unwrap_or_default()
}

/// Attributes at one level of VLAN nesting.
fn parse_level(
    text: &str,
    names: &dyn PortNames,
    key: &mut FlowKey,
    mask: &mut Mask,
    depth: usize,
) -> Result<(), SyntaxError> {
    for item in items(text)? {
        if item.name == "encap" && item.args.is_some() && depth < key.vlans.len() {
            parse_encap(&item, names, key, mask, depth)?;
        } else {
            parse_attribute(&item, names, key, mask, depth)?;
        }
    }
    Ok(())
}

/// `encap(..)`: the type that was read so far is the tag's, and the one inside is the packet's.
fn parse_encap(
    item: &Item<'_>,
    names: &dyn PortNames,
    key: &mut FlowKey,
    mask: &mut Mask,
    depth: usize,
) -> Result<(), SyntaxError> {
    let present = key.vlans[depth].is_present();
    let outer = std::mem::take(&mut key.eth_type);
    let outer_mask = std::mem::take(&mut mask.0.eth_type);
    parse_level(item.args.unwrap_or_default(), names, key, mask, depth + 1)?;
    if present {
        key.vlans[depth].tpid = outer;
        mask.0.vlans[depth].tpid = outer_mask;
        if key.eth_type == 0 {
            // `encap()`: an 802.2 frame behind the tag.
            (key.eth_type, mask.0.eth_type) = (eth_type::NONE, 0xffff);
        }
    } else {
        // `vlan(vid=0,cfi=0),encap()`: a tag that was cut short.
        (key.eth_type, mask.0.eth_type) = (outer, outer_mask);
    }
    Ok(())
}

fn parse_attribute(
    item: &Item<'_>,
    names: &dyn PortNames,
    key: &mut FlowKey,
    mask: &mut Mask,
    depth: usize,
) -> Result<(), SyntaxError> {
    let wrong = || SyntaxError::at(item.from);
    let args = item.args.ok_or_else(wrong)?;
    if let Some(field) = SCALARS.iter().find(|field| field.name == item.name) {
        return field.parse(args.trim(), key, mask).ok_or_else(wrong);
    }
    if let Some(group) = group(item.name) {
        return parse_group(item, group, args, key, mask);
    }
    match item.name {
        "in_port" => {
            let port = parse_port(args, names)
                .ok_or_else(|| SyntaxError::because(item.from, "no such port"))?;
            (key.in_port, mask.0.in_port) = (port.0, u32::MAX);
            Ok(())
        }
        "eth_type" => parse_eth_type(args, key, mask).ok_or_else(wrong),
        "vlan" => {
            let slot = key.vlans.get_mut(depth).ok_or_else(wrong)?;
            (*slot, mask.0.vlans[depth]) = special::parse_vlan(args).ok_or_else(wrong)?;
            if !slot.is_present() {
                *slot = super::key::NO_TAG;
            }
            Ok(())
        }
        "nsh" => nsh::parse(args, key, mask).ok_or_else(wrong),
        "mpls" => special::parse_mpls(args, key, mask).ok_or_else(wrong),
        "tunnel" => tunnel::parse(args, &mut key.tunnel, &mut mask.0.tunnel).ok_or_else(wrong),
        "ct_state" => special::parse_ct_state(args, key, mask).ok_or_else(wrong),
        "tcp_flags" => special::parse_tcp_flags(args, key, mask).ok_or_else(wrong),
        "packet_type" => special::parse_packet_type(args, key, mask).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn group(name: &str) -> Option<&'static Group> {
    const ETHERNET: Group = ETH;
    if name == ETHERNET.name {
        return Some(&ETHERNET);
    }
    UPPER.iter().find(|group| group.name == name)
}

fn parse_group(
    item: &Item<'_>,
    group: &Group,
    args: &str,
    key: &mut FlowKey,
    mask: &mut Mask,
) -> Result<(), SyntaxError> {
    for pair in special::pairs(args) {
        let field = |name| group.fields.iter().find(|field: &&Field| field.name == name);
        let read = pair.and_then(|(name, value)| field(name)?.parse(value, key, mask));
        read.ok_or_else(|| match pair {
            Some((name, value)) if field(name).is_some() => {
                SyntaxError::because(item.from, format!("bad value {value} for {name}"))
            }
            _ => SyntaxError::at(item.from),
        })?;
    }
    Ok(())
}

/// `eth_type(0x0800)`; `eth_type(0/0xffff)` is a frame without a type.
fn parse_eth_type(args: &str, key: &mut FlowKey, mask: &mut Mask) -> Option<()> {
    let (value, of) = special::masked_number(args.trim(), 16)?;
    key.eth_type = if (value, of) == (0, 0xffff) && args.contains('/') {
        eth_type::NONE
    } else {
        value as u16
    };
    mask.0.eth_type = of as u16;
    Some(())
}

/// Reads the attribute of a `set(..)` action.
pub(super) fn parse_set(
    item: &Item<'_>,
    names: &dyn PortNames,
) -> Result<(FlowKey, Mask), SyntaxError> {
    let inner = items(item.args.unwrap_or_default())?;
    let [attribute] = inner.as_slice() else { return Err(SyntaxError::at(item.from)) };
    let (mut key, mut mask) = (FlowKey::default(), Mask::default());
    parse_attribute(attribute, names, &mut key, &mut mask, 0)?;
    if attribute.name == "tunnel" {
        mask.0.tunnel = Mask::exact().0.tunnel;
    }
    if mask.0.ipv6_exthdr != 0 {
        return Err(SyntaxError::because(item.from, "extension headers are not set"));
    }
    hint(&mut key, attribute.name);
    match attribute.name {
        "tcp_flags" => hint(&mut key, "tcp"),
        "nsh" => key.eth_type = eth_type::NSH,
        "mpls" => key.eth_type = eth_type::MPLS,
        _ => {}
    }
    // It would be written as nothing at all, which nobody could read again.
    if mask == Mask::default() {
        return Err(SyntaxError::because(item.from, "it sets nothing"));
    }
    Ok((key, mask))
}

/// Reads a frame written in hexadecimal digits, with spaces between bytes where one likes. `None`: it is something else.
pub fn parse_hex_packet(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let byte = |pair: &[u8; 2]| {
        let digit = |d: u8| (d as char).to_digit(16);
        Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)
    };
    pairs.iter().map(byte).collect::<Option<Vec<u8>>>().filter(|frame| !frame.is_empty())
}

/// A number that a name asks for, as in `size=50`.
pub(super) fn number_after(text: &str, name: &str) -> Option<u128> {
    parse_number(text.trim().strip_prefix(name)?.strip_prefix('=')?)
}
