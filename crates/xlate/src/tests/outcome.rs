//! What actions come to for one packet.
//!
//! A field is set as far as it was looked at, and a packet of a flow may have had more looked at than the one that the flow
//! was made for (a table was not yet ruled out when it failed there). To set bits to what they are is nothing: two lists are
//! the same to a packet if they are once that is left out.

use flow::{Action, FlowKey, Mask, TunnelKey};

/// These actions, for a packet with this key, without the bits that they set to what they are.
pub(super) fn outcome(key: &FlowKey, actions: &[Action]) -> Vec<Action> {
    let mut now = *key;
    actions.iter().filter_map(|action| step(&mut now, action)).collect()
}

fn step(now: &mut FlowKey, action: &Action) -> Option<Action> {
    match action {
        Action::Set(set) => return changes(now, &set.0, &set.1),
        Action::PushEth { src, dst } => (now.eth_src, now.eth_dst) = (*src, *dst),
        Action::PushMpls { entry, .. } | Action::AddMpls { entry, .. } => {
            now.mpls.rotate_right(1);
            now.mpls[0] = *entry;
        }
        Action::PopMpls { .. } => {
            now.mpls.rotate_left(1);
            now.mpls[3] = 0;
        }
        Action::PushNsh(push) => now.set_nsh(&push.key),
        Action::Clone(all) => return Some(Action::Clone(outcome(now, all))),
        Action::Sample { probability, actions } => {
            let (probability, actions) = (*probability, outcome(now, actions));
            return Some(Action::Sample { probability, actions });
        }
        Action::CheckPktLen { len, greater, less_or_equal } => {
            let [greater, less_or_equal] = [greater, less_or_equal].map(|all| outcome(now, all));
            return Some(Action::CheckPktLen { len: *len, greater, less_or_equal });
        }
        _ => {}
    }
    Some(action.clone())
}

/// What that changes, if anything. What a tunnel is to be told it is told, whatever another one said.
fn changes(now: &mut FlowKey, to: &FlowKey, mask: &Mask) -> Option<Action> {
    let (mut values, mut bits) = (FlowKey::default(), Mask::any());
    let bit_words = bits.0.words_mut().iter_mut().zip(values.words_mut());
    let all = now.words_mut().iter_mut().zip(to.words()).zip(mask.0.words()).zip(bit_words);
    for (((now, to), mask), (bits, value)) in all {
        *bits = (*now ^ to) & mask;
        *value = to & *bits;
        *now = *now & !mask | to & mask;
    }
    if mask.0.tunnel != TunnelKey::default() {
        (values.tunnel, bits.0.tunnel) = (to.tunnel, mask.0.tunnel);
    }
    (bits != Mask::any()).then(|| Action::Set(Box::new((values, bits))))
}

#[test]
fn setting_a_bit_to_what_it_is_is_nothing() {
    let key = FlowKey { nw_ttl: 64, nw_tos: 4, ..FlowKey::default() };
    let set = |ttl, tos, mask_tos| {
        let to = FlowKey { nw_ttl: ttl, nw_tos: tos, ..FlowKey::default() };
        let mut mask = Mask::any();
        (mask.0.nw_ttl, mask.0.nw_tos) = (0xff, mask_tos);
        Action::Set(Box::new((to, mask)))
    };
    let on = |actions: &[Action]| outcome(&key, actions);
    assert_eq!(on(&[set(63, 4, 0xfc)]), on(&[set(63, 0, 0)]));
    assert_ne!(on(&[set(63, 8, 0xfc)]), on(&[set(63, 0, 0)]));
    assert_eq!(on(&[set(64, 4, 0xfc)]), []);
    // What was changed is changed back.
    assert_eq!(on(&[set(9, 0, 0), set(64, 0, 0)]).len(), 2);
    assert_eq!(on(&[Action::Clone(vec![set(9, 0, 0)]), set(64, 0, 0)]).len(), 1);
}
