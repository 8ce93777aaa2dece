//! `convert`: another schema for a database that is in use (ovsdb-server(7) section 4.1.19).

use std::sync::Arc;

use jsonrpc::{Json, Object};

use super::Server;
use super::commit::access;
use super::hosted::Hosted;
use super::methods::{Answer, Request};
use crate::execute::Access;
use crate::{Error, ErrorKind, Schema};

impl Server {
    /// `convert`
    pub(super) fn convert(&mut self, request: &Request<'_>) -> Answer {
        let caller =
            self.sessions.get(request.session).and_then(|session| session.caller.as_deref());
        if let (Some(caller), Ok(name)) = (caller, self.database_name(request)) {
            return Answer::Failed(caller.may_not_convert(&name));
        }
        if let Some(name) = self.relayed(request) {
            return self.forward(&name, "convert", request);
        }
        match self.convert_database(request) {
            Err(error) => Answer::Failed(error),
            Ok(name) => {
                // The reply comes before the end of the connection.
                let done = Json::Object(Object::new());
                self.answer(request.session, request.id.clone(), Ok(done));
                self.disconnect_unaware(&format!("committed {name} database schema conversion"));
                self.commit(request.time);
                Answer::Later
            }
        }
    }

    fn convert_database(&mut self, request: &Request<'_>) -> Result<Arc<str>, Error> {
        let name = self.database_name(request)?;
        let [_, schema_json] = &request.params[..] else {
            return Err(request.syntax_error("array expected"));
        };
        let schema = Arc::new(Schema::from_json(schema_json)?);
        if *schema.name() != name {
            let details = format!(
                "new schema name ({}) does not match database name ({name})",
                schema.name()
            );
            return Err(Error::new(ErrorKind::InvalidParameters, details));
        }
        let session = self.sessions.get(request.session);
        if access(&name, self.is_backup, session) != Access::ReadWrite {
            return Err(Error::new(
                ErrorKind::NotAllowed,
                format!("cannot convert {name} database"),
            ));
        }
        self.commit(request.time);
        let hosted =
            self.databases.get_mut(&name).ok_or_else(|| Error::bare(ErrorKind::Internal))?;
        let db = hosted.db.convert(schema, &mut self.uuids)?;
        if let Some(log) = &mut hosted.log {
            log.compact(&db, "converted by ovsdb-server", request.time.wall_ms, request.time.now)?;
        }
        self.cancel_clients_of(&name);
        if let Some(old) = self.databases.remove(&name) {
            self.databases.insert(Arc::clone(&name), Hosted::new(db, old.log));
        }
        self.describe_databases();
        Ok(name)
    }
}
