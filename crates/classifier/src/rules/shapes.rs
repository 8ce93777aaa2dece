//! Masks, each once: of a hundred thousand rules, most have one that others have as well.

use std::sync::Arc;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::layout::Layout;
use super::sparse::{Shape, Sparse};

/// Masks that masked keys share. It holds those that some key has, and at most as many again that none has any more: to share
/// is good, and never necessary.
#[derive(Debug)]
pub struct Shapes<const N: usize> {
    layout: &'static Layout<N>,
    all: HashTable<Arc<Shape>>,
    /// How many there are when those are dropped that nobody has.
    sweep: usize,
}

/// So many masks are worth no sweep.
const FEW: usize = 64;

/// Words of a key that a mask selects from, each once: index, value and mask. The value has no bit outside of the mask.
pub type Terms = SmallVec<[(u8, u64, u64); 16]>;

impl<const N: usize> Shapes<N> {
    /// None yet.
    pub fn new(layout: &'static Layout<N>) -> Self {
        Shapes { layout, all: HashTable::new(), sweep: FEW }
    }

    /// The masked key of these words.
    pub fn pattern(&mut self, mut terms: Terms) -> Sparse {
        terms.sort_unstable_by_key(|(word, ..)| (self.layout.stage(*word), *word));
        let masks: SmallVec<[(u8, u64); 16]> =
            terms.iter().map(|(i, _, mask)| (*i, *mask)).collect();
        let hash = Shape::hash_of(&masks);
        let shape = match self.all.find(hash, |shape| shape.is(hash, &masks)) {
            Some(shape) => shape.clone(),
            None => self.add(Shape::with_terms(self.layout, &masks)),
        };
        Sparse::from_parts(shape, terms.iter().map(|(_, value, _)| *value).collect())
    }

    fn add(&mut self, shape: Shape) -> Arc<Shape> {
        if self.all.len() >= self.sweep {
            self.all.retain(|shape| Arc::strong_count(shape) > 1);
            self.sweep = FEW.max(2 * self.all.len());
        }
        let shape = Arc::new(shape);
        self.all.insert_unique(shape.hash(), shape.clone(), |shape| shape.hash());
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::LAYOUT;

    #[test]
    fn equal_masks_are_one_and_those_that_nobody_has_go() {
        let mut shapes = Shapes::new(&LAYOUT);
        let mut of = |words: &[(u8, u64, u64)]| shapes.pattern(words.iter().copied().collect());
        let a = of(&[(1, 5, 0xff), (0, 1, 1)]);
        let b = of(&[(0, 0, 1), (1, 7, 0xff)]);
        let c = of(&[(0, 0, 1), (1, 7, 0xf)]);
        assert!(Arc::ptr_eq(a.shape(), b.shape()) && !Arc::ptr_eq(a.shape(), c.shape()));
        let [mut key, mut mask] = [[0; 4]; 2];
        (key[0], key[1], mask[0], mask[1]) = (1, 5, 1, 0xff);
        assert_eq!(a, Sparse::new(&LAYOUT, &key, &mask));
        for i in 0..1000 {
            of(&[(2, 0, i + 1)]);
        }
        assert!(shapes.all.len() <= FEW, "{}", shapes.all.len());
        let again = shapes.pattern([(0, 0, 1), (1, 9, 0xff)].into_iter().collect());
        assert!(Arc::ptr_eq(a.shape(), again.shape()), "it is in use");
    }
}
