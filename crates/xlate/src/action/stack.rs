//! Numbers put by and taken back.

use openflow::Subfield;

use crate::run::Run;
use crate::trace::Kind;
use crate::walk::Walk;

impl<'a> Walk<'a> {
    pub(crate) fn push_stack(&mut self, run: &mut Run<'a>, src: Subfield) {
        self.look_at(run, src.field, &src.mask());
        let value = run.value(src.field);
        run.stack.push(&value, src);
    }

    pub(crate) fn pop_stack(&mut self, run: &mut Run<'a>, dst: Subfield) {
        let Some(value) = run.stack.pop(dst) else {
            return self.note(Kind::Error, || "stack underflow".into());
        };
        self.write(run, dst.field, &value.and(&dst.mask()), &dst.mask());
        self.say_subfield(run, dst);
    }
}
