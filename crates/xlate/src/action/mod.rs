//! What each action does to a packet on its walk. One file per family.

mod choose;
mod ct;
mod edit;
mod encap;
mod freeze;
mod group;
mod hash;
mod learn;
pub(crate) mod mpls;
mod output;
mod pbb;
mod sample;
pub(crate) mod set;
mod stack;
mod vlan;

use openflow::{Action, Field, Instructions, Value};

use crate::run::{Entry, Next, Run, StepRef};
use crate::trace::Kind;
use crate::walk::{Walk, without_idle_end};

impl<'a> Walk<'a> {
    /// One step of a rule.
    pub(crate) fn step(&mut self, run: &mut Run<'a>, step: StepRef<'_>) -> Next {
        if run.is_unread && mpls::needs_headers(step) {
            return Next::Freeze { again: true };
        }
        let is_shown = match step {
            StepRef::Table(_) => false,
            StepRef::Within(..) => run.is_thawed,
            _ => true,
        };
        if is_shown {
            self.note(Kind::Action, || run.options().action_text(text(step)));
        }
        match step {
            StepRef::Action(action) => return self.act(run, action),
            StepRef::Meter(id) => self.meter(run, id),
            StepRef::ClearActions => self.clear_actions(run),
            StepRef::WriteActions(actions) => self.write_actions(run, actions),
            StepRef::WriteMetadata(value, mask) => {
                let metadata = &mut run.packet.key.registers.metadata;
                *metadata = *metadata & !mask | value & mask;
            }
            StepRef::GotoTable(table) | StepRef::Table(table) => {
                return Next::Table(Entry::of(table));
            }
            StepRef::Within(table, cookie) => {
                // The reference shows the cookie as it lies in memory.
                let shown = cookie.unwrap_or(u64::MAX).swap_bytes();
                if is_shown {
                    self.note(Kind::Action, || match shown {
                        0 => format!("restored state: table={table}, cookie=0"),
                        _ => format!("restored state: table={table}, cookie={shown:#x}"),
                    });
                }
                (run.table, run.left_cookie, run.rule) = (table, cookie, None);
            }
        }
        Next::Step
    }

    fn act(&mut self, run: &mut Run<'a>, action: &Action) -> Next {
        match action {
            Action::Output { port, max_len } => return self.output_action(run, *port, *max_len),
            Action::OutputReg { src, max_len } => return self.output_reg(run, *src, *max_len),
            Action::OutputTrunc { port, max_len } => self.output_trunc(run, *port, *max_len),
            Action::Controller(controller) => return self.controller(run, controller),
            Action::Enqueue { port, queue } => return self.enqueue(run, *port, *queue),
            Action::SetQueue(queue) => self.set_queue(run, *queue),
            Action::PopQueue => self.pop_queue(run),
            Action::SetVlanVid { vid, push } => self.set_vlan_vid(run, *vid, *push),
            Action::SetVlanPcp { pcp, push } => self.set_vlan_pcp(run, *pcp, *push),
            Action::StripVlan | Action::PopVlan => self.pop_vlan(run),
            Action::PushVlan(tpid) => self.push_vlan(run, *tpid),
            Action::DecTtl(controllers) => return self.dec_ttl(run, controllers),
            Action::SetField { field, value, mask } => {
                self.set_field(run, *field, value, mask, "set_field");
            }
            Action::Load { dst, value } => self.load(run, *dst, (*value).into()),
            Action::Move { src, dst } => self.move_field(run, *src, *dst),
            Action::Push(src) => self.push_stack(run, *src),
            Action::Pop(dst) => self.pop_stack(run, *dst),
            Action::SetTunnel { id, .. } => {
                let id = Value::Int((*id).into());
                self.write(run, Field::TunId, &id, &Field::TunId.ones());
            }
            Action::Resubmit { port, table, .. } => return self.resubmit(run, *port, *table),
            Action::Clone(actions) => self.clone_packet(run, actions),
            Action::Group(id) => return self.group(run, *id),
            Action::Multipath(multipath) => self.multipath(run, multipath),
            Action::Bundle(bundle) => return self.bundle(run, bundle),
            Action::Learn(learn) => self.learn_rule(run, learn),
            Action::FinTimeout { idle, hard } => self.fin_timeout(run, *idle, *hard),
            Action::CheckPktLarger { len, dst } => {
                return Next::Branch { len: *len, dst: *dst };
            }
            Action::PushMpls(kind) => self.push_mpls(run, *kind),
            Action::PopMpls(kind) => self.pop_mpls(run, *kind),
            Action::SetMplsLabel(label) => self.set_mpls(run, Field::MplsLabel, *label),
            Action::SetMplsTc(class) => self.set_mpls(run, Field::MplsTc, (*class).into()),
            Action::SetMplsTtl(ttl) => self.set_mpls(run, Field::MplsTtl, (*ttl).into()),
            Action::DecMplsTtl => return self.dec_mpls_ttl(run),
            Action::CopyTtlOut => return self.copy_ttl_out(run),
            Action::CopyTtlIn => self.copy_ttl_in(run),
            Action::PushPbb(_) => self.push_pbb(run),
            Action::PopPbb => return self.pop_pbb(run),
            Action::Ct(ct) => self.ct(run, ct),
            Action::CtClear => self.ct_clear(run),
            Action::Encap { packet_type, properties, .. } => {
                self.encap(run, *packet_type, properties);
            }
            Action::Decap { .. } => return self.decap(run),
            Action::DecNshTtl => return self.dec_nsh_ttl(run),
            Action::Exit => return Next::Exit,
            // What a rule is for is not done to packets.
            Action::Note(_) | Action::Conjunction { .. } => {}
            Action::Sample(sample) => self.sample(run, sample),
            Action::DeleteField(field) => {
                run.options().delete(&mut run.packet.key, *field);
                run.packet.options_set |= pipeline::options::bit_of(*field);
                self.say(|| format!("delete {}", field.name()));
            }
            Action::Meter(id) => self.meter(run, *id),
            _ => return self.edit_header(run, action),
        }
        Next::Step
    }

