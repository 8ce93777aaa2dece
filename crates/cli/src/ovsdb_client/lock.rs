//! `lock`, `steal`, `unlock`: for testing a server's locks by hand.

use super::{Call, watch};
use jsonrpc::{Json, Message, json};
use unixctl::Registry;

pub(super) fn lock(call: &mut Call<'_>) -> Result<(), String> {
    run(call, "lock")
}

pub(super) fn steal(call: &mut Call<'_>) -> Result<(), String> {
    run(call, "steal")
}

pub(super) fn unlock(call: &mut Call<'_>) -> Result<(), String> {
    run(call, "unlock")
}

/// Asks for the lock, prints the answer, then what the server has to say about it, for ever.
fn run(call: &mut Call<'_>, method: &str) -> Result<(), String> {
    let mut daemon = watch::start(call)?;
    let reply = call.request(method, vec![json!(call.arg(0))])?;
    call.print_json(&reply)?;
    daemon.ready()?;

    let mut client = call.client.take().ok_or("not connected")?;
    let mut registry = watch::registry(call);
    for method in ["lock", "steal", "unlock"] {
        add(&mut registry, method);
    }
    watch::run(call, &mut client, daemon, registry, &mut |call, message| match message {
        Message::Notify { method, params } if matches!(&*method, "locked" | "stolen") => {
            call.print(&format!("{method}\n"))?;
            call.print_json(&Json::Array(params))
        }
        Message::Reply { result, .. } => call.print_json(&result),
        Message::Error { error, .. } => call.print_json(&error),
        _ => Ok(()),
    })
}

/// A command at the control socket that sends such a request; the answer is printed when it comes.
fn add(registry: &mut Registry<watch::Control<'_>>, method: &'static str) {
    registry.add(method, "LOCK", 1, 1, move |control, args| {
        let name: Vec<Json> = args.iter().map(Json::from).collect();
        control.client.send_request(method, name).map(drop)
    });
}
