//! What a switch is, and how it treats fragments.

use openflow::message::Message;
use openflow::message::switch::{Config, Fragments};
use openflow::port::Port;
use openflow::text::message::print;
use openflow::wire::decode;

use super::switch::Switch;
use super::{Context, End, Stop};

pub(super) fn show(context: &mut Context<'_>, args: &[String]) -> End {
    let mut switch = Switch::open(context, &args[0])?;
    let features = switch.ask(context, &Message::FeaturesRequest)?;
    let text = print(&features, context.more_verbose(1));
    context.print(&text);
    if !lists_all_ports(&features) {
        switch.dump(context, &Message::PortDescRequest(Port::NONE))?;
    }
    Switch::open(context, &args[0])?.dump(context, &Message::GetConfigRequest)
}

/// Whether the features have the ports in them, and had room for all.
fn lists_all_ports(features: &[u8]) -> bool {
    const ROOM: usize = (u16::MAX as usize - 32) / PORT;
    const PORT: usize = 48;
    match decode(features) {
        Ok((_, Message::FeaturesReply(features))) => {
            !features.ports.is_empty() && features.ports.len() < ROOM
        }
        _ => false,
    }
}

pub(super) fn desc(context: &mut Context<'_>, args: &[String]) -> End {
    Switch::open(context, &args[0])?.dump(context, &Message::DescRequest)
}

pub(super) fn ipfix_of_bridge(context: &mut Context<'_>, args: &[String]) -> End {
    Switch::open(context, &args[0])?.dump(context, &Message::IpfixBridgeRequest)
}

pub(super) fn ipfix_of_flows(context: &mut Context<'_>, args: &[String]) -> End {
    Switch::open(context, &args[0])?.dump(context, &Message::IpfixFlowRequest)
}

pub(super) fn config(context: &mut Context<'_>, switch: &mut Switch) -> Result<Config, Stop> {
    match switch.ask_for(context, &Message::GetConfigRequest)? {
        Message::GetConfigReply(config) => Ok(config),
        _ => Err(format!("{}: bad reply to config request", switch.name).into()),
    }
}

/// Has the switch change what it is set up to do.
pub(super) fn change_config(
    context: &mut Context<'_>,
    switch: &mut Switch,
    change: impl FnOnce(&mut Config),
) -> End {
    let mut config = config(context, switch)?;
    change(&mut config);
    switch.order(context, &Message::SetConfig(config))
}

pub(super) fn get_frags(context: &mut Context<'_>, args: &[String]) -> End {
    let mut switch = Switch::open(context, &args[0])?;
    let config = config(context, &mut switch)?;
    context.print(&format!("{}\n", config.fragments.name()));
    Ok(())
}

pub(super) fn set_frags(context: &mut Context<'_>, args: &[String]) -> End {
    use Fragments::*;
    let wanted = [Normal, Drop, Reassemble, NxMatch].into_iter().find(|f| f.name() == args[1]);
    let wanted = wanted.ok_or_else(|| format!("{}: unknown fragment handling mode", args[1]))?;
    let mut switch = Switch::open(context, &args[0])?;
    let before = config(context, &mut switch)?;
    if before.fragments == wanted {
        return Ok(());
    }
    switch.order(context, &Message::SetConfig(Config { fragments: wanted, ..before }))?;
    if config(context, &mut switch)?.fragments == wanted {
        return Ok(());
    }
    Err(format!(
        "{}: setting fragment handling mode failed (this switch probably doesn't support mode \"{}\")",
        args[0], args[1]
    )
    .into())
}
