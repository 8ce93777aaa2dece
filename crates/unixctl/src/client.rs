//! The caller's end of the control socket.

use jsonrpc::client::{ClientError, connect_failure};
use jsonrpc::{Json, json};
use std::path::Path;
use stream::Endpoint;

/// A connection to a daemon's control socket.
pub struct Client(jsonrpc::Client);

/// The daemon answered with an error; its text, usually with a newline at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl Client {
    /// Connects to the socket at `path`. An error is the operating system's words.
    pub fn connect(path: &Path) -> Result<Client, String> {
        let clock = base::Clock::real();
        let client = jsonrpc::Client::connect(&Endpoint::Unix(path.to_owned()), &clock, None);
        client.map(Client).map_err(|e| connect_failure(&e))
    }

    /// Asks for JSON results from here on. Daemons before Open vSwitch 3.5 refuse.
    pub fn want_json(&mut self) -> Result<Result<(), Refused>, String> {
        Ok(self.transact("set-options", ["--format", "json"])?.map(drop))
    }

    /// Runs a command. The outer error says why the connection failed, the inner one is the daemon's.
    pub fn transact<'a>(
        &mut self,
        command: &str,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Result<Result<Json, Refused>, String> {
        let params: Vec<Json> = args.into_iter().map(|a| json!(a)).collect();
        match self.0.transact(command, params) {
            Ok(result) => Ok(Ok(result)),
            Err(ClientError::Refused(Json::String(text))) => Ok(Err(Refused(text.to_string()))),
            Err(ClientError::Refused(other)) => Ok(Err(Refused(other.to_string()))),
            Err(error) => Err(error.to_string()),
        }
    }
}
