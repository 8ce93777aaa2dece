//! Bonds: several links that are used as one.
//!
//! # What
//! A [`Bond`] knows its members and what can be said of them: whether there is a carrier and, if LACP has a say, whether the
//! other end agrees ([`Bond::set_usable`]). It decides which of them are *enabled*, which one is *active*, by which member a
//! frame leaves ([`Bond::choose`]) and whether a frame that came in by one is to be taken ([`Bond::admit`]).
//!
//! # The three modes
//! - *active-backup*: one member carries everything, the others wait. Nothing is asked of the other end.
//! - *balance-slb*: stations (source address and VLAN) are spread over members. The other end is a plain switch that does not know
//!   of the bond, so what is flooded comes back by the other members, and must be recognized: [`Admit::UnlessMoved`].
//! - *balance-tcp*: connections are spread. The other end must know of the bond, so it takes LACP.
//!
//! In the latter two a hash chooses one of [`BUCKETS`] buckets, and each bucket has a member; load is shifted by moving buckets
//! ([`Bond::rebalance`]).
//!
//! # Delays
//! A member whose usability changes is enabled or disabled once that has lasted for `updelay` or `downdelay`. If no member is
//! enabled, the one whose delay ends first need not wait for it.
//!
//! Decisions may differ from before whenever [`Bond::version`] has grown. Sources: ovs-vswitchd.conf.db(5), "Bonding
//! Configuration", and the reference's documentation of bonding; texts are those of its control commands.

mod balance;
mod show;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Instant, Version};
use packet::wire::ethernet::{Mac, is_multicast};

pub use balance::{BUCKETS, Loads, slb_hash};

/// How a bond chooses members (`bond_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One member carries everything.
    #[default]
    ActiveBackup,
    /// By source address and VLAN.
    BalanceSlb,
    /// By connection.
    BalanceTcp,
}

impl Mode {
    /// The value of the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActiveBackup => "active-backup",
            Self::BalanceSlb => "balance-slb",
            Self::BalanceTcp => "balance-tcp",
        }
    }

    /// Whether several members send.
    pub fn is_balanced(self) -> bool {
        self != Self::ActiveBackup
    }
}

/// Settings of a bond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `bond_mode`.
    pub mode: Mode,
    /// `bond_updelay`.
    pub updelay: Duration,
    /// `bond_downdelay`.
    pub downdelay: Duration,
    /// `other_config:bond-hash-basis`.
    pub basis: u32,
    /// `other_config:bond-rebalance-interval`; `None`: never.
    pub rebalance: Option<Duration>,
    /// `other_config:bond-primary`.
    pub primary: Option<Arc<str>>,
    /// `other_config:all-members-active`.
    pub all_members_active: bool,
    /// `other_config:lacp-fallback-ab`.
    pub lacp_fallback_ab: bool,
    /// `other_config:lb-output-action`, which is shown, and makes no difference.
    pub lb_output: bool,
    /// Address of the member that was active when the switch last ran (`bond_active_slave`).
    pub last_active: Option<Mac>,
}

/// Whether LACP has come to an agreement with the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LacpStatus {
    /// Nobody has asked for LACP.
    #[default]
    Off,
    /// It is configured, and has no partner.
    Configured,
    /// There is a partner.
    Negotiated,
}

/// What to do with a frame that came in by a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Take it.
    Yes,
    /// Drop it.
    No,
    /// Drop it if its source is known to be somewhere else: then we have sent it, and it comes back by another member.
    UnlessMoved,
}

/// By which member a frame leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<P> {
    /// By none: all are disabled, or the other end does not agree.
    Nobody,
    /// By this one, whatever the frame.
    Member(P),
    /// By that of the bucket of its source address and VLAN: [`slb_hash`], then [`Bond::of_bucket`].
    BySource,
    /// By that of the bucket of its connection.
    ByConnection,
}

/// What is not taken for the log is lost.
const MOST_NEWS: usize = 64;

