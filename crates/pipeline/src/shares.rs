//! How a group's buckets share the values of a datapath's hash.
//!
//! Webster's method, as for seats of a parliament: value after value goes to the bucket whose weight, divided by 1, 3, 5 and so
//! on for what it has already, is the largest. So is the reference's, and a pair of switches, one of each make, chooses alike.

use openflow::message::group::{Group, GroupKind, SelectionMethod};

/// Values at least.
const FEWEST: u64 = 16;
/// Values at most, where a controller has asked for the datapath's hash, and where it has not asked for anything.
const MOST: u64 = 256;
const MOST_UNASKED: u64 = 64;

/// For each value the place of its bucket. There is a power of two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares(Box<[u32]>);

impl Shares {
    /// `None` if it is not by a datapath's hash that the group chooses, or if the smallest bucket would not get its share.
    pub(crate) fn of(group: &Group) -> Option<Shares> {
        let most = match group.selection.as_ref().map(|selection| selection.method) {
            _ if group.kind != GroupKind::Select => return None,
            None => MOST_UNASKED,
            Some(SelectionMethod::DpHash) => MOST,
            Some(SelectionMethod::Hash) => return None,
        };
        let weights: Vec<u64> = group.buckets.iter().map(|bucket| bucket.weight.into()).collect();
        let smallest = weights.iter().copied().filter(|weight| *weight > 0).min()?;
        let total: u64 = weights.iter().sum();
        let values = total.div_ceil(smallest).max(FEWEST);
        (values <= most).then(|| Shares(share(&weights, values.next_power_of_two())))
    }

    /// Which bits of a hash count.
    pub fn mask(&self) -> u32 {
        self.0.len() as u32 - 1
    }

    /// The places of the buckets that come into question for a hash, the best first. Some come more than once.
    pub fn places(&self, hash: u32) -> impl Iterator<Item = usize> + '_ {
        let start = (hash & self.mask()) as usize;
        let (before, after) = self.0.split_at(start);
        after.iter().chain(before).map(|place| *place as usize)
    }
}

fn share(weights: &[u64], values: u64) -> Box<[u32]> {
    let mut divisors = vec![1u64; weights.len()];
    let next = |_| {
        let mut best: Option<usize> = None;
        for (place, (weight, divisor)) in weights.iter().zip(&divisors).enumerate() {
            // a/b > c/d, without rounding.
            let is_larger = best.is_none_or(|b| weight * divisors[b] > weights[b] * divisor);
            if is_larger {
                best = Some(place);
            }
        }
        let place = best.unwrap_or(0);
        if let Some(divisor) = divisors.get_mut(place) {
            *divisor += 2;
        }
        place as u32
    };
    (0..values).map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use openflow::text::group::{GroupVerb, parse_group};

    fn shares(weights: &[u16], more: &str) -> Option<Shares> {
        let buckets: String =
            weights.iter().map(|w| format!(",bucket=weight:{w},output:1")).collect();
        let text = format!("group_id=1,type=select{more}{buckets}");
        Shares::of(&parse_group(&text, GroupVerb::Add).unwrap().change.group)
    }

    /// Observed at Open vSwitch 3.1: `ofproto/trace` with the hashes 1 to 16.
    #[test]
    fn values_go_where_the_reference_sends_them() {
        let bucket = |shares: &Shares, hash| shares.places(hash).next().unwrap();
        let of = |shares: Shares| (1..=16).map(|hash| bucket(&shares, hash)).collect::<Vec<_>>();
        assert_eq!(
            of(shares(&[10, 20, 10], "").unwrap()),
            [0, 2, 1, 1, 0, 2, 1, 1, 0, 2, 1, 1, 0, 2, 1, 1]
        );
        assert_eq!(
            of(shares(&[10, 20, 10, 3, 0], ",selection_method=dp_hash").unwrap()),
            [0, 2, 1, 1, 0, 2, 3, 1, 1, 0, 2, 1, 1, 0, 2, 1]
        );
    }

    #[test]
    fn too_many_values_are_none() {
        assert!(shares(&[1, 200, 10], "").is_none());
        assert_eq!(shares(&[1, 200, 10], ",selection_method=dp_hash").unwrap().mask(), 255);
        assert!(shares(&[1, 2000, 10], ",selection_method=dp_hash").is_none());
        assert!(shares(&[1, 1], ",selection_method=hash").is_none());
        assert!(shares(&[0, 0], "").is_none());
    }

    #[test]
    fn every_bucket_comes_into_question() {
        let shares = shares(&[1, 2, 3], "").unwrap();
        let mut places: Vec<_> = shares.places(5).collect();
        assert_eq!(places.len(), 16);
        places.sort_unstable();
        places.dedup();
        assert_eq!(places, [0, 1, 2]);
    }
}
