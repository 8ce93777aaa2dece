//! Which keys the server uses for TLS: files named by options, or by columns of a database that it serves.

use ovsdb::server::Server as Database;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use stream::tls::{Settings, Trust};

use crate::remotes::find_column;

/// Options about keys as they were given. A file's name may be `db:DATABASE,TABLE,COLUMN`: then it is in that column.
#[derive(Clone, Debug, Default)]
pub struct KeyOptions {
    private_key: Option<String>,
    certificate: Option<String>,
    ca_cert: Option<(String, bool)>,
    /// What is no file, or cannot be in a database.
    others: Settings,
}

impl KeyOptions {
    /// Those that the `SSL` table of the database `Open_vSwitch` names.
    pub fn of_switch() -> KeyOptions {
        let column = |name: &str| format!("db:Open_vSwitch,SSL,{name}");
        KeyOptions {
            private_key: Some(column("private_key")),
            certificate: Some(column("certificate")),
            ca_cert: Some((column("ca_cert"), true)),
            others: Settings::default(),
        }
    }

    /// Takes the option `--NAME=VALUE`; says whether it is one about keys.
    pub fn take(&mut self, name: &str, value: &str) -> Result<bool, String> {
        match name {
            "private-key" => self.private_key = Some(from_here(value)),
            "certificate" => self.certificate = Some(from_here(value)),
            "ca-cert" => self.ca_cert = Some((from_here(value), false)),
            "bootstrap-ca-cert" => self.ca_cert = Some((from_here(value), true)),
            _ => return self.others.take(name, value),
        }
        Ok(true)
    }

    /// An error if an option refers to a column that is not there.
    pub(crate) fn check(&self, db: &Database) -> Result<(), String> {
        let mut columns = self.names().filter(|name| name.starts_with("db:"));
        columns.try_for_each(|name| match find_column(name, db)?.is_text(db) {
            true => Ok(()),
            false => Err(not_text(name)),
        })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let ca_cert = self.ca_cert.as_ref().map(|(text, _)| text);
        self.private_key.iter().chain(&self.certificate).chain(ca_cert).map(String::as_str)
    }

    /// The files at present.
    pub(crate) fn settings(&self, db: &Database) -> Settings {
        let name = |option: &Option<String>| option.as_deref().and_then(|text| look_up(text, db));
        let ca_cert = self
            .ca_cert
            .as_ref()
            .and_then(|(text, bootstrap)| Some(Trust::in_file(&look_up(text, db)?, *bootstrap)));
        Settings {
            private_key: name(&self.private_key).map(Into::into),
            certificate: name(&self.certificate).map(Into::into),
            trust: ca_cert.unwrap_or_default(),
            ..self.others.clone()
        }
    }

    /// The databases that are asked.
    pub(crate) fn databases(&self) -> BTreeSet<Arc<str>> {
        let all = self.names();
        all.filter_map(|text| Some(text.strip_prefix("db:")?.split(',').next()?.into())).collect()
    }
}

/// The complaint about a column that cannot hold a file's name.
fn not_text(option: &str) -> String {
    let mut words = option.splitn(3, ',').skip(1);
    let (table, column) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    format!("\"{option}\": table \"{table}\" column \"{column}\" is not string or set of strings")
}

/// The value of an option with a file's name made absolute: the server will not stay in the directory it was started in.
fn from_here(value: &str) -> String {
    let is_file = !value.starts_with("db:") && value != "none" && !value.is_empty();
    if !is_file {
        return value.to_owned();
    }
    observe::dirs::absolute(Path::new(value)).display().to_string()
}

/// What an option stands for: itself, or the first text that a column of the database holds. A column that is not there is
/// like one that holds nothing: the database may come later.
fn look_up(option: &str, db: &Database) -> Option<String> {
    let Some(place) = option.strip_prefix("db:") else { return Some(option.to_owned()) };
    let mut words = place.splitn(3, ',');
    let (database, table, column) = (words.next()?, words.next()?, words.next()?);
    let contents = db.database(database)?;
    let table = contents.schema().table_id(table)?;
    let column = contents.schema().table(table).column_id(column)?;
    let mut texts = contents.table(table).rows().filter_map(|row| row.get(column).as_str());
    texts.find(|text| !text.is_empty()).map(str::to_owned)
}
