//! Advisory locks (RFC 7047 section 4.1.8): named, for the whole server, held by a session.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::SessionId;

/// Who waits for which lock. The first in a queue holds the lock.
#[derive(Debug, Default)]
pub(super) struct Locks {
    queues: HashMap<String, VecDeque<SessionId>>,
}

/// What asking for a lock led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The session has it now.
    Held {
        /// Who lost it.
        victim: Option<SessionId>,
    },
    /// The session will be told when it has it.
    Queued,
    /// The session has asked before.
    AlreadyAsked,
}

impl Locks {
    /// `session` asks for the lock `name`; with `steal`, it gets it.
    pub(super) fn claim(&mut self, name: &str, session: SessionId, steal: bool) -> Claim {
        let queue = self.queues.entry_ref(name).or_default();
        if queue.contains(&session) {
            return Claim::AlreadyAsked;
        }
        if !steal {
            queue.push_back(session);
            return if queue.len() == 1 { Claim::Held { victim: None } } else { Claim::Queued };
        }
        // Who is robbed waits again, behind the others.
        let victim = queue.pop_front();
        queue.extend(victim);
        queue.push_front(session);
        Claim::Held { victim }
    }

    /// `session` gives up the lock or its place in the queue: `None` if it had none, else who holds the lock now if that
    /// has changed.
    pub(super) fn release(&mut self, name: &str, session: SessionId) -> Option<Option<SessionId>> {
        let queue = self.queues.get_mut(name)?;
        let at = queue.iter().position(|waiting| *waiting == session)?;
        queue.remove(at);
        let heir = queue.front().copied().filter(|_| at == 0);
        if queue.is_empty() {
            self.queues.remove(name);
        }
        Some(heir)
    }

    /// `session` is gone. Returns the locks that pass to others, and to whom.
    pub(super) fn release_all(&mut self, session: SessionId) -> Vec<(String, SessionId)> {
        let names: Vec<_> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.contains(&session))
            .map(|(name, _)| name.clone())
            .collect();
        let heirs = names.into_iter().filter_map(|name| {
            let heir = self.release(&name, session)??;
            Some((name, heir))
        });
        heirs.collect()
    }

    /// True if `session` holds the lock.
    pub(super) fn is_held(&self, name: &str, session: SessionId) -> bool {
        self.queues.get(name).and_then(VecDeque::front) == Some(&session)
    }

    /// How many locks `session` holds or waits for.
    pub(super) fn count(&self, session: SessionId) -> usize {
        self.queues.values().filter(|queue| queue.contains(&session)).count()
    }
}