/// One link of a bond.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    name: Arc<str>,
    mac: Mac,
    /// What is known of it allows its use.
    usable: bool,
    /// It is in use.
    enabled: bool,
    /// When `enabled` becomes `usable`.
    changes_at: Option<Instant>,
}

/// Several links that are used as one. See the module.
#[derive(Clone, Debug)]
pub struct Bond<P> {
    name: Arc<str>,
    settings: Settings,
    members: BTreeMap<P, Member>,
    active: Option<P>,
    /// Address of the member that is, or last was, active.
    active_mac: Mac,
    lacp: LacpStatus,
    buckets: balance::Buckets<P>,
    next_rebalance: Option<Instant>,
    /// The other end is to learn by which member our stations are to be reached.
    must_announce: bool,
    /// The primary member has come, and is to be the active one; until an operator chooses another.
    recalls_primary: bool,
    /// What has happened, for people.
    news: Vec<String>,
    version: Version,
}

impl<P: Copy + Ord> Bond<P> {
    /// A bond without members.
    pub fn new(name: Arc<str>, settings: Settings, now: Instant) -> Self {
        Self {
            name,
            active_mac: settings.last_active.unwrap_or_default(),
            next_rebalance: settings.rebalance.map(|interval| now + interval),
            settings,
            members: BTreeMap::new(),
            active: None,
            lacp: LacpStatus::Off,
            buckets: balance::Buckets::default(),
            must_announce: false,
            recalls_primary: true,
            news: Vec::new(),
            version: Version::default(),
        }
    }

    /// What has happened since this was last asked, for the log.
    pub fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    fn tell(&mut self, news: String) {
        if self.news.len() < MOST_NEWS {
            self.news.push(news);
        }
    }

    /// Grows whenever a decision may differ from before.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What LACP says.
    pub fn lacp_status(&self) -> LacpStatus {
        self.lacp
    }

    /// The member that takes what only one can take.
    pub fn active(&self) -> Option<P> {
        self.active
    }

    /// Its address, or that of the last one that was.
    pub fn active_mac(&self) -> Mac {
        self.active_mac
    }

    /// Whether the member is in use.
    pub fn is_enabled(&self, member: P) -> bool {
        self.members.get(&member).is_some_and(|m| m.enabled)
    }

    /// The member of that name.
    pub fn find(&self, name: &str) -> Option<P> {
        self.members.iter().find(|(_, m)| &*m.name == name).map(|(member, _)| *member)
    }

    fn changed(&mut self) {
        self.version = self.version.next();
    }

    /// Takes new settings.
    pub fn set_settings(&mut self, mut settings: Settings, now: Instant) {
        // Only how it was when the switch began counts.
        settings.last_active = self.settings.last_active;
        if settings == self.settings {
            return;
        }
        if settings.rebalance != self.settings.rebalance {
            self.next_rebalance = settings.rebalance.map(|interval| now + interval);
        }
        if settings.basis != self.settings.basis || settings.mode != self.settings.mode {
            self.buckets = balance::Buckets::default();
        }
        self.recalls_primary |= settings.primary != self.settings.primary;
        self.settings = settings;
        self.changed();
    }

    /// Adds a member, or tells its name and address anew.
    pub fn set_member(&mut self, member: P, name: &Arc<str>, mac: Mac) {
        match self.members.get_mut(&member) {
            Some(known) if known.name == *name => known.mac = mac,
            _ => {
                let (usable, enabled, changes_at) = (false, false, None);
                let fresh = Member { name: name.clone(), mac, usable, enabled, changes_at };
                self.members.insert(member, fresh);
                self.changed();
            }
        }
    }

    /// Keeps only these members.
    pub fn retain(&mut self, mut keep: impl FnMut(P) -> bool) {
        let before = self.members.len();
        self.members.retain(|member, _| keep(*member));
        if self.members.len() != before {
            self.changed();
        }
    }

