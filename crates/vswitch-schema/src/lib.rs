//! The Open_vSwitch database: its schema, its rows as structs, and the table of what can be set in it.
//!
//! # What and why
//! Everything that configures the switch is in this database, and everything that drives a switch (ovs-vsctl, OVN, Neutron,
//! scripts) knows its tables by name. So the schema is a fixed fact, that of Open vSwitch 4.0 (version 8.8.0); what is ours is one
//! definition of it that feeds everything.
//!
//! # Rooms
//! - [`tables`]: the nineteen tables, each written once: struct, schema entry and one-line description;
//! - [`schema`] and [`schema_text`]: the whole as `ovsdb` understands it, and as the text of a schema file;
//! - [`settings`]: the keys inside the string maps (`options`, `other_config` ..), with the values they take;
//! - [`describe`], [`column`]: the vocabulary that the tables are written in.

mod build;
pub mod column;
pub mod describe;
pub mod settings;
pub mod tables;

use std::sync::{Arc, LazyLock};

pub use column::{Column, IntMap, Row, Scalar, StringMap};
pub use tables::{TABLES, table_named};

/// The database's name.
pub const DATABASE: &str = "Open_vSwitch";
/// The schema's version.
pub const VERSION: &str = "8.8.0";

/// The schema as the text of a schema file, such as `ovsdb-tool create` takes.
pub fn schema_text() -> String {
    describe::schema_text(DATABASE, VERSION, &TABLES)
}

/// The schema, for clients. It has no checksum: who makes a database file takes [`schema_text`].
pub fn schema() -> Arc<ovsdb::Schema> {
    static SCHEMA: LazyLock<Arc<ovsdb::Schema>> = LazyLock::new(|| {
        let schema = build::schema(DATABASE, VERSION, "", &TABLES);
        Arc::new(schema.expect("the tables make a schema: a test builds it"))
    });
    SCHEMA.clone()
}

#[cfg(test)]
mod tests;
