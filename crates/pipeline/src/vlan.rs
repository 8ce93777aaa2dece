//! VLANs as ports see them (ovs-vswitchd.conf.db(5), "VLAN Configuration").

use std::fmt;
use std::sync::Arc;

/// A VLAN id: 0 (no VLAN) to 4095.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vid(u16);

impl Vid {
    /// "No VLAN": untagged and priority-tagged packets.
    pub const NONE: Vid = Vid(0);

    /// `None` when `vid` has more than 12 bits.
    pub fn new(vid: u16) -> Option<Self> {
        (vid < 4096).then_some(Self(vid))
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Vid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of VLAN ids. Cheap to clone; the set of all, which most ports have, takes no memory.
#[derive(Clone)]
pub struct VlanSet(Option<Arc<[u64; 64]>>);

impl VlanSet {
    /// No VLAN.
    pub fn empty() -> Self {
        Self(Some(Arc::new([0; 64])))
    }

    /// All of them.
    pub fn all() -> Self {
        Self(None)
    }

    /// Adds one.
    pub fn insert(&mut self, vid: Vid) {
        if let Some(words) = &mut self.0 {
            Arc::make_mut(words)[usize::from(vid.0 / 64)] |= 1 << (vid.0 % 64);
        }
    }

    /// Whether it has this one.
    pub fn contains(&self, vid: Vid) -> bool {
        self.0
            .as_ref()
            .is_none_or(|words| words[usize::from(vid.0 / 64)] & (1 << (vid.0 % 64)) != 0)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_some_and(|words| words.iter().all(|w| *w == 0))
    }

    /// Whether it has all.
    fn is_all(&self) -> bool {
        self.0.as_ref().is_none_or(|words| words.iter().all(|w| *w == u64::MAX))
    }
}

impl PartialEq for VlanSet {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => a == b,
            _ => self.is_all() && other.is_all(),
        }
    }
}

impl Eq for VlanSet {}

impl FromIterator<Vid> for VlanSet {
    fn from_iter<I: IntoIterator<Item = Vid>>(iter: I) -> Self {
        let mut set = Self::empty();
        iter.into_iter().for_each(|v| set.insert(v));
        set
    }
}

impl fmt::Debug for VlanSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("{all}");
        }
        f.debug_set().entries((0..4096).filter_map(Vid::new).filter(|v| self.contains(*v))).finish()
    }
}

/// How a port treats VLAN tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VlanMode {
    /// Carries exactly one VLAN, untagged.
    Access(Vid),
    /// Carries these VLANs tagged; VLAN 0 is what has no tag.
    Trunk(VlanSet),
    /// A trunk on which untagged packets belong to `tag`, which leaves tagged like the others.
    NativeTagged {
        /// The native VLAN.
        tag: Vid,
        /// The trunked VLANs, `tag` among them.
        trunks: VlanSet,
    },
    /// A trunk on which untagged packets belong to `tag`, which leaves untagged.
    NativeUntagged {
        /// The native VLAN.
        tag: Vid,
        /// The trunked VLANs, `tag` among them.
        trunks: VlanSet,
    },
}

/// A VLAN configuration that says nothing usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadVlan {
    /// `vlan_mode` holds a word that is not known (or not supported yet).
    Mode(String),
    /// A VLAN id beyond 4095.
    Vid(u16),
}

impl fmt::Display for BadVlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(
                f,
                "vlan_mode \"{mode}\": expected access, trunk, native-tagged or native-untagged"
            ),
            Self::Vid(vid) => write!(f, "VLAN {vid}: expected 0 to 4095"),
        }
    }
}

impl std::error::Error for BadVlan {}

impl VlanMode {
    /// A trunk for all VLANs: what a port is when nothing is configured.
    pub fn trunk_all() -> Self {
        Self::Trunk(VlanSet::all())
    }

    /// From the Port row's columns `vlan_mode`, `tag` and `trunks`. Without a mode, a tag makes an access port and its absence
    /// a trunk; empty `trunks` are all VLANs.
    pub fn from_columns(
        mode: Option<&str>,
        tag: Option<u16>,
        trunks: &[u16],
    ) -> Result<Self, BadVlan> {
        let vid = |v: u16| Vid::new(v).ok_or(BadVlan::Vid(v));
        let native = tag.map(vid).transpose()?.unwrap_or(Vid::NONE);
        let trunked = || match trunks {
            [] => Ok(VlanSet::all()),
            list => list.iter().map(|v| vid(*v)).collect::<Result<VlanSet, _>>(),
        };
        let with_native = || {
            trunked().map(|mut set| {
                set.insert(native);
                set
            })
        };
        Ok(match mode {
            Some("access") => Self::Access(native),
            None if tag.is_some() => Self::Access(native),
            Some("trunk") | None => Self::Trunk(trunked()?),
            Some("native-tagged") => Self::NativeTagged { tag: native, trunks: with_native()? },
            Some("native-untagged") => Self::NativeUntagged { tag: native, trunks: with_native()? },
            Some(other) => return Err(BadVlan::Mode(other.to_owned())),
        })
    }