    fn resubmit(&mut self, run: &Run<'a>, port: openflow::Port, table: u8) -> Next {
        let table = if table == openflow::action::SAME_TABLE { run.table } else { table };
        let in_port = (port != openflow::Port::IN_PORT).then_some(port.0);
        Next::Table(Entry { table, in_port, goes_on: false })
    }

    /// The actions are done to a copy.
    fn clone_packet(&mut self, run: &mut Run<'a>, actions: &[Action]) {
        let mut copy = run.clone();
        self.on_copy(|walk| {
            walk.deeper(|walk| {
                walk.run_actions(&mut copy, actions);
            });
        });
    }

    /// What `inner` does is done to a copy of the packet. In the datapath it is so only if it cannot be undone: fields and tags
    /// are set back by whoever needs them as they were.
    pub(crate) fn on_copy(&mut self, inner: impl FnOnce(&mut Self)) {
        self.undoing(|walk| walk.deeper(inner));
    }

    /// The same, at the depth that is.
    pub(crate) fn undoing(&mut self, inner: impl FnOnce(&mut Self)) {
        let (start, done) = (self.actions.len(), self.done);
        inner(self);
        let fresh = self.actions.get(start..).unwrap_or_default();
        if fresh.iter().any(|action| !is_undone_by_setting(action)) {
            let inner = without_idle_end(self.actions.split_off(start));
            if !inner.is_empty() {
                self.actions.push(flow::Action::Clone(inner));
            }
            self.done = done;
        }
    }

    /// A meter that is not there lets all pass.
    fn meter(&mut self, run: &mut Run<'a>, id: u32) {
        if let Some(meter) = self.tables.meters.get(&(run.bridge.id, id)) {
            self.commit(&run.packet);
            self.push(flow::Action::Meter(*meter));
        }
    }
}

/// Whether a packet can be made as it was before by setting fields and tags.
fn is_undone_by_setting(action: &flow::Action) -> bool {
    use flow::Action::*;
    matches!(
        action,
        Output(_) | Set(_) | PushVlan(_) | PopVlan | Clone(_) | Userspace(_) | Drop(_) | Trunc(_)
    ) || matches!(action, Recirc(_) | TnlPop(_) | Sample { .. })
}

/// A step as a trace names it.
pub(crate) fn text(step: StepRef<'_>) -> String {
    let alone = match step {
        StepRef::Action(action) => return action.to_string(),
        StepRef::Meter(id) => Instructions { meter: Some(id), ..Instructions::default() },
        StepRef::ClearActions => Instructions { clear_actions: true, ..Instructions::default() },
        StepRef::WriteActions(actions) => {
            Instructions { write_actions: Some(actions.to_vec()), ..Instructions::default() }
        }
        StepRef::WriteMetadata(value, mask) => {
            Instructions { write_metadata: Some((value, mask)), ..Instructions::default() }
        }
        StepRef::Within(table, cookie) => {
            return format!("unroll_xlate(table={table}, cookie={})", cookie.unwrap_or(u64::MAX));
        }
        StepRef::Table(_) => Instructions::default(),
        StepRef::GotoTable(table) => {
            Instructions { goto_table: Some(table), ..Instructions::default() }
        }
    };
    alone.to_string()
}
