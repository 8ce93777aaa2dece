//! From bytes to text.

use super::{Context, End, hex, hex_data};
use openflow::error::Code;
use openflow::field::{Field, Value};
use openflow::message::{Hello, Message};
use openflow::text::action::Actions;
use openflow::text::message::{Verbosity, print};
use openflow::text::oxm::format as format_oxm;
use openflow::wire::action::{self as wire_action, Context as Packets};
use openflow::wire::header::Header;
use openflow::wire::{Reader, Writer, encode, error_about, legacy, oxm};
use openflow::{Match, Protocols, Version};

pub(super) fn ofp_print(context: &mut Context<'_>, args: &[String]) -> End {
    let bytes = hex(&args[0])?;
    let verbosity = match args.get(1) {
        // Like atoi(): what does not begin with a number is none.
        Some(level) => Verbosity(leading_number(level)),
        None => Verbosity(2),
    };
    context.show(&print(&bytes, verbosity));
    Ok(())
}

fn leading_number(text: &str) -> u8 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(if digits.is_empty() { 0 } else { u8::MAX })
}

pub(super) fn ofp_parse(context: &mut Context<'_>, args: &[String]) -> End {
    let bytes = context.read_file(&args[0]).map_err(|e| e.replacen("open failed", "open", 1))?;
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let Some(header) = Header::peek(rest) else {
            return Err(format!("{}: unexpected end of file mid-message", args[0]).into());
        };
        let len = usize::from(header.len);
        if len < 8 {
            return Err(format!("{}: {len}-byte message is too short for OpenFlow", args[0]).into());
        }
        let Some((message, behind)) = rest.split_at_checked(len) else {
            return Err(format!("{}: unexpected end of file mid-message", args[0]).into());
        };
        context.show(&print(message, context.more_verbose(2)));
        rest = behind;
    }
    Ok(())
}

fn version_named(name: &str) -> Result<Version, String> {
    Version::parse(name).ok_or_else(|| format!("{name}: not a valid OpenFlow version"))
}

/// Prints actions, and where the bytes that we would write for them differ.
pub(super) fn actions(context: &mut Context<'_>, args: &[String]) -> End {
    let version = version_named(&args[0])?;
    for line in context.input_lines()? {
        let bytes = hex_data(&line)?;
        let text = match wire_action::read(Reader::new(&bytes, "actions"), version) {
            Ok(actions) => {
                let mut w = Writer::new();
                wire_action::write(&mut w, &actions, Packets::any(version));
                let shown = Actions(&actions);
                format!("actions={shown}\n{}", differences(&bytes, &w.into_bytes()))
            }
            Err(error) => format!("bad {version} actions: {}\n", error.code),
        };
        context.print(&format!("{text}\n"));
    }
    Ok(())
}

pub(super) fn instructions(context: &mut Context<'_>, args: &[String]) -> End {
    let version = version_named(&args[0])?;
    for line in context.input_lines()? {
        let bytes = hex_data(&line)?;
        let reader = Reader::new(&bytes, "instructions");
        let text = match wire_action::read_instructions(reader, version) {
            Ok(all) => {
                let mut w = Writer::new();
                wire_action::write_instructions(&mut w, &all, Packets::any(version));
                format!("actions={all}\n{}", differences(&bytes, &w.into_bytes()))
            }
            Err(error) => format!("bad {version} instructions: {}\n", error.code),
        };
        context.print(&format!("{text}\n"));
    }
    Ok(())
}

/// Bytes that were one thing and became another.
fn differences(before: &[u8], after: &[u8]) -> String {
    let shown = |byte: Option<&u8>| byte.map_or("(none)".to_owned(), |b| format!("{b:02x}"));
    (0..before.len().max(after.len()))
        .map(|i| (i, before.get(i), after.get(i)))
        .filter(|(_, a, b)| a != b)
        .map(|(i, a, b)| format!("{i:2}: {} -> {}\n", shown(a), shown(b)))
        .collect()
}

fn has_bytes(bytes: &[u8], expected: usize) -> End {
    if bytes.len() == expected {
        return Ok(());
    }
    Err(format!("Input is {} bytes, expected {expected}", bytes.len()).into())
}

