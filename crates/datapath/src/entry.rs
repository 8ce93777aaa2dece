//! An installed flow: what it matches, what it does, and what it has seen.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::{Instant, Version};
use classifier::{Mixer, Pattern};
use flow::{Action, FlowKey, Mask, MaskedKey, OptionMask};

use crate::act::options::{Names, Sight};
use crate::counts::{Cell, Counts, FlowStats};

/// A flow's unique id: a hash of its key and mask under the datapath's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ufid(pub u128);

impl Ufid {
    pub(crate) fn new(seed: u64, pattern: &Pattern) -> Self {
        let half = |seed| {
            let mut mixer = Mixer::new(seed);
            pattern.mix(&mut mixer);
            mixer.finish()
        };
        Self(u128::from(half(seed)) << 64 | u128::from(half(!seed)))
    }
}

impl std::str::FromStr for Ufid {
    type Err = ();

    /// As it is printed; zeros in front of its first group may be left out.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut groups = text.split('-');
        let mut id = 0u128;
        for digits in [8usize, 4, 4, 4, 12] {
            let group = groups.next().ok_or(())?;
            let is_hex = group.bytes().all(|b| b.is_ascii_hexdigit());
            let fits =
                if digits == 8 { (1..=8).contains(&group.len()) } else { group.len() == digits };
            if !is_hex || !fits {
                return Err(());
            }
            id = id << (4 * digits) | u128::from_str_radix(group, 16).map_err(drop)?;
        }
        if groups.next().is_some() { Err(()) } else { Ok(Ufid(id)) }
    }
}

impl fmt::Display for Ufid {
    /// As a UUID: groups of 8, 4, 4, 4 and 12 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |shift: u32, digits: u32| (self.0 >> shift) & ((1 << (4 * digits)) - 1);
        write!(f, "{:08x}-{:04x}-{:04x}-", part(96, 8), part(80, 4), part(64, 4))?;
        write!(f, "{:04x}-{:012x}", part(48, 4), part(0, 12))
    }
}

/// What a flow matches.
#[derive(Clone, Debug)]
pub struct Matching {
    pub(crate) pattern: Pattern,
    pub(crate) mask: Mask,
    /// How it looks at options, if it looks at some of them: what it sees of them the pattern has a number for.
    pub(crate) sight: Option<Arc<Sight>>,
}

impl Matching {
    /// Whether a packet with this key, and these options, is meant.
    pub(crate) fn is_for(&self, key: &FlowKey, options: &[u8], names: &Names) -> bool {
        let Some(sight) = &self.sight else { return self.pattern.matches(key) };
        let mut key = *key;
        key.tunnel.options = names.seen(sight, options);
        self.pattern.matches(&key)
    }
}

impl From<&MaskedKey> for Matching {
    /// Of options all are looked at, or none.
    fn from(key: &MaskedKey) -> Self {
        Self { pattern: Pattern::new(key), mask: *key.mask(), sight: None }
    }
}

/// A flow in the datapath. Immutable but for its statistics; "changing" a flow installs another with the same key.
pub struct Flow {
    pattern: Pattern,
    sight: Option<Arc<Sight>>,
    actions: Arc<[Action]>,
    version: Version,
    ufid: Ufid,
    created: Instant,
    /// Shared with the flow that this one replaced.
    counts: Arc<Counts>,
    /// Cleared when removed or replaced. Installing and removing travel to workers by queues that may overtake each other;
    /// a worker never installs a dead flow.
    live: AtomicBool,
    /// It has replaced another.
    has_forerunner: bool,
}

impl Flow {
    pub(crate) fn new(
        ufid: Ufid,
        (pattern, sight): (Pattern, Option<Arc<Sight>>),
        actions: Arc<[Action]>,
        version: Version,
        now: Instant,
    ) -> Self {
        Self {
            pattern,
            sight,
            actions,
            version,
            ufid,
            created: now,
            counts: Arc::default(),
            live: AtomicBool::new(true),
            has_forerunner: false,
        }
    }

    /// The same flow with other actions: statistics go on.
    pub(crate) fn with_actions(&self, actions: Arc<[Action]>, version: Version) -> Self {
        Self {
            pattern: self.pattern.clone(),
            sight: self.sight.clone(),
            actions,
            version,
            ufid: self.ufid,
            created: self.created,
            counts: self.counts.clone(),
            live: AtomicBool::new(true),
            has_forerunner: true,
        }
    }