    /// Whether a member's link works, and LACP, if it has a say, agrees to its use.
    pub fn set_usable(&mut self, member: P, usable: bool) {
        if let Some(m) = self.members.get_mut(&member)
            && m.usable != usable
        {
            m.usable = usable;
            // With LACP a member that is not enabled yet takes frames as soon as both ends agree.
            self.changed();
        }
    }

    /// What LACP says of the bond as a whole.
    pub fn set_lacp_status(&mut self, status: LacpStatus) {
        if self.lacp != status {
            self.lacp = status;
            self.changed();
        }
    }

    /// Does what is due: enables and disables members, chooses the active one, gives buckets to members.
    pub fn run(&mut self, now: Instant) {
        let members: Vec<P> = self.members.keys().copied().collect();
        for member in members {
            self.run_member(member, now);
        }
        self.choose_active();
        let Self { members, buckets, .. } = self;
        if self.settings.mode.is_balanced() && buckets.assign(members) {
            self.must_announce = true;
            self.changed();
        }
    }

    fn run_member(&mut self, member: P, now: Instant) {
        let Some(m) = self.members.get_mut(&member) else { return };
        let Member { name, usable, enabled, changes_at, .. } = m.clone();
        let (link, fate) = if usable { ("up", "enabled") } else { ("down", "disabled") };
        if usable == enabled {
            m.changes_at = None;
            if changes_at.is_some() {
                let not = if enabled { "disabled" } else { "enabled" };
                self.tell(format!("member {name}: link state {link}"));
                self.tell(format!("member {name}: will not be {not}"));
            }
            return;
        }
        let delay = if usable { self.settings.updelay } else { self.settings.downdelay };
        let at = changes_at.unwrap_or(now + delay);
        m.changes_at = Some(at);
        if changes_at.is_none() {
            self.tell(format!("member {name}: link state {link}"));
            if !delay.is_zero() {
                let ms = delay.as_millis();
                self.tell(format!("member {name}: will be {fate} if it stays {link} for {ms} ms"));
            }
        }
        if now >= at {
            self.enable(member, usable);
        }
    }

    /// Enables or disables a member, now.
    fn enable(&mut self, member: P, enabled: bool) {
        let Some(m) = self.members.get_mut(&member) else { return };
        m.changes_at = None;
        if std::mem::replace(&mut m.enabled, enabled) != enabled {
            let word = if enabled { "enabled" } else { "disabled" };
            let news = format!("member {}: {word}", m.name);
            self.recalls_primary |= enabled && self.settings.primary.as_ref() == Some(&m.name);
            self.tell(news);
            self.changed();
        }
    }

    fn choose_active(&mut self) {
        let chosen = self.best();
        if let Some(member) = chosen.filter(|member| !self.is_enabled(*member)) {
            self.enable(member, true);
        }
        if chosen != self.active {
            self.active = chosen;
            self.changed();
            self.must_announce |= chosen.is_some();
            let name = chosen.and_then(|member| self.members.get(&member)).map(|m| m.name.clone());
            self.tell(match name {
                Some(name) => format!("bond {}: active member is now {name}", self.name),
                None => format!("bond {}: all members disabled", self.name),
            });
            if chosen.is_none() {
                self.active_mac = Mac::default();
            }
        }
        self.recalls_primary = false;
        if let Some(m) = chosen.and_then(|member| self.members.get(&member)) {
            self.active_mac = m.mac;
        }
    }

    /// The primary member if it has just come; else the one that is active; else the one that last was; else the first that is
    /// enabled; else the one that would be next.
    fn best(&self) -> Option<P> {
        let enabled = |member: &P| self.is_enabled(*member);
        let primary = self.settings.primary.as_deref().and_then(|name| self.find(name));
        let last = || self.members.iter().find(|(_, m)| m.mac == self.active_mac && m.enabled);
        let next = || {
            let waiting = self.members.iter().filter(|(_, m)| m.usable && !m.enabled);
            waiting.min_by_key(|(_, m)| m.changes_at).map(|(member, _)| *member)
        };
        primary
            .filter(|member| self.recalls_primary && enabled(member))
            .or(self.active.filter(enabled))
            .or(primary.filter(enabled))
            .or_else(|| last().map(|(member, _)| *member))
            .or_else(|| self.members.keys().copied().find(enabled))
            .or_else(next)
    }

