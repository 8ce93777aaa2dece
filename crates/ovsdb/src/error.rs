//! Errors as OVSDB clients see them.
//!
//! RFC 7047 sends an error as an object with `error` (a fixed word, here [`ErrorKind`]), `details` (a sentence for
//! people) and, by Open vSwitch's extension, `syntax` (the piece of JSON that was wrong). People and programs grep for
//! these texts, so they are kept as Open vSwitch writes them.

use std::fmt;

use jsonrpc::Json;

/// The fixed word that classifies an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is named after its text in `as_str`")]
pub enum ErrorKind {
    Syntax,
    UnknownColumn,
    UnknownDatabase,
    NotAvailable,
    UnknownTable,
    UnknownFunction,
    UnknownMutator,
    ConstraintViolation,
    ReferentialIntegrityViolation,
    DomainError,
    RangeError,
    DuplicateUuidName,
    DuplicateUuid,
    Ovsdb,
    Aborted,
    NotOwner,
    TimedOut,
    Io,
    NotAllowed,
    Permission,
    NotSupported,
    InvalidParameters,
    Canceled,
    Closed,
    ResourcesExhausted,
    Internal,
}

impl ErrorKind {
    /// The text of the `error` member.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax error",
            Self::UnknownColumn => "unknown column",
            Self::UnknownDatabase => "unknown database",
            Self::NotAvailable => "database not available",
            Self::UnknownTable => "unknown table",
            Self::UnknownFunction => "unknown function",
            Self::UnknownMutator => "unknown mutator",
            Self::ConstraintViolation => "constraint violation",
            Self::ReferentialIntegrityViolation => "referential integrity violation",
            Self::DomainError => "domain error",
            Self::RangeError => "range error",
            Self::DuplicateUuidName => "duplicate uuid-name",
            Self::DuplicateUuid => "duplicate uuid",
            Self::Ovsdb => "ovsdb error",
            Self::Aborted => "aborted",
            Self::NotOwner => "not owner",
            Self::TimedOut => "timed out",
            Self::Io => "I/O error",
            Self::NotAllowed => "not allowed",
            Self::Permission => "permission error",
            Self::NotSupported => "not supported",
            Self::InvalidParameters => "invalid parameters",
            Self::Canceled => "canceled",
            Self::Closed => "database closed",
            Self::ResourcesExhausted => "resources exhausted",
            Self::Internal => "internal error",
        }
    }
}

/// Why a request, a value, a schema or a file was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    details: Option<String>,
    syntax: Option<String>,
    os_error: Option<String>,
}

impl Error {
    /// An error with its sentence.
    pub fn new(kind: ErrorKind, details: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, details: Some(details.into()), syntax: None, os_error: None }))
    }

    /// An error whose kind says it all.
    pub fn bare(kind: ErrorKind) -> Self {
        Self(Box::new(Inner { kind, details: None, syntax: None, os_error: None }))
    }

    /// A [`ErrorKind::Syntax`] error about `json`.
    pub fn syntax(json: &Json, details: impl Into<String>) -> Self {
        Self::new(ErrorKind::Syntax, details).about(json)
    }

    /// A failed system call; `details` says what was being done to which file.
    pub fn io(details: impl Into<String>, source: &std::io::Error) -> Self {
        let mut error = Self::new(ErrorKind::Io, details);
        error.0.os_error = Some(os_error_text(source));
        error
    }

    /// Adds what the system said, where it did not say it by an error of its own.
    #[must_use]
    pub(crate) fn with_os_error(mut self, text: &str) -> Self {
        self.0.os_error = Some(text.to_owned());
        self
    }

    /// Puts `context` in front of the sentence.
    #[must_use]
    pub fn context(mut self, context: &str) -> Self {
        let details = self.0.details.take().unwrap_or_default();
        self.0.details = Some(format!("{context}: {details}"));
        self
    }

    /// Adds the piece of JSON that the error is about.
    #[must_use]
    pub fn about(mut self, json: &Json) -> Self {
        self.0.syntax = Some(json.to_string());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence, if there is one.
    pub fn details(&self) -> Option<&str> {
        self.0.details.as_deref()
    }

    /// The error as the object that RFC 7047 section 3.1 describes (`<error>`).
    pub fn to_json(&self) -> Json {
        let mut members = vec![("error", self.0.kind.as_str())];
        members.extend(self.0.details.as_deref().map(|text| ("details", text)));
        members.extend(self.0.syntax.as_deref().map(|text| ("syntax", text)));
        members.extend(self.0.os_error.as_deref().map(|text| ("io-error", text)));
        Json::object(members)
    }
}

/// `strerror` text without the "(os error N)" that `std` appends.
pub(crate) fn os_error_text(source: &std::io::Error) -> String {
    let text = source.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(syntax) = &self.0.syntax {
            write!(f, "syntax \"{syntax}\": ")?;
        }
        f.write_str(self.0.kind.as_str())?;
        if let Some(details) = &self.0.details {
            write!(f, ": {details}")?;
        }
        if let Some(os_error) = &self.0.os_error {
            write!(f, " ({os_error})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