    /// What it matches.
    pub fn key(&self) -> MaskedKey {
        self.pattern.masked_key()
    }

    /// What it does.
    pub fn actions(&self) -> &Arc<[Action]> {
        &self.actions
    }

    /// The version of the tables that it was translated from.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its id.
    pub fn ufid(&self) -> Ufid {
        self.ufid
    }

    /// When it was first installed.
    pub fn created(&self) -> Instant {
        self.created
    }

    /// What it has seen until now.
    pub fn stats(&self) -> FlowStats {
        self.counts.stats()
    }

    /// Where that is counted, for who asks often.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Whether it is still installed: neither removed nor replaced.
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::SeqCst)
    }

    /// Whether it has replaced another with the same key.
    pub(crate) fn has_forerunner(&self) -> bool {
        self.has_forerunner
    }

    /// Marks it removed; says whether it was live.
    pub(crate) fn kill(&self) -> bool {
        self.live.swap(false, Ordering::SeqCst)
    }

    /// The same as [`Flow::key`], as it is kept.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// All of what it matches, for another flow in its place.
    pub fn matching(&self) -> Matching {
        let mask = *self.key().mask();
        Matching { pattern: self.pattern.clone(), mask, sight: self.sight.clone() }
    }

    /// Which options it looks at, if it does not look at all of them or none.
    pub fn options(&self) -> Option<&OptionMask> {
        self.sight.as_ref().map(|sight| &sight.mask)
    }

    pub(crate) fn sight(&self) -> Option<&Arc<Sight>> {
        self.sight.as_ref()
    }

    /// A cell for one worker to count in.
    pub(crate) fn new_cell(&self) -> Cell {
        Counts::cell(&self.counts)
    }

    /// Whether the two count in the same cells: one has replaced the other.
    pub(crate) fn shares_cells(&self, other: &Flow) -> bool {
        Arc::ptr_eq(&self.counts, &other.counts)
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("ufid", &format_args!("{}", self.ufid))
            .field("actions", &self.actions)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ufids_print_as_uuids_and_depend_on_key_mask_and_seed() {
        assert_eq!(
            Ufid(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff).to_string(),
            "00112233-4455-6677-8899-aabbccddeeff"
        );
        let read = |text: &str| text.parse::<Ufid>();
        let id = Ufid(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        assert_eq!(read(&id.to_string()), Ok(id));
        assert_eq!(
            read("1-0002-0003-0004-000000000005"),
            Ok(Ufid(1 << 96 | 2 << 80 | 3 << 64 | 4 << 48 | 5))
        );
        let wrong = [
            "",
            "1",
            "1-2-3-4-5",
            "1-0002-0003-0004-00000000000g",
            "1-0002-0003-0004-000000000005-",
        ];
        for text in wrong {
            assert_eq!(read(text), Err(()), "{text}");
        }
        let one = MaskedKey::new(&FlowKey { in_port: 1, ..FlowKey::default() }, &Mask::exact());
        let any = MaskedKey::new(&FlowKey::default(), &Mask::any());
        let (one, any) = (Pattern::new(&one), Pattern::new(&any));
        assert_ne!(Ufid::new(1, &one), Ufid::new(1, &any));
        assert_ne!(Ufid::new(1, &one), Ufid::new(2, &one));
    }

    #[test]
    fn statistics_of_all_workers_add_up_and_survive_new_actions() {
        let key = MaskedKey::new(&FlowKey::default(), &Mask::any());
        let (ufid, created) = (Ufid(1), Instant::from_millis(5));
        let flow = Flow::new(ufid, (Pattern::new(&key), None), Arc::new([]), Version(1), created);
        assert_eq!(flow.stats(), FlowStats::default());
        let (one, two) = (flow.new_cell(), flow.new_cell());
        one.count(2, 200, 0x10, Instant::from_nanos(0));
        two.count(1, 50, 0x02, Instant::from_millis(7));
        let newer = flow.with_actions(Arc::new([Action::PopVlan]), Version(2));
        let expect = FlowStats {
            packets: 3,
            bytes: 250,
            used: Some(Instant::from_millis(7)),
            tcp_flags: 0x12,
        };
        assert_eq!(newer.stats(), expect);
        assert_eq!((newer.created(), newer.version()), (Instant::from_millis(5), Version(2)));
        assert!(newer.shares_cells(&flow));
        assert!(flow.is_live() && flow.kill() && !flow.kill() && !flow.is_live());
    }
}
