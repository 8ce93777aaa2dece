//! Asking for neighbours: requests go through the underlay bridge as if its own host had sent them.

use base::Instant;
use flow::FlowKey;
use packet::Packet;

use crate::Shared;
use crate::state::State;

impl Shared {
    /// Sends the requests that are due, forgets packets that waited too long.
    pub(crate) fn solicit(&self, state: &mut State, now: Instant) {
        for solicit in state.neighbours.poll(now) {
            let local =
                state.snapshot.internal(&solicit.bridge).and_then(|at| state.snapshot.port(at));
            let Some(dp) = local.and_then(|(_, port)| port.kind.own_dp()) else { continue };
            let metadata = FlowKey { in_port: dp.0, ..FlowKey::default() };
            self.datapath.inject(Packet::from_frame(&solicit.frame()), metadata, None);
        }
        state.routes.forget_mtus(now);
        self.expire_fragments(now);
        let expired = state.waiting.expire(now).len() as u64;
        self.count.neighbour_dropped.add(expired);
    }

    /// When [`Shared::solicit`] has something to do.
    pub(crate) fn neighbour_deadline(&self, state: &State) -> Option<Instant> {
        let (neighbours, waiting) = (&state.neighbours, &state.waiting);
        [
            neighbours.next_deadline(),
            waiting.next_deadline(),
            state.routes.mtu_deadline(),
            self.fragment_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
