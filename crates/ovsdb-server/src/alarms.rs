//! When clients want to be looked at though nothing has happened, without looking at each of them in each turn.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use base::Instant;

/// Alarms of many clients. Most are put off again and again, as those of probes are with every message, so an alarm that is set
/// for later than the one before goes off early, and its owner sets it again.
#[derive(Debug)]
pub(crate) struct Alarms<K> {
    queue: BinaryHeap<Reverse<(Instant, K)>>,
}

/// What a client has in the queue.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Instant>);

impl<K: Ord + Copy> Alarms<K> {
    pub(crate) fn new() -> Self {
        Self { queue: BinaryHeap::new() }
    }

    /// Has `alarm`, which is `owner`'s, go off at `at` or earlier; with `None` it may go off or not.
    pub(crate) fn set(&mut self, owner: K, alarm: &mut Alarm, at: Option<Instant>) {
        if let Some(at) = at
            && alarm.0.is_none_or(|set| at < set)
        {
            alarm.0 = Some(at);
            self.queue.push(Reverse((at, owner)));
        }
    }

    /// When the first goes off.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes one that has gone off: its owner, and when it was set for. The owner is to be told by [`Alarm::went_off`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<(K, Instant)> {
        self.next().filter(|at| *at <= now)?;
        self.queue.pop().map(|Reverse((at, owner))| (owner, at))
    }
}

impl Alarm {
    /// Notes that an alarm was taken from the queue; false if another has been set since for earlier, and has gone off before.
    pub(crate) fn went_off(&mut self, at: Instant) -> bool {
        self.0.take_if(|set| *set == at).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn an_alarm_goes_off_no_later_than_it_is_set_for() {
        let mut alarms = Alarms::new();
        let (mut a, mut b) = (Alarm::default(), Alarm::default());
        alarms.set('a', &mut a, Some(at(50)));
        alarms.set('b', &mut b, Some(at(40)));
        // Put off: it stays where it is. Put forward: it goes off earlier, and only once.
        alarms.set('b', &mut b, Some(at(400)));
        alarms.set('a', &mut a, Some(at(10)));
        alarms.set('a', &mut a, None);
        assert_eq!(alarms.next(), Some(at(10)));
        assert_eq!(alarms.take(at(9)), None);
        assert_eq!(alarms.take(at(45)), Some(('a', at(10))));
        assert!(a.went_off(at(10)));
        assert_eq!(alarms.take(at(45)), Some(('b', at(40))));
        assert!(b.went_off(at(40)));
        alarms.set('b', &mut b, Some(at(400)));
        assert_eq!(alarms.take(at(60)), Some(('a', at(50))));
        assert!(!a.went_off(at(50)));
        assert_eq!(alarms.take(at(60)), None);
        assert_eq!(alarms.next(), Some(at(400)));
    }
}
