//! Flows of the datapath that people make, change, take out and look at one by one.

use std::collections::BTreeMap;

use datapath::Ufid;
use flow::text::{flow_options, parse_actions, parse_flow};
use flow::{DpPort, FlowKey, Mask, OptionMask};
use slowpath::{NotPut, Put};
use unixctl::{Args, Registry};

use super::datapaths;
use super::flows::{style, write_flow};
use crate::daemon::Daemon;
use crate::switch::Plane;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    let mut dpctl = |name: &str, run: fn(&mut Daemon, &Args) -> Result<String, String>| {
        super::add_dpctl(registry, name, run);
    };
    dpctl("add-flow", |d, args| put(d, args, Put::Add));
    dpctl("mod-flow", |d, args| put(d, args, Put::Change));
    dpctl("get-flow", get);
    dpctl("del-flow", delete);
    dpctl("add-flows", |d, args| from_file(d, args, "add"));
    dpctl("mod-flows", |d, args| from_file(d, args, "modify"));
    dpctl("del-flows", delete_all);
}

/// What the reference says for "Invalid argument", "No such file or directory" and so on.
fn failed(what: &str, why: &str) -> String {
    format!("ovs-vswitchd: {what} ({why})")
}

/// How to put a flow, by the options among the arguments, and the rest of these.
fn options(args: &Args, put: Put) -> Result<(Put, bool, bool, Vec<&str>), String> {
    let (mut put, mut clear, mut statistics) = (put, false, false);
    let mut rest = Vec::new();
    for arg in args.iter().map(|arg| &**arg) {
        match arg {
            "--may-create" => put = Put::AddOrChange,
            "--clear" => clear = true,
            "-s" | "--statistics" => statistics = true,
            _ => rest.push(arg),
        }
    }
    Ok((put, clear, statistics, rest))
}

fn put(daemon: &mut Daemon, args: &Args, put: Put) -> Result<String, String> {
    let (put, clear, statistics, rest) = options(args, put)?;
    let (name, flow, actions) = match rest.as_slice() {
        [flow, actions] => (None, *flow, *actions),
        [name, flow, actions] => (Some(*name), *flow, *actions),
        _ => return Err(failed("updating flow table", "Invalid argument")),
    };
    let plane = datapaths::find(daemon, name)?;
    let wanted = read(plane, flow)?;
    let before = wanted.find(plane);
    let mut out = String::new();
    if let Some(listed) = before.filter(|_| statistics).and_then(|ufid| plane.slow.find(ufid)) {
        out = format!("{}\n", super::flows::stats_text(&listed.flow.stats(), daemon.clock.now()));
    }
    put_one(plane, &wanted, actions, put, before.filter(|_| clear))?;
    Ok(out)
}

/// What ports are called, as people write it.
fn names(plane: &Plane) -> BTreeMap<DpPort, String> {
    plane.ports.iter().map(|(port, name)| (port, name.to_owned())).collect()
}

/// A flow as people say it.
struct Wanted {
    key: FlowKey,
    /// The options that the key names.
    options: Vec<u8>,
    mask: Mask,
    options_mask: OptionMask,
}

impl Wanted {
    /// The flow that is there already.
    fn find(&self, plane: &Plane) -> Option<Ufid> {
        let masks = (&self.mask, &self.options_mask);
        plane.slow.find_by_key((&self.key, &self.options), masks)
    }
}

/// A flow as it is installed: what is not said of where packets are in the datapath is matched, too.
fn read(plane: &Plane, text: &str) -> Result<Wanted, String> {
    let (mut key, mut mask) = parse_flow(text, &names(plane))
        .map_err(|error| failed(&format!("parsing flow key ({error})"), "Invalid argument"))?;
    // No flow is for packets of all ports, or of whatever type: no actions would be right for all of them.
    if mask.0.in_port == 0 || mask.0.eth_type == 0 {
        return Err(failed("updating flow table", "Invalid argument"));
    }
    (mask.0.in_port, mask.0.eth_type, mask.0.recirc_id) = (!0, !0, !0);
    let (options, options_mask) = flow_options(text);
    key.tunnel.options = plane.slow.name_of_options(&options);
    Ok(Wanted { key, options, mask, options_mask })
}