    /// Which VLAN a packet belongs to that comes in with a tag of this VLAN id (0: without a tag, or with one that carries only
    /// a priority). `None`: it is not allowed in.
    pub fn ingress(&self, tag_vid: Vid) -> Option<Vid> {
        match self {
            Self::Access(own) => (tag_vid == Vid::NONE).then_some(*own),
            Self::Trunk(trunks) => trunks.contains(tag_vid).then_some(tag_vid),
            Self::NativeTagged { tag, trunks } | Self::NativeUntagged { tag, trunks } => {
                match tag_vid {
                    Vid::NONE => Some(*tag),
                    vid => trunks.contains(vid).then_some(vid),
                }
            }
        }
    }

    /// Whether packets of this VLAN leave by this port.
    pub fn carries(&self, vid: Vid) -> bool {
        match self {
            Self::Access(own) => *own == vid,
            Self::Trunk(trunks)
            | Self::NativeTagged { trunks, .. }
            | Self::NativeUntagged { trunks, .. } => trunks.contains(vid),
        }
    }

    /// Whether packets of this VLAN leave without saying so.
    pub fn strips(&self, vid: Vid) -> bool {
        match self {
            Self::Access(_) => true,
            Self::NativeUntagged { tag, .. } => *tag == vid,
            Self::Trunk(_) | Self::NativeTagged { .. } => false,
        }
    }
}

/// Whether packets without a VLAN leave with a tag that carries only a priority (`other_config:priority-tags`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PriorityTags {
    /// Never.
    #[default]
    Never,
    /// When the priority is not 0.
    IfNonzero,
    /// Always.
    Always,
}

impl PriorityTags {
    /// From the setting; anything unknown is the default, as in the reference.
    pub fn from_setting(value: Option<&str>) -> Self {
        match value {
            Some("true" | "if-nonzero") => Self::IfNonzero,
            Some("always") => Self::Always,
            _ => Self::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vid(v: u16) -> Vid {
        Vid::new(v).unwrap()
    }

    #[test]
    fn columns_become_modes_as_documented() {
        let parse = |mode, tag, trunks: &[u16]| VlanMode::from_columns(mode, tag, trunks);
        assert_eq!(parse(None, None, &[]), Ok(VlanMode::trunk_all()));
        assert_eq!(parse(None, Some(5), &[7]), Ok(VlanMode::Access(vid(5))));
        assert_eq!(
            parse(Some("trunk"), Some(5), &[7]),
            Ok(VlanMode::Trunk([vid(7)].into_iter().collect()))
        );
        assert_eq!(
            parse(Some("native-untagged"), Some(5), &[7]),
            Ok(VlanMode::NativeUntagged {
                tag: vid(5),
                trunks: [vid(5), vid(7)].into_iter().collect()
            })
        );
        assert_eq!(parse(Some("dot1q"), None, &[]), Err(BadVlan::Mode("dot1q".into())));
        assert_eq!(parse(None, None, &[4096]), Err(BadVlan::Vid(4096)));
        assert_eq!(parse(None, Some(9999), &[]), Err(BadVlan::Vid(9999)));
    }

    #[test]
    fn what_goes_in_and_out() {
        let access = VlanMode::Access(vid(9));
        let trunk = VlanMode::from_columns(None, None, &[9, 10]).unwrap();
        let native = VlanMode::from_columns(Some("native-tagged"), Some(9), &[10]).unwrap();
        let untagged = VlanMode::from_columns(Some("native-untagged"), Some(9), &[10]).unwrap();
        let ins = |m: &VlanMode| [0, 9, 10, 11].map(|v| m.ingress(vid(v)).map(Vid::get));
        assert_eq!(ins(&access), [Some(9), None, None, None]);
        assert_eq!(ins(&trunk), [None, Some(9), Some(10), None]);
        assert_eq!(ins(&native), [Some(9), Some(9), Some(10), None]);
        assert_eq!(ins(&untagged), [Some(9), Some(9), Some(10), None]);
        let outs = |m: &VlanMode| {
            [9, 10, 11].map(|v| m.carries(vid(v)).then(|| if m.strips(vid(v)) { 0 } else { v }))
        };
        assert_eq!(outs(&access), [Some(0), None, None]);
        assert_eq!(outs(&trunk), [Some(9), Some(10), None]);
        assert_eq!(outs(&native), [Some(9), Some(10), None]);
        assert_eq!(outs(&untagged), [Some(0), Some(10), None]);
    }
}
