//! Numbers put by and taken back.

use openflow::{Subfield, Value};

use crate::run::Run;
use crate::trace::Kind;
use crate::walk::Walk;

impl<'a> Walk<'a> {
    pub(crate) fn push_stack(&mut self, run: &mut Run<'a>, src: Subfield) {
        let value = self.read(run, src);
        run.stack.push(value);
    }

    pub(crate) fn pop_stack(&mut self, run: &mut Run<'a>, dst: Subfield) {
        let Some(value) = run.stack.pop() else {
            return self.note(Kind::Error, || "stack underflow".into());
        };
        let shifted = Value::shifted(dst.field.row().width, value, dst.from).and(&dst.mask());
        self.write(run, dst.field, &shifted, &dst.mask());
        self.say_subfield(run, dst);
    }
}