fn put_one(
    plane: &Plane,
    wanted: &Wanted,
    actions: &str,
    put: Put,
    cleared: Option<Ufid>,
) -> Result<(), String> {
    let actions = parse_actions(actions, &names(plane))
        .map_err(|_| failed("parsing actions", "Invalid argument"))?;
    // Who is counted anew is made anew.
    let put = match cleared {
        Some(ufid) if plane.slow.take_by_hand(ufid) => Put::AddOrChange,
        _ => put,
    };
    let masks = (&wanted.mask, &wanted.options_mask);
    let done = plane.slow.put_by_hand((&wanted.key, &wanted.options), masks, actions, put);
    done.map_err(|why| {
        let why = match why {
            NotPut::Exists => "File exists",
            NotPut::Missing => "No such file or directory",
            NotPut::Full(_) => "No space left on device",
        };
        failed("updating flow table", why)
    })
}

/// `ufid:..`
fn ufid(text: &str) -> Option<Result<Ufid, ()>> {
    let rest = text.trim_start().strip_prefix("ufid:")?;
    let end = rest.find([',', ' ']).unwrap_or(rest.len());
    Some(rest[..end].parse())
}

fn get(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let (mut style, rest) = style(args);
    style.ufid = false;
    let (name, text) = match rest.as_slice() {
        [text] => (None, *text),
        [name, text] => (Some(*name), *text),
        _ => return Err(failed("parsing flow ufid", "Invalid argument")),
    };
    let plane = datapaths::find(daemon, name)?;
    let Some(Ok(ufid)) = ufid(text) else {
        return Err(failed("parsing flow ufid", "Invalid argument"));
    };
    let listed = plane.slow.find(ufid);
    let listed = listed.ok_or_else(|| failed("getting flow", "No such file or directory"))?;
    let mut out = String::new();
    write_flow(&mut out, plane, style, daemon.clock.now(), &listed);
    Ok(out)
}

fn delete(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let (_, _, _, rest) = options(args, Put::Change)?;
    let (name, flow) = match rest.as_slice() {
        [flow] => (None, *flow),
        [name, flow] => (Some(*name), *flow),
        _ => return Err(failed("deleting flow", "Invalid argument")),
    };
    delete_one(datapaths::find(daemon, name)?, flow)?;
    Ok(String::new())
}

fn delete_one(plane: &Plane, text: &str) -> Result<(), String> {
    let missing = || {
        let text = failed("deleting flow", "No such file or directory");
        format!("{text}\nPerhaps you need to specify a UFID?")
    };
    let id = match ufid(text) {
        Some(Ok(ufid)) => Some(ufid),
        _ => read(plane, text)?.find(plane),
    };
    let done = id.is_some_and(|id| plane.slow.take_by_hand(id));
    if done { Ok(()) } else { Err(missing()) }
}

/// Without a file all flows go.
fn delete_all(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let is_datapath = |daemon: &Daemon, name: &str| datapaths::find(daemon, Some(name)).is_ok();
    match args.arg(0) {
        Some(first) if args.len() == 2 || !is_datapath(daemon, first) => {
            from_file(daemon, args, "delete")
        }
        name => {
            datapaths::find(daemon, name)?.slow.purge();
            Ok(String::new())
        }
    }
}

/// Lines of a file: what is to be done, if it is not `usual`, a flow, and its actions.
fn from_file(daemon: &mut Daemon, args: &Args, usual: &str) -> Result<String, String> {
    let (_, _, _, rest) = options(args, Put::Add)?;
    let (name, path) = match rest.as_slice() {
        [path] => (None, *path),
        [name, path] => (Some(*name), *path),
        _ => return Err(failed("updating flow table", "Invalid argument")),
    };
    let plane = datapaths::find(daemon, name)?;
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("ovs-vswitchd: Opening file \"{path}\" failed ({})", stream::strerror(&error))
    })?;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (verb, rest) = match line.split_once(char::is_whitespace) {
            Some((verb @ ("add" | "modify" | "delete"), rest)) => (verb, rest.trim_start()),
            _ => (usual, line),
        };
        if verb == "delete" {
            delete_one(plane, flow_and_actions(rest).map_or(rest, |(flow, _)| flow))?;
            continue;
        }
        let put = if verb == "add" { Put::Add } else { Put::Change };
        let (flow, actions) = flow_and_actions(rest)
            .ok_or_else(|| failed("updating flow table", "Invalid argument"))?;
        put_one(plane, &read(plane, flow)?, actions, put, None)?;
    }
    Ok(String::new())
}

/// What is before and behind the last blank.
fn flow_and_actions(text: &str) -> Option<(&str, &str)> {
    let (flow, actions) = text.rsplit_once(char::is_whitespace)?;
    Some((flow.trim_end(), actions))
}
