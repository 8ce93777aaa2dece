//! What a server says of one of its databases in `_Server` (ovsdb-server(5)), and whether that will do.

use jsonrpc::{Json, json};

use crate::Uuid;

/// The row of `_Server`'s table `Database` about one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    present: bool,
    model: String,
    connected: bool,
    leader: bool,
    schema: Option<String>,
    cluster: Option<Uuid>,
    index: Option<i64>,
}

/// What is asked of a server besides having the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// It leads its cluster, if it is in one, and is no relay: what it says is never stale.
    pub leader: bool,
    /// The cluster that the database is to be of; `None`: of any, or of none.
    pub cluster: Option<Uuid>,
}

/// The newest state of a clustered database that was seen, on whatever server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    cluster: Option<Uuid>,
    index: i64,
}

impl Description {
    /// The parameters of the `monitor_cond` request by which a server keeps telling of `database`. It goes by `id`. The schema's text
    /// is long; it is asked for only `with_schema`.
    pub fn request(id: &str, database: &str, with_schema: bool) -> Vec<Json> {
        let mut columns = vec!["name", "model", "connected", "leader", "cid", "index"];
        if with_schema {
            columns.push("schema");
        }
        let columns: Json = columns.into_iter().collect();
        let condition = json!([["name", "==", database]]);
        let tables = json!({"Database": [{"columns": columns, "where": condition}]});
        vec![Json::from("_Server"), Json::from(id), tables]
    }

    /// Takes in what a monitor says: `<table-updates2>`.
    pub fn update(&mut self, updates: &Json, database: &str) {
        let Some(rows) = updates.get("Database").and_then(Json::as_object) else { return };
        for (_, update) in rows {
            if update.get("delete").is_some() {
                *self = Self::default();
            } else if let Some(row) = update.get("initial").or_else(|| update.get("insert")) {
                if row.get("name").and_then(Json::as_str) == Some(database) {
                    *self = Self { present: true, ..Self::default() };
                    self.take(row);
                }
            } else if let Some(row) = update.get("modify") {
                self.take(row);
            }
        }
    }

    /// The schema's text, if it was asked for and the server has one.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Why the server will not do now, if that is so.
    pub fn deficiency(&self, database: &str, demands: &Demands, newest: &Newest) -> Option<String> {
        let why = match (&*self.model, self.connected) {
            _ if !self.present => return Some(format!("server does not have {database} database")),
            _ if demands.cluster.is_some_and(|wanted| self.cluster != Some(wanted)) => {
                "database is of another cluster"
            }
            ("clustered", false) => "clustered database server is disconnected from cluster",
            ("relay", false) => "relay database server is disconnected from the relay source",
            ("clustered", _) if demands.leader && !self.leader => {
                "clustered database server is not cluster leader"
            }
            (_, _) if demands.leader && !self.leader => "relay database server is never the leader",
            _ if self.is_older_than(newest) => "clustered database server has stale data",
            _ => return None,
        };
        Some(why.to_owned())
    }

    /// Why the server has no schema to follow, if that is so: [`Description::request`] must have asked for it.
    pub(super) fn missing_schema(&self) -> Option<String> {
        let why = match &*self.model {
            _ if self.schema.is_some() || !self.present => return None,
            "clustered" => "clustered database server has not yet joined cluster",
            "relay" => "relay database server has not yet connected to the relay source",
            _ => "server has no schema yet",
        };
        Some(format!("{why}; trying another server"))
    }

    /// Whether a newer state was seen. Indexes of different clusters say nothing of each other.
    fn is_older_than(&self, newest: &Newest) -> bool {
        self.cluster == newest.cluster && self.index.is_some_and(|index| index < newest.index)
    }

    /// In a difference, too, a changed column that holds at most one value is given as its new value, and one that became
    /// empty as an empty set.
    fn take(&mut self, row: &Json) {
        if let Some(model) = row.get("model").and_then(Json::as_str) {
            model.clone_into(&mut self.model);
        }
        if let Some(connected) = row.get("connected").and_then(Json::as_bool) {
            self.connected = connected;
        }
        if let Some(leader) = row.get("leader").and_then(Json::as_bool) {
            self.leader = leader;
        }
        if let Some(schema) = row.get("schema") {
            self.schema = schema.as_str().map(str::to_owned);
        }
        if let Some(cluster) = row.get("cid") {
            self.cluster = cluster.at(1).and_then(Json::as_str).and_then(|id| id.parse().ok());
        }
        if let Some(index) = row.get("index") {
            self.index = index.as_i64();
        }
    }
}

impl Newest {
    /// A server that will do was seen.
    pub fn see(&mut self, description: &Description) {
        if let Some(index) = description.index {
            *self = Self { cluster: description.cluster, index };
        }
    }
}
