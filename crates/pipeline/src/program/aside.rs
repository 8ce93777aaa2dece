//! A program that is changed beside the one in force, so that translations go on meanwhile.
//!
//! What only changes need ([`Books`]) moves over to the copy; what translations need is copied. Rules themselves are shared, and
//! count where they did. The program that is left behind must not be changed any more.

use classifier::Shapes;

use super::Program;
use super::expiry::Timers;
use super::index::Index;
use super::learned::Learners;
use super::shared::Shared;
use crate::key::WORDS;
use crate::pattern::LAYOUT;

/// What changes of a program need, and translations do not.
#[derive(Debug)]
pub struct Books {
    cookies: Index<u64>,
    group_users: Index<u32>,
    meter_users: Index<u32>,
    learners: Learners,
    shapes: Shapes<WORDS>,
    instructions: Shared,
    timers: Timers,
}

impl Program {
    /// Takes the books. Until they are put back, with [`Program::copy`] and in the copy's place, nothing may change the program.
    pub fn take_books(&mut self) -> Books {
        Books {
            cookies: std::mem::replace(&mut self.cookies, Index::new(self.seed)),
            group_users: std::mem::replace(&mut self.group_users, Index::new(self.seed)),
            meter_users: std::mem::replace(&mut self.meter_users, Index::new(self.seed)),
            learners: std::mem::take(&mut self.learners),
            shapes: std::mem::replace(&mut self.shapes, Shapes::new(&LAYOUT)),
            instructions: std::mem::replace(&mut self.instructions, Shared::new(self.seed)),
            timers: std::mem::take(&mut self.timers),
        }
    }

    /// The program as it was before its books were taken.
    pub fn copy(&self, books: Books) -> Program {
        let Books { cookies, group_users, meter_users, learners, shapes, instructions, timers } =
            books;
        Program {
            tables: self.tables.clone(),
            settings: self.settings.clone(),
            crowded: self.crowded.clone(),
            groups: self.groups.clone(),
            meters: self.meters.clone(),
            cookies,
            group_users,
            meter_users,
            learners,
            limits: self.limits.clone(),
            shapes,
            instructions,
            timers,
            fragments: self.fragments.clone(),
            tells_misses: self.tells_misses,
            in_band: self.in_band,
            options: self.options.clone(),
            seed: self.seed,
            next_id: self.next_id,
            version: self.version,
            touched: self.touched.clone(),
        }
    }
}
