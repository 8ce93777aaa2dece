//! Which tunnel options are which fields.

/// An option and the field that it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlvMap {
    /// The option's class.
    pub class: u16,
    /// The option's type.
    pub kind: u8,
    /// Bytes of its value.
    pub len: u8,
    /// The number of its field.
    pub index: u16,
}

/// What to do with the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum TlvCommand {
    Add,
    Delete,
    Clear,
}

/// A change of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlvTableMod {
    /// What to do.
    pub command: TlvCommand,
    /// With what.
    pub maps: Vec<TlvMap>,
}

/// The table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlvTable {
    /// Bytes that all options together can have.
    pub max_space: u32,
    /// How many there can be.
    pub max_fields: u16,
    /// What is there.
    pub maps: Vec<TlvMap>,
}
