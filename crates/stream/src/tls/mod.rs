//! TLS, for `ssl:` and `pssl:` endpoints: both ends show certificates, and each believes what an authority that it is told of
//! has signed.
//!
//! # Design
//! A program has one [`Keys`], made from its [`Settings`] (options, or the database's SSL table), and hands it to whoever opens
//! endpoints. A [`Stream`](crate::Stream) on such an endpoint counts as connected when the handshake is done; until then, and
//! afterwards, it never blocks and never asks its owner to know that there is TLS. The cryptography is rustls' and ring's, so
//! there are TLS 1.2 and 1.3 and only ciphers with forward secrecy and authenticated encryption.
//!
//! What a failure was the log says, under `stream_ssl`, with the peer's name; callers get the error number that Open vSwitch's
//! callers get. Lines about failures are limited in rate: anybody may knock.
//!
//! Read in this order: `settings`, `keys`, `verify`, `channel`.

mod channel;
mod ciphers;
mod keys;
mod protocols;
mod settings;
mod subject;
mod verify;
mod words;

pub(crate) use channel::{Channel, Handshake};
pub use ciphers::Ciphers;
pub use keys::Keys;
pub use protocols::Protocols;
pub use settings::{Settings, Trust};
