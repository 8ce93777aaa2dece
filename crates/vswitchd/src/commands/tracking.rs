//! The connection tracker: there is none yet, so there are no connections, and nothing to set.

use unixctl::{Args, Registry};

use super::datapaths;
use crate::daemon::Daemon;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    let mut told = |name: &str, run: fn(&mut Daemon, &Args) -> Result<String, String>| {
        super::add_dpctl(registry, name, run);
    };
    told("dump-conntrack", |d, args| say(d, args, ""));
    told("flush-conntrack", |d, args| say(d, args, ""));
    told("ct-get-nconns", |d, args| say(d, args, "0\n"));
    told("ct-stats-show", |d, args| say(d, args, "Connections Stats:\n    Total: 0\n"));
    told("ct-bkts", |d, args| say(d, args, "Total Buckets: 1\nCurrent Connections: 0\n\n"));
    told("ct-get-limits", |d, args| say(d, args, "default limit=0\n"));
    for name in [
        "ct-set-maxconns",
        "ct-get-maxconns",
        "ct-enable-tcp-seq-chk",
        "ct-disable-tcp-seq-chk",
        "ct-get-tcp-seq-chk",
        "ct-set-limits",
        "ct-del-limits",
        "ipf-set-enabled",
        "ipf-set-disabled",
        "ipf-set-min-frag",
        "ipf-set-max-nfrags",
        "ipf-get-status",
    ] {
        told(name, |_, _| {
            Err("ovs-vswitchd: connections are not tracked (Operation not supported)".to_owned())
        });
    }
}

/// The same of every datapath that there is.
fn say(daemon: &mut Daemon, args: &Args, text: &str) -> Result<String, String> {
    let name = args.arg(0).filter(|arg| arg.contains('@'));
    datapaths::find(daemon, name)?;
    Ok(text.to_owned())
}
