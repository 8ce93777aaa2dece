//! What a translation did, step by step, for people.

use std::fmt;

/// Steps in order. Empty unless they were wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How many bridges deep: 0 outside of the first.
    pub depth: u32,
    /// What happened.
    pub text: String,
}

impl Trace {
    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(crate) fn push(&mut self, depth: u32, text: String) {
        self.steps.push(Step { depth, text });
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{:indent$}{}", "", step.text, indent = step.depth as usize * 4)?;
        }
        Ok(())
    }
}