pub(super) fn match10(context: &mut Context<'_>, _: &[String]) -> End {
    for line in context.input_lines()? {
        let bytes = hex_data(&line)?;
        has_bytes(&bytes, 40)?;
        let text = match legacy::read10(&mut Reader::new(&bytes, "match")) {
            Ok(m) => {
                let mut w = Writer::new();
                legacy::write10(&mut w, &m);
                format!("{m}\n{}", differences(&bytes, &w.into_bytes()))
            }
            Err(error) => format!("bad ofp10_match: {}\n", error.code),
        };
        context.print(&format!("{text}\n"));
    }
    Ok(())
}

pub(super) fn match11(context: &mut Context<'_>, _: &[String]) -> End {
    for line in context.input_lines()? {
        let bytes = hex_data(&line)?;
        has_bytes(&bytes, 88)?;
        let text = match legacy::read11(&mut Reader::new(&bytes, "match")) {
            Ok(m) => {
                let mut w = Writer::new();
                legacy::write11(&mut w, &m);
                format!("{m}\n{}", differences(&bytes, &w.into_bytes()))
            }
            Err(error) => format!("bad ofp11_match: {}\n", error.code),
        };
        context.print(&format!("{text}\n"));
    }
    Ok(())
}

pub(super) fn error(context: &mut Context<'_>, args: &[String]) -> End {
    let code = Code::from_name(&args[0]).ok_or_else(|| format!("unknown error \"{}\"", args[0]))?;
    for version in Version::ALL {
        if let Some(number) = code.number(version) {
            let vendor =
                if number.vendor == 0 { "0".to_owned() } else { format!("{:#x}", number.vendor) };
            context.print(&format!(
                "OpenFlow {}: vendor {vendor}, type {}, code {}\n",
                version.dotted(),
                number.kind,
                number.code
            ));
        }
    }
    Ok(())
}

pub(super) fn error_reply(context: &mut Context<'_>, args: &[String]) -> End {
    let code = Code::from_name(&args[0]).ok_or_else(|| format!("unknown error \"{}\"", args[0]))?;
    let request = hex_data(&args[1])?;
    let header = Header::peek(&request).ok_or_else(|| "Request too short".to_owned())?;
    if usize::from(header.len) != request.len() {
        return Err("Request size inconsistent".into());
    }
    // Whoever speaks a version that nobody knows understands the first one best.
    let known = Version::from_wire(header.version);
    let version = known.unwrap_or(Version::V10);
    if known.is_none() {
        let number = header.version;
        log::error!(target: "ofp_errors", "cannot encode error for unknown OpenFlow version {number:#04x}");
    } else if code.number(version).is_none() {
        let version = version.dotted();
        log::error!(target: "ofp_errors", "cannot encode {code} for OpenFlow {version}");
    }
    let message = Message::Error(error_about(code, version, &request));
    send_to_screen(context, &message, version, header.xid)
}

pub(super) fn hello(context: &mut Context<'_>, args: &[String]) -> End {
    let bad = || format!("{}: not a bitmap of OpenFlow versions", args[0]);
    let versions = leading_bitmap(&args[0]).ok_or_else(bad)?;
    let highest = (1..=31).rev().find(|version| versions >> version & 1 == 1).ok_or_else(bad)?;
    let version = Version::from_wire(highest).ok_or_else(bad)?;
    let message = Message::Hello(Hello { versions: versions & !1, unknown: false });
    let protocol = Protocols::of_version(version).preferred().ok_or_else(bad)?;
    let bytes = encode(&message, protocol, 1).map_err(|e| e.to_string())?;
    context.print(&plain_dump(&bytes));
    context.print(&print(&bytes, Verbosity(0)));
    Ok(())
}

/// Like strtol(): what follows the number does not matter.
fn leading_bitmap(text: &str) -> Option<u32> {
    let end = if text.starts_with("0x") || text.starts_with("0X") { 2 } else { 0 };
    let digits = text[end..]
        .chars()
        .take_while(|c| if end == 2 { c.is_ascii_hexdigit() } else { c.is_ascii_digit() });
    openflow::text::number::parse(&text[..end + digits.count()])
}

