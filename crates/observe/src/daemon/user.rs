//! Serving as another user: `--user=USER:GROUP`.
//!
//! A daemon that root starts gives root's power away before it opens anything of its own: its pidfile, its sockets and its files
//! are made by, and belong to, that user. What it keeps are a few capabilities, not files' permissions: so the directories that
//! it writes to must be the user's. Only the log file has been opened before (options come in any order); it is handed over.
//!
//! No program that a daemon starts inherits these capabilities, and nothing gives root's back: the bounding set is emptied.

use crate::vlog::Vlog;
use nix::unistd::{Gid, Group, Uid, User, setgroups, setresgid, setresuid};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::path::Path;

/// What of root's power a daemon keeps when it serves as another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// To listen at ports below 1024, and to lock memory.
    Ports,
    /// Also to configure devices, to send and receive their frames, and to have the kernel run programs on them (AF_XDP,
    /// flow steering, established flows).
    Devices,
}

impl Keep {
    fn capabilities(self) -> CapabilitySet {
        let ports = CapabilitySet::NET_BIND_SERVICE | CapabilitySet::IPC_LOCK;
        match self {
            Keep::Ports => ports,
            Keep::Devices => {
                ports
                    | CapabilitySet::NET_ADMIN
                    | CapabilitySet::NET_BROADCAST
                    | CapabilitySet::NET_RAW
                    | CapabilitySet::BPF
                    | CapabilitySet::PERFMON
            }
        }
    }
}

/// Who a daemon is to be: a user and a group that exist, the user a member of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    uid: Uid,
    gid: Gid,
}

impl Account {
    /// Reads `USER`, `USER:GROUP`, `USER:` or `:GROUP`; what is left out is this process's user, or the user's own group.
    /// Refused to all but root.
    pub(super) fn parse(spec: &str) -> Result<Account, String> {
        if !(Uid::current().is_root() && Gid::current().as_raw() == 0) {
            return Err("only root can use --user option".to_owned());
        }
        let (name, group) = spec.split_once(':').unwrap_or((spec, ""));
        let (name, group) = (name.trim_start(), group.trim_start());
        let user = match name {
            "" => User::from_uid(Uid::current()),
            name => User::from_name(name),
        };
        let user = user
            .map_err(|e| format!("Failed to lookup user {name}: {}, aborting.", e.desc()))?
            .ok_or_else(|| format!("user {name} not found, aborting."))?;
        if group.is_empty() {
            return Ok(Account { uid: user.uid, gid: user.gid });
        }
        let group = Group::from_name(group)
            .map_err(|e| format!("Failed to lookup group {group}: {}, aborting.", e.desc()))?
            .ok_or_else(|| format!("group {group} not found, aborting."))?;
        if group.gid != user.gid && !group.mem.contains(&user.name) {
            return Err(format!(
                "Invalid --user option {spec} (user {} is not in group {}), aborting.",
                user.name, group.name
            ));
        }
        Ok(Account { uid: user.uid, gid: group.gid })
    }

    /// Makes this process the account's, for good. To be called while there is one thread: capabilities are each thread's own.
    pub(super) fn become_it(self, keep: Keep, vlog: &Vlog) -> Result<(), String> {
        if let Some(log) = vlog.log_file() {
            self.hand_over(&log)?;
        }
        self.switch(keep.capabilities()).map_err(|(what, error)| {
            format!("fail to switch user and group: {what} ({error}), aborting.")
        })
    }

    /// The log file was opened by root; it is to be opened again, after it was rotated, by its new owner.
    fn hand_over(self, log: &Path) -> Result<(), String> {
        if !log.is_file() {
            return Ok(()); // it could not be opened, which was said; or it is a device, and those are not ours to give
        }
        std::os::unix::fs::chown(log, Some(self.uid.as_raw()), Some(self.gid.as_raw())).map_err(
            |e| format!("failed to change {} ownership: {}.", log.display(), stream::strerror(&e)),
        )
    }

    fn switch(self, keep: CapabilitySet) -> Result<(), (&'static str, String)> {
        let failed = |what| move |e: rustix::io::Errno| (what, e.to_string());
        let denied = |what| move |e: nix::Error| (what, e.desc().to_owned());
        let held = rustix::thread::capabilities(None).map_err(failed("capget"))?;
        // In a container root itself may not have them all.
        let keep = keep & held.permitted;
        for capability in CapabilitySet::all().iter() {
            // Those that this kernel does not know are in no set.
            if rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false) {
                rustix::thread::remove_capability_from_bounding_set(capability)
                    .map_err(failed("prctl"))?;
            }
        }
        rustix::thread::set_keep_capabilities(true).map_err(failed("prctl"))?;
        setgroups(&[]).map_err(denied("setgroups"))?;
        setresgid(self.gid, self.gid, self.gid).map_err(denied("setresgid"))?;
        setresuid(self.uid, self.uid, self.uid).map_err(denied("setresuid"))?;
        let sets = CapabilitySets {
            effective: keep,
            permitted: keep,
            inheritable: CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, sets).map_err(failed("capset"))?;
        rustix::thread::set_keep_capabilities(false).map_err(failed("prctl"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of this machine: Debian's `nobody` has a group of another name.
    #[test]
    fn accounts_are_those_that_exist() {
        if !Uid::current().is_root() {
            assert_eq!(Account::parse("root").unwrap_err(), "only root can use --user option");
            return;
        }
        let daemon = User::from_name("daemon").unwrap().unwrap();
        let account = Ok(Account { uid: daemon.uid, gid: daemon.gid });
        for spec in ["daemon", "daemon:", "daemon:daemon", " daemon: daemon"] {
            assert_eq!(Account::parse(spec), account, "{spec}");
        }
        let root = Ok(Account { uid: Uid::from_raw(0), gid: Gid::from_raw(0) });
        for spec in ["", ":", ":root", "root:root"] {
            assert_eq!(Account::parse(spec), root, "{spec}");
        }
        for (spec, error) in [
            ("nosuch", "user nosuch not found, aborting."),
            ("daemon:nosuch", "group nosuch not found, aborting."),
            (
                "daemon:root",
                "Invalid --user option daemon:root (user daemon is not in group root), aborting.",
            ),
            (
                ":daemon",
                "Invalid --user option :daemon (user root is not in group daemon), aborting.",
            ),
        ] {
            assert_eq!(Account::parse(spec).unwrap_err(), error, "{spec}");
        }
    }
}
