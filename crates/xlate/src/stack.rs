//! Numbers that a packet's actions have put by, of any width up to that of the widest field.

use openflow::{Subfield, Value};

/// Last in, first out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stack {
    values: Vec<Pushed>,
    size: usize,
}

/// A number put by, and how many bytes it takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pushed {
    value: Value,
    len: usize,
}

/// The most bytes that a number takes.
const LONGEST: usize = openflow::message::continuation::LONGEST;

impl Stack {
    /// Puts these bits of a field by, which holds `value`.
    pub(crate) fn push(&mut self, value: &Value, src: Subfield) {
        let len = src.bits.div_ceil(8) as usize;
        self.put(Pushed { value: value.part(src.from, src.bits), len });
    }

    fn put(&mut self, pushed: Pushed) {
        // What is in front of each says how long it is.
        self.size += pushed.len + 1;
        self.values.push(pushed);
    }

    /// The last number, shifted to where it belongs in a field. `None`: there is none.
    pub(crate) fn pop(&mut self, dst: Subfield) -> Option<Value> {
        let Pushed { value, len } = self.values.pop()?;
        self.size -= len + 1;
        Some(value.placed(dst.field.row().width, dst.from))
    }

    /// How many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn clear(&mut self) {
        *self = Stack::default();
    }

    /// The bytes of each number, the last one first.
    pub(crate) fn to_bytes(&self) -> Vec<Vec<u8>> {
        self.values.iter().rev().map(|pushed| pushed.value.to_bytes(pushed.len)).collect()
    }

    /// Of what [`Stack::to_bytes`] says.
    pub(crate) fn of_bytes(all: &[Vec<u8>]) -> Stack {
        let mut stack = Stack::default();
        for bytes in all.iter().rev() {
            let bytes = bytes.get(bytes.len().saturating_sub(LONGEST)..).unwrap_or_default();
            let bits = 8 * bytes.len() as u32;
            stack.put(Pushed { value: Value::from_bytes(bits, bytes), len: bytes.len() });
        }
        stack
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openflow::Field;
    use proptest::prelude::*;

    fn subfield() -> impl Strategy<Value = Subfield> {
        let fields = [Field::Reg0, Field::VlanTci, Field::Xxreg0, Field::tun_metadata(3)];
        proptest::sample::select(fields.to_vec()).prop_flat_map(|field| {
            let width = field.row().width;
            (0..width).prop_flat_map(move |from| {
                (1..=width - from).prop_map(move |bits| Subfield { field, from, bits })
            })
        })
    }

    proptest! {
        #[test]
        fn what_was_put_by_is_taken_back(
            parts in proptest::collection::vec((subfield(), any::<[u8; 124]>()), 0..6),
        ) {
            let mut stack = Stack::default();
            let value = |part: &Subfield, bytes: &[u8]| {
                let width = part.field.row().width;
                Value::from_bytes(width, bytes).and(&Value::ones(width))
            };
            for (part, bytes) in &parts {
                stack.push(&value(part, bytes), *part);
            }
            let bytes = stack.to_bytes();
            let mut again = Stack::of_bytes(&bytes);
            prop_assert_eq!(again.size(), stack.size());
            prop_assert_eq!(again.to_bytes(), bytes);
            for (part, bytes) in parts.iter().rev() {
                let right = Some(value(part, bytes).and(&part.mask()));
                prop_assert_eq!(again.pop(*part), right.clone());
                prop_assert_eq!(stack.pop(*part), right);
            }
            prop_assert_eq!((stack.size(), again.size()), (0, 0));
        }
    }
}
