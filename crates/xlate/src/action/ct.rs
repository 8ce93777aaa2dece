//! Connections: what the tracker is asked, and where the packet goes on when it has answered.

use flow::ct::{Commit, Ct as Track, Nat as Translate, NatChoice, NatRange, NatSide};
use flow::{Action as Datapath, FlowKey};
use openflow::action::ct::{Ct, Nat, Side, Zone};
use openflow::{Action, Field};

use crate::request::Fork;
use crate::run::Run;
use crate::trace::Kind;
use crate::walk::Walk;

/// Ports of protocols that have a helper.
const FTP: u16 = 21;
const TFTP: u16 = 69;
/// The flag of a connection's state that all states have.
const TRACKED: u8 = 1 << 5;

impl<'a> Walk<'a> {
    pub(crate) fn ct(&mut self, run: &mut Run<'a>, action: &Ct) {
        self.commit(&run.packet);
        let zone = match action.zone {
            Zone::Number(zone) => zone,
            Zone::Field(field) => self.read(run, field) as u16,
        };
        let (mark, label) = self.connection_fields(run, action);
        let commit = match (action.commit, action.force) {
            (_, true) => Commit::Force,
            (true, _) => Commit::Yes,
            _ => Commit::No,
        };
        let helper = match action.alg {
            FTP => Some("ftp".to_owned()),
            TFTP => Some("tftp".to_owned()),
            _ => None,
        };
        let nat = action.nat.as_ref().map(translate);
        self.push(Datapath::Ct(Box::new(Track {
            commit,
            zone,
            mark,
            label,
            helper,
            timeout: None,
            nat,
        })));
        if let Some(table) = action.table {
            self.say(|| {
                format!(
                    "A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table {table}."
                )
            });
            if let Some(id) = self.fork_to_table(run, table) {
                self.push(Datapath::Recirc(id));
                let key = FlowKey { ct_zone: zone, ..self.done };
                self.forks.push(Fork { id, key, nat });
            }
        }
        self.say(|| {
            "Sets the packet to an untracked state, and clears all the conntrack fields.".into()
        });
        untrack(&mut run.packet.key.flow);
        untrack(&mut self.done);
    }

    /// What becomes of the connection's mark and label: values and masks.
    #[allow(clippy::type_complexity)]
    fn connection_fields(
        &mut self,
        run: &Run<'a>,
        action: &Ct,
    ) -> (Option<(u32, u32)>, Option<(u128, u128)>) {
        let mut copy = run.clone();
        let (mut mark, mut label) = (0u32, 0u128);
        for inner in &action.exec {
            self.note(Kind::Action, || inner.to_string());
            let (field, mask) = match inner {
                Action::SetField { field, mask, .. } => (*field, mask.clone()),
                Action::Load { dst, .. } | Action::Move { dst, .. } => (dst.field, dst.mask()),
                _ => continue,
            };
            match inner {
                Action::SetField { field, value, mask } => copy.set(*field, value, mask),
                Action::Load { dst, value } => {
                    let width = dst.field.row().width;
                    let value = openflow::Value::shifted(width, (*value).into(), dst.from);
                    copy.set(dst.field, &value, &dst.mask());
                }
                Action::Move { src, dst } => {
                    let number = self.read(&copy, *src);
                    let value = openflow::Value::shifted(dst.field.row().width, number, dst.from);
                    copy.set(dst.field, &value, &dst.mask());
                }
                _ => {}
            }
            match field {
                Field::CtMark => mark |= mask.int() as u32,
                Field::CtLabel => label |= mask.int(),
                _ => {}
            }
        }
        if let Some(nat) = &action.nat {
            self.note(Kind::Action, || nat.to_string());
        } else if action.exec.is_empty() {
            self.note(Kind::Action, || "drop".into());
        }
        let key = &copy.packet.key;
        (
            (mark != 0).then_some((key.flow.ct_mark & mark, mark)),
            (label != 0).then(|| (key.get(Field::CtLabel).int() & label, label)),
        )
    }

    /// The packet is of no connection.
    pub(crate) fn ct_clear(&mut self, run: &mut Run<'a>) {
        // A packet fresh from a port is of no connection yet; what comes from the tracker has the flag that says so.
        if self.received.recirc_id != 0 {
            self.mask.0.ct_state |= TRACKED;
        }
        if self.done.ct_state & TRACKED != 0 {
            self.push(Datapath::CtClear);
        }
        untrack(&mut run.packet.key.flow);
        untrack(&mut self.done);
    }
}

fn untrack(key: &mut FlowKey) {
    (key.ct_state, key.ct_zone, key.ct_mark, key.ct_label) = (0, 0, 0, [0; 16]);
}

fn translate(nat: &Nat) -> Translate {
    let Some(side) = nat.side else { return Translate::Existing };
    let choice = match (nat.hash, nat.random) {
        (true, _) => Some(NatChoice::Hash),
        (_, true) => Some(NatChoice::Random),
        _ => None,
    };
    Translate::New(NatRange {
        side: match side {
            Side::Src => NatSide::Source,
            Side::Dst => NatSide::Destination,
        },
        addresses: nat.addresses.map(|(first, last)| (first, last.unwrap_or(first))),
        ports: nat.ports.map(|(first, last)| (first, last.unwrap_or(first))),
        persistent: nat.persistent,
        choice,
    })
}
