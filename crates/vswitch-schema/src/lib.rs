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

/// The schema.
pub fn schema() -> Arc<ovsdb::Schema> {
    static SCHEMA: LazyLock<Arc<ovsdb::Schema>> = LazyLock::new(|| {
        let json =
            jsonrpc::Json::parse(&schema_text()).expect("the schema text is JSON: a test reads it");
        Arc::new(
            ovsdb::Schema::from_json(&json).expect("the schema text is a schema: a test reads it"),
        )
    });
    SCHEMA.clone()
}

#[cfg(test)]
mod tests;