    /// When [`Bond::run`] or [`Bond::rebalance`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let members = self.members.values().filter_map(|m| m.changes_at);
        members.chain(self.next_rebalance.filter(|_| self.balances())).min()
    }

    /// Whether stations of ours are to be announced, once: frames with their addresses are to be sent through the bond, so that
    /// the other end learns by which member they are to be reached now.
    pub fn take_announcement(&mut self) -> bool {
        // With LACP the other end knows the bond as one port.
        std::mem::take(&mut self.must_announce) && self.lacp == LacpStatus::Off
    }

    /// Whether it works as active-backup while there is no partner.
    fn falls_back(&self) -> bool {
        self.lacp == LacpStatus::Configured && self.settings.lacp_fallback_ab
    }

    /// Whether it has buckets now.
    fn balances(&self) -> bool {
        self.settings.mode.is_balanced() && !self.falls_back()
    }

    /// Which mode counts now; none if nothing may pass.
    fn mode(&self) -> Option<Mode> {
        match (self.lacp, self.settings.mode) {
            (LacpStatus::Configured, _) | (LacpStatus::Off, Mode::BalanceTcp) => {
                let falls_back = self.settings.lacp_fallback_ab;
                falls_back.then_some(Mode::ActiveBackup)
            }
            (_, mode) => Some(mode),
        }
    }

    /// By which member a frame leaves.
    pub fn choose(&self) -> Choice<P> {
        match self.mode() {
            None => Choice::Nobody,
            Some(Mode::ActiveBackup) => self.active.map_or(Choice::Nobody, Choice::Member),
            Some(_) if self.active.is_none() => Choice::Nobody,
            Some(Mode::BalanceSlb) => Choice::BySource,
            Some(Mode::BalanceTcp) => Choice::ByConnection,
        }
    }

    /// The member of a bucket.
    pub fn of_bucket(&self, bucket: u8) -> Option<P> {
        self.buckets.get(bucket)
    }

    /// What to do with a frame for `dst` that came in by a member.
    pub fn admit(&self, member: P, dst: &Mac) -> Admit {
        let Some(m) = self.members.get(&member) else { return Admit::No };
        if self.lacp == LacpStatus::Negotiated {
            return if m.enabled || m.usable { Admit::Yes } else { Admit::No };
        }
        let Some(mode) = self.mode() else { return Admit::No };
        let is_active = self.active == Some(member);
        let many = self.settings.all_members_active;
        if is_multicast(dst) && !is_active && !many {
            return Admit::No;
        }
        match mode {
            Mode::BalanceSlb => Admit::UnlessMoved,
            Mode::ActiveBackup | Mode::BalanceTcp if is_active => Admit::Yes,
            Mode::ActiveBackup | Mode::BalanceTcp => Admit::No,
        }
    }

    /// Makes a member active, as an operator asks. Says whether it was another one.
    ///
    /// # Errors
    /// In the reference's words: no such member, or it is disabled.
    pub fn set_active(&mut self, name: &str) -> Result<bool, &'static str> {
        let member = self.find(name).ok_or("no such member")?;
        if !self.is_enabled(member) {
            return Err("cannot make disabled member active");
        }
        if self.active == Some(member) {
            return Ok(false);
        }
        self.active = Some(member);
        self.active_mac = self.members.get(&member).map_or(self.active_mac, |m| m.mac);
        self.must_announce = true;
        self.changed();
        Ok(true)
    }

    /// Enables or disables a member, as an operator asks; it stays so no longer than its delay.
    ///
    /// # Errors
    /// No such member.
    pub fn set_enabled(&mut self, name: &str, enabled: bool) -> Result<(), &'static str> {
        let member = self.find(name).ok_or("no such member")?;
        self.enable(member, enabled);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
