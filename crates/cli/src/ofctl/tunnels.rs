//! Which tunnel options are which fields: `{class=0xffff,type=0,len=4}->tun_metadata0`.

use openflow::Protocols;
use openflow::message::Message;
use openflow::message::tlv::{TlvCommand, TlvMap, TlvTableMod};
use openflow::text::number::parse;

use super::switch::Switch;
use super::{Context, End};

fn read_all(text: &str) -> Option<Vec<TlvMap>> {
    let mut maps = Vec::new();
    let mut rest = text.trim_start_matches([',', ' ']);
    while !rest.is_empty() {
        let (options, behind) = rest.strip_prefix('{')?.split_once('}')?;
        let target = behind.strip_prefix("->")?;
        let end = target.find([',', ' ']).unwrap_or(target.len());
        let (field, more) = target.split_at(end);
        maps.push(read(options, field)?);
        rest = more.trim_start_matches([',', ' ']);
    }
    Some(maps)
}

fn read(options: &str, field: &str) -> Option<TlvMap> {
    let (mut class, mut kind, mut len) = (None, None, None);
    for option in options.split(',') {
        let (name, value) = option.split_once('=')?;
        let value: u64 = parse(value)?;
        // What does not fit is cut short, as the reference does.
        match name.trim() {
            "class" => class = Some(value as u16),
            "type" => kind = Some(value as u8),
            "len" => len = Some(value as u8),
            _ => return None,
        }
    }
    let index = field.strip_prefix("tun_metadata")?.parse().ok()?;
    Some(TlvMap { class: class?, kind: kind?, len: len?, index })
}

pub(super) fn add(context: &mut Context<'_>, args: &[String]) -> End {
    change(context, args, TlvCommand::Add)
}

pub(super) fn delete(context: &mut Context<'_>, args: &[String]) -> End {
    change(context, args, if args.len() > 1 { TlvCommand::Delete } else { TlvCommand::Clear })
}

fn change(context: &mut Context<'_>, args: &[String], command: TlvCommand) -> End {
    let text = args.get(1).map_or("", String::as_str);
    let maps = read_all(text).ok_or("invalid tlv mapping")?;
    let mut switch =
        Switch::open_for_flow_mods(context, &args[0], Protocols::NXM.or(Protocols::OXM))?;
    switch.order(context, &Message::TlvTableMod(TlvTableMod { command, maps }))
}

pub(super) fn dump(context: &mut Context<'_>, args: &[String]) -> End {
    Switch::open(context, &args[0])?.dump(context, &Message::TlvTableRequest)
}
