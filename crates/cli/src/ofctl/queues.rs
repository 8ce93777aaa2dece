//! Queues of ports.

use openflow::Version;
use openflow::message::Message;
use openflow::message::queue::{ALL_QUEUES, QueueRequest};
use openflow::port::Port;

use super::switch::Switch;
use super::{Context, End, Stop, names, ports};

/// The port and the queue that the arguments behind the switch name; all, without one.
fn wanted(context: &mut Context<'_>, args: &[String]) -> Result<QueueRequest, Stop> {
    let is_said = |text: &&String| !text.is_empty() && !text.eq_ignore_ascii_case("all");
    let port = match args.get(1).filter(is_said) {
        Some(text) => names::port(context, &args[0], text)?,
        None => Port::NONE,
    };
    let queue = match args.get(2).filter(is_said) {
        // Like atoi(): what is no number is none.
        Some(text) => text.parse().unwrap_or(0),
        None => ALL_QUEUES,
    };
    Ok(QueueRequest { port, queue })
}

pub(super) fn stats(context: &mut Context<'_>, args: &[String]) -> End {
    let wanted = wanted(context, args)?;
    let mut switch = Switch::open(context, &args[0])?;
    switch.dump(context, &Message::QueueStatsRequest(wanted))
}

pub(super) fn config(context: &mut Context<'_>, args: &[String]) -> End {
    let wanted = wanted(context, args)?;
    let mut switch = Switch::open(context, &args[0])?;
    if switch.version() > Version::V10 || wanted.port != Port::NONE {
        return switch.dump(context, &Message::QueueConfigRequest(wanted));
    }
    // OpenFlow 1.0 cannot ask for all ports at once.
    for desc in ports::all(context, &mut switch)? {
        if desc.port < Port::MAX {
            let of_port = QueueRequest { port: desc.port, ..wanted };
            switch.dump(context, &Message::QueueConfigRequest(of_port))?;
        }
    }
    Ok(())
}