fn send_to_screen(context: &mut Context<'_>, message: &Message, version: Version, xid: u32) -> End {
    let protocol = Protocols::of_version(version).preferred().ok_or("no usable protocol")?;
    let bytes = encode(message, protocol, xid).map_err(|e| e.to_string())?;
    context.print(&plain_dump(&bytes));
    Ok(())
}

/// Bytes, sixteen to a line.
pub(super) fn plain_dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (i, line) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = line.iter().map(|b| format!("{b:02x}")).collect();
        let (left, right) = hex.split_at(hex.len().min(8));
        let middle = if right.is_empty() { "" } else { "-" };
        out += &format!("{:08x}  {}{middle}{}\n", i * 16, left.join(" "), right.join(" "));
    }
    out
}

/// Like strtoul() with base 16, of which sixteen bits count.
fn leading_hex(text: &str) -> u16 {
    let text = text.trim_start();
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let digits = text.chars().map_while(|c| c.to_digit(16));
    digits.fold(0u16, |number, digit| number << 4 | digit as u16)
}

/// What each form of match makes of a VLAN tag.
pub(super) fn check_vlan(context: &mut Context<'_>, args: &[String]) -> End {
    let (tci, mask) = (leading_hex(&args[0]), leading_hex(&args[1]));
    let mut m = Match::any();
    m.set(Field::VlanTci, &Value::Int(tci.into()), &Value::Int(mask.into()));
    let tag = |m: &Match| m.get(Field::VlanTci).map_or((0, 0), |(t, m)| (t.int(), m.int()));
    let shown = |m: &Match| {
        let (tci, mask) = tag(m);
        format!("{tci:04x}/{mask:04x}")
    };
    let failed = |error: openflow::Error| error.to_string();
    m.clear(Field::PacketType);
    context.print(&format!("{m} -> {}\n", shown(&m)));

    let extensible = |version| -> Result<(String, Match), String> {
        let mut w = Writer::new();
        oxm::write(&mut w, &m, version, None);
        let bytes = w.into_bytes();
        let reader = Reader::new(&bytes, "match");
        let (back, _) = oxm::read(reader, oxm::Strictness::Strict, false).map_err(failed)?;
        Ok((format_oxm(&bytes), back))
    };
    let (text, back) = extensible(Version::V10)?;
    context.print(&format!("NXM: {text} -> {}\n", shown(&back)));
    let (text, back) = extensible(Version::V12)?;
    let (tci, mask) = tag(&back);
    let pcp = if mask & 0xe000 == 0 { "--".to_owned() } else { format!("{:02x}", tci >> 13) };
    let vid = format!("{:04x}/{:04x}", tci & 0x1fff, mask & 0x1fff);
    context.print(&format!("OXM: {text} -> {vid},{pcp}\n"));

    // Where the id is, and the word with bits for what is wild.
    type Form = (&'static str, fn(&mut Writer, &Match), fn(&mut Reader<'_>) -> Read, [usize; 4]);
    type Read = Result<Match, openflow::Error>;
    let forms: [Form; 2] = [
        ("OF1.0", legacy::write10, legacy::read10, [18, 0, 1, 20]),
        ("OF1.1", legacy::write11, legacy::read11, [36, 8, 1, 2]),
    ];
    for (name, write, read, [at, wild_at, vid_bit, pcp_bit]) in forms {
        let mut w = Writer::new();
        write(&mut w, &m);
        let bytes = w.into_bytes();
        let back = read(&mut Reader::new(&bytes, "match")).map_err(failed)?;
        let wild = bytes[wild_at..wild_at + 4].iter().fold(0u32, |n, b| n << 8 | u32::from(*b));
        context.print(&format!(
            "{name}: {:02x}{:02x}/{},{:02x}/{} -> {}\n",
            bytes[at],
            bytes[at + 1],
            wild >> vid_bit & 1,
            bytes[at + 2],
            wild >> pcp_bit & 1,
            shown(&back)
        ));
    }
    Ok(())
}
