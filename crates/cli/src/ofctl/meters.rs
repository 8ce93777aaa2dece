//! Meters: `meter=1,kbps,burst,bands=type=drop,rate=1000,burst_size=100`.

use openflow::Protocols;
use openflow::message::Message;
use openflow::message::meter::{
    ALL_METERS, Band, BandKind, Meter, MeterCommand, MeterFlags, MeterMod,
};
use openflow::text::key_value::{Pair, pairs};

use super::switch::Switch;
use super::{Context, End};

/// The highest number of a meter that is no word.
const MOST: u32 = 0xffff_0000;

/// A meter's number as people write it.
fn number(text: &str) -> Result<u32, String> {
    match text {
        "all" => Ok(ALL_METERS),
        "controller" => Ok(0xffff_fffe),
        "slowpath" => Ok(0xffff_fffd),
        _ => match value(text)? {
            id @ 0..=MOST => Ok(id),
            _ => Err("invalid value for 'meter'".to_owned()),
        },
    }
}

fn value<T: TryFrom<u128>>(text: &str) -> Result<T, String> {
    openflow::text::number::parse(text).ok_or_else(|| format!("invalid numeric format {text}"))
}

/// Reads a meter. Who only asks for one, or removes it, says no more than its number.
fn read(text: &str, command: Option<MeterCommand>) -> Result<Meter, String> {
    let changes = matches!(command, Some(MeterCommand::Add | MeterCommand::Modify));
    let (head, bands) = match split_bands(text) {
        Some(_) if !changes => return Err("must not specify bands".to_owned()),
        Some((head, bands)) => (head, Some(bands)),
        None if changes => return Err("must specify bands".to_owned()),
        None => (text, None),
    };
    let (mut id, mut flags) = (None, 0);
    for Pair { key, value, .. } in pairs(head) {
        let flag = MeterFlags::NAMES.iter().position(|name| *name == key);
        match (key, flag) {
            (_, Some(bit)) if changes => flags |= 1 << bit,
            _ if value.is_empty() => return Err(format!("field {key} missing value")),
            ("meter", _) => id = Some(number(value)?),
            _ => return Err(format!("unknown keyword {key}")),
        }
    }
    let id = id.ok_or("must specify 'meter'")?;
    let flags = MeterFlags(flags);
    if changes && flags.0 & (MeterFlags::KBPS | MeterFlags::PKTPS) == 0 {
        return Err("meter must specify either 'kbps' or 'pktps'".to_owned());
    }
    let bands = bands.map_or(Ok(Vec::new()), |text| read_bands(text, flags))?;
    Ok(Meter { id, flags, bands })
}

/// What stands before `band=` (or `bands=`), and behind it.
fn split_bands(text: &str) -> Option<(&str, &str)> {
    let (head, rest) = text.split_at_checked(text.find("band")?)?;
    let (_, bands) = rest.split_once('=')?;
    Some((head, bands))
}

/// A band as far as it was read.
struct Draft {
    kind: &'static str,
    rate: Option<u32>,
    burst: Option<u32>,
    level: Option<u8>,
}

fn read_bands(text: &str, flags: MeterFlags) -> Result<Vec<Band>, String> {
    let mut drafts: Vec<Draft> = Vec::new();
    for Pair { key, value: text, .. } in pairs(text) {
        if text.is_empty() {
            return Err(format!("field {key} missing value"));
        }
        if key == "type" {
            let kind = ["drop", "dscp_remark"].into_iter().find(|kind| *kind == text);
            let kind = kind.ok_or_else(|| format!("field type unknown value {text}"))?;
            drafts.push(Draft { kind, rate: None, burst: None, level: None });
            continue;
        }
        let draft = drafts.last_mut().ok_or("band must start with the 'type' keyword")?;
        match key {
            "rate" => draft.rate = Some(value(text)?),
            "burst_size" => draft.burst = Some(value(text)?),
            "prec_level" => draft.level = Some(value(text)?),
            _ => return Err(format!("unknown keyword {key}")),
        }
    }
    if drafts.is_empty() {
        return Err("meter must have bands".to_owned());
    }
    drafts.into_iter().map(|draft| finish(&draft, flags)).collect()
}

fn finish(draft: &Draft, flags: MeterFlags) -> Result<Band, String> {
    let remarks = draft.kind == "dscp_remark";
    let rate = draft.rate.ok_or("band must have 'rate'")?;
    let bursts = flags.0 & MeterFlags::BURST != 0;
    match draft.burst {
        Some(_) if !bursts => {
            return Err("band may have 'burst_size' only when 'burst' flag is set".to_owned());
        }
        None if bursts => {
            return Err("band must have 'burst_size' when 'burst' flag is set".to_owned());
        }
        _ => {}
    }
    let kind = match (remarks, draft.level) {
        (true, None) => return Err("'dscp_remark' band must have 'prec_level'".to_owned()),
        (true, Some(level)) => BandKind::DscpRemark(level),
        (false, Some(_)) => {
            return Err("Only 'dscp_remark' band may have 'prec_level'".to_owned());
        }
        (false, None) => BandKind::Drop,
    };
    Ok(Band { kind, rate, burst: draft.burst.unwrap_or(0) })
}

pub(super) fn add(context: &mut Context<'_>, args: &[String]) -> End {
    change(context, args, MeterCommand::Add)
}

pub(super) fn modify(context: &mut Context<'_>, args: &[String]) -> End {
    change(context, args, MeterCommand::Modify)
}

pub(super) fn delete(context: &mut Context<'_>, args: &[String]) -> End {
    change(context, args, MeterCommand::Delete)
}

fn change(context: &mut Context<'_>, args: &[String], command: MeterCommand) -> End {
    let meter = wanted(args, Some(command))?;
    let mut switch = Switch::open_for_flow_mods(context, &args[0], Protocols::OF13_UP)?;
    switch.order(context, &Message::MeterMod(MeterMod { command, meter }))
}

/// The meter that the second argument describes; without one, all.
fn wanted(args: &[String], command: Option<MeterCommand>) -> Result<Meter, String> {
    match args.get(1) {
        Some(text) => read(text, command),
        None => Ok(Meter { id: ALL_METERS, flags: MeterFlags::default(), bands: Vec::new() }),
    }
}

fn ask(context: &mut Context<'_>, args: &[String], question: fn(u32) -> Message) -> End {
    let meter = wanted(args, None)?;
    let mut switch = Switch::open_for_flow_mods(context, &args[0], Protocols::OF13_UP)?;
    switch.dump(context, &question(meter.id))
}

pub(super) fn config(context: &mut Context<'_>, args: &[String]) -> End {
    ask(context, args, Message::MeterConfigRequest)
}

pub(super) fn stats(context: &mut Context<'_>, args: &[String]) -> End {
    ask(context, args, Message::MeterStatsRequest)
}

pub(super) fn features(context: &mut Context<'_>, args: &[String]) -> End {
    ask(context, args, |_| Message::MeterFeaturesRequest)
}
