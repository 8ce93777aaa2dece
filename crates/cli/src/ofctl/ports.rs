//! Ports: what they are, what they count, how they behave.

use openflow::Version;
use openflow::message::Message;
use openflow::message::port::{CONFIG, PortDesc, PortMod};
use openflow::port::Port;

use super::names;
use super::switch::Switch;
use super::{Context, End, Stop};

pub(super) fn stats(context: &mut Context<'_>, args: &[String]) -> End {
    let mut switch = Switch::open(context, &args[0])?;
    let port = port_or_any(context, args)?;
    switch.dump(context, &Message::PortStatsRequest(port))
}

pub(super) fn desc(context: &mut Context<'_>, args: &[String]) -> End {
    let mut switch = Switch::open(context, &args[0])?;
    let port = port_or_any(context, args)?;
    switch.dump(context, &Message::PortDescRequest(port))
}

/// The port that the command's second argument names.
fn port_or_any(context: &mut Context<'_>, args: &[String]) -> Result<Port, Stop> {
    args.get(1).map_or(Ok(Port::NONE), |text| names::port(context, &args[0], text))
}

/// All ports of a switch.
pub(super) fn all(context: &mut Context<'_>, switch: &mut Switch) -> Result<Vec<PortDesc>, Stop> {
    // OpenFlow 1.0 has them among the features, as far as there is room.
    if switch.version() == Version::V10
        && let Message::FeaturesReply(features) =
            switch.ask_for(context, &Message::FeaturesRequest)?
        && !features.ports.is_empty()
    {
        return Ok(features.ports);
    }
    let mut all = Vec::new();
    switch.each_part(context, &Message::PortDescRequest(Port::NONE), |_, part| {
        if let Ok((_, Message::PortDescReply { ports, .. })) = openflow::wire::decode(part) {
            all.extend(ports);
        }
        Ok(())
    })?;
    Ok(all)
}

/// What `mod-port` can say: which bit it is about, and whether the bit is to be set.
fn action(text: &str) -> Option<(u32, bool)> {
    const ACTIONS: [(&str, &str); 7] = [
        ("up", "PORT_DOWN"),
        ("stp", "NO_STP"),
        ("receive", "NO_RECV"),
        ("receive-stp", "NO_RECV_STP"),
        ("flood", "NO_FLOOD"),
        ("forward", "NO_FWD"),
        ("packet-in", "NO_PACKET_IN"),
    ];
    let text = text.to_ascii_lowercase();
    let (word, set) = match text.strip_prefix("no-") {
        Some("up") => return None,
        Some(word) => (word, true),
        None if text == "down" => ("up", true),
        None => (&text[..], false),
    };
    let (_, name) = ACTIONS.iter().find(|(known, _)| *known == word)?;
    let (_, bit) = CONFIG.iter().find(|(known, _)| known == name)?;
    Some((*bit, set))
}

pub(super) fn change(context: &mut Context<'_>, args: &[String]) -> End {
    let unknown = || format!("unknown mod-port command '{}'", args[2]);
    let (mask, set) = action(&args[2]).ok_or_else(unknown)?;
    let mut switch = Switch::open(context, &args[0])?;
    let by_number = args[1].parse().ok().map(Port);
    let ports = all(context, &mut switch)?;
    let found = ports.iter().find(|desc| Some(desc.port) == by_number || desc.name == args[1]);
    let desc = found.ok_or_else(|| format!("{}: couldn't find port `{}'", args[0], args[1]))?;
    let change = PortMod {
        port: desc.port,
        address: desc.address,
        config: if set { mask } else { 0 },
        mask,
        advertise: 0,
    };
    let mut switch = Switch::open(context, &args[0])?;
    switch.order(context, &Message::PortMod(change))
}
