//! Two servers in one process, one of which follows the other.

use base::Instant;
use proptest::prelude::*;

use super::*;
use crate::rbac::Caller;
use crate::server::{Output, Server, SessionId, Time};
use crate::{Database, UuidSource};

const SCHEMA: &str = r#"{"name":"T","version":"1.0.0","tables":{
 "R":{"isRoot":true,"columns":{"i":{"type":"integer"},"s":{"type":{"key":"string","min":0,"max":1}},
   "is":{"type":{"key":"integer","min":0,"max":"unlimited"}},
   "sm":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}},
   "strong":{"type":{"key":{"type":"uuid","refTable":"C"},"min":0,"max":"unlimited"}},
   "weak":{"type":{"key":{"type":"uuid","refTable":"R","refType":"weak"},"min":0,"max":"unlimited"}}}},
 "C":{"columns":{"n":{"type":"integer"}}},
 "I":{"isRoot":true,"columns":{"n":{"type":"integer"}},"indexes":[["n"]]}}}"#;

const TIME: Time = Time { now: Instant::from_millis(1000), wall_ms: 1_700_000_000_000 };

fn schema() -> Arc<Schema> {
    Arc::new(Schema::from_json(&Json::parse(SCHEMA).unwrap()).unwrap())
}

fn messages(outputs: Vec<Output>) -> Vec<Message> {
    let text = outputs.into_iter().map(|output| match output {
        Output::Message(message) => message.to_string(),
        Output::Shared(text) => text.to_string(),
        Output::Pieces(pieces) => pieces.concat(),
        Output::Close(reason) => Message::notify("closed", [Json::from(reason)]).to_string(),
    });
    text.map(|text| Message::from_json(&Json::parse(&text).unwrap()).unwrap()).collect()
}

/// A server and what it has sent.
struct Host {
    server: Server,
    mail: BTreeMap<SessionId, VecDeque<Message>>,
}

impl Host {
    fn new(seed: u8, database: Option<Database>) -> Self {
        let mut server = Server::new([seed; 32]);
        if let Some(database) = database {
            server.add_database(database, None, TIME).unwrap();
        }
        Self { server, mail: BTreeMap::new() }
    }

    fn send(&mut self, client: SessionId, message: Message) {
        self.server.handle(client, message, TIME);
    }

    fn commit(&mut self) {
        self.server.commit(TIME);
        for (id, outputs) in self.server.take_outputs() {
            self.mail.entry(id).or_default().extend(messages(outputs));
        }
    }

    fn received(&mut self, client: SessionId) -> Vec<String> {
        self.commit();
        let mail = self.mail.remove(&client).unwrap_or_default();
        mail.iter().map(ToString::to_string).collect()
    }

    fn transact(&mut self, client: SessionId, operations: &str) {
        let params = Json::parse(&format!("[\"T\",{operations}]")).unwrap();
        let params = params.as_array().unwrap().to_vec();
        self.send(client, Message::request("x", "transact", params));
    }

    fn contents(&self) -> String {
        let db = self.server.database("T").unwrap();
        let rows = db.schema().table_ids().zip(db.schema().tables()).flat_map(|(id, table)| {
            db.table(id).rows().map(move |row| {
                let values = table.named_columns().map(|(id, c)| row.get(id).to_text(&c.ty));
                format!(
                    "{} {} {}\n",
                    table.name(),
                    row.uuid(),
                    values.collect::<Vec<_>>().join(" ")
                )
            })
        });
        let mut rows: Vec<String> = rows.collect();
        rows.sort();
        rows.concat()
    }
}

/// A source, a follower of it, and the connection between them.
struct Pair {
    source: Host,
    copy: Host,
    follower: Follower,
    link: Option<SessionId>,
    wholes: usize,
}

impl Pair {
    fn relay() -> Self {
        Self::relay_of(schema())
    }

    fn relay_of(schema: Arc<Schema>) -> Self {
        let source = Host::new(1, Some(Database::new(schema)));
        let mut copy = Host::new(2, None);
        copy.server.add_relay("T", TIME).unwrap();
        let follower = Follower::new("T", Purpose::Relay);
        Self { source, copy, follower, link: None, wholes: 0 }
    }

    fn backup(excluded: &[&str]) -> Self {
        let source = Host::new(1, Some(Database::new(schema())));
        let mut copy = Host::new(2, Some(Database::new(schema())));
        copy.server.set_backup(true);
        let purpose = Purpose::Backup {
            server: copy.server.id(),
            schema: schema(),
            excluded: excluded.iter().map(|name| (*name).to_owned()).collect(),
        };
        Self { source, copy, follower: Follower::new("T", purpose), link: None, wholes: 0 }
    }

    fn connect(&mut self) {
        self.disconnect();
        self.link = Some(self.source.server.connect("copy", false));
        self.follower.connected();
    }

    fn disconnect(&mut self) {
        if let Some(link) = self.link.take() {
            self.source.server.disconnect(link);
            self.source.mail.remove(&link);
        }
        self.follower.disconnected();
        self.copy.server.source_lost("T", TIME);
    }

    /// Moves messages until nobody has any more.
    fn settle(&mut self) -> Result<(), Trouble> {
        loop {
            self.copy.commit();
            if self.follower.is_live() {
                for forward in self.copy.server.take_forwards("T") {
                    self.follower.forward(forward);
                }
            }
            let Some(link) = self.link else { return Ok(()) };
            let mut moved = false;
            while let Some(message) = self.follower.next_outgoing() {
                self.source.send(link, message);
                moved = true;
            }
            self.source.commit();
            let mail = self.source.mail.remove(&link).unwrap_or_default();
            for message in mail {
                moved = true;
                if let Some(news) = self.follower.receive(message)? {
                    self.wholes += usize::from(matches!(news, News::Whole(..)));
                    self.copy.server.hear("T", news, TIME).unwrap();
                }
            }
            if !moved {
                return Ok(());
            }
        }
    }

    #[track_caller]
    fn check_equal(&self) {
        assert_eq!(self.copy.contents(), self.source.contents());
        let (copy, source) =
            (self.copy.server.database("T").unwrap(), self.source.server.database("T").unwrap());
        assert_eq!(copy.derived_summary(), source.derived_summary());
    }
}

const INSERT: &str =
    r#"{"op":"insert","table":"I","row":{"n":7},"uuid":"11111111-0000-0000-0000-000000000000"}"#;

#[test]
fn a_relay_passes_changes_on_and_answers_questions() {
    let mut pair = Pair::relay();
    let client = pair.copy.server.connect("client", false);
    let ask = |n: i64, method: &str, params: &str| {
        Message::request(n, method, Json::parse(params).unwrap().as_array().unwrap().to_vec())
    };
    pair.copy.send(client, ask(1, "get_schema", "[\"T\"]"));
    let refused = pair.copy.received(client);
    assert!(refused[0].contains("database not available"), "{refused:?}");
    assert!(
        refused[0].contains("which is not yet available because it has not completed"),
        "{refused:?}"
    );

    pair.connect();
    pair.settle().unwrap();
    pair.check_equal();
    // A client that did not expect databases to change was not sent away: it could not have known this one.
    pair.copy.send(client, ask(2, "monitor", r#"["T","m",{"I":[{"columns":["n"]}]}]"#));
    assert_eq!(pair.copy.received(client), [r#"{"error":null,"id":2,"result":{}}"#]);

    pair.copy.transact(client, INSERT);
    assert!(pair.copy.received(client).is_empty(), "the source is to answer");
    pair.settle().unwrap();
    let said = pair.copy.received(client);
    assert_eq!(
        said,
        [
            r#"{"id":null,"method":"update","params":["m",{"I":{"11111111-0000-0000-0000-000000000000":{"new":{"n":7}}}}]}"#,
            r#"{"error":null,"id":"x","result":[{"uuid":["uuid","11111111-0000-0000-0000-000000000000"]}]}"#,
        ],
        "who monitors hears of a change before who made it hears of its success"
    );
    pair.check_equal();

    pair.copy.transact(client, r#"{"op":"select","table":"I","where":[],"columns":["n"]}"#);
    assert_eq!(
        pair.copy.received(client),
        [r#"{"error":null,"id":"x","result":[{"rows":[{"n":7}]}]}"#]
    );
    pair.copy.transact(client, r#"{"op":"insert","table":"I","row":{"n":7}}"#);
    pair.settle().unwrap();
    assert!(pair.copy.received(client)[0].contains("identical values (7) for index"));
}

#[test]
fn a_relay_says_how_it_stands() {
    const ROW: &str = r#"["_Server",{"op":"select","table":"Database","where":[["name","==","T"]],"columns":["model","connected","leader","cid"]}]"#;
    let mut pair = Pair::relay();
    let client = pair.copy.server.connect("client", false);
    let row = |pair: &mut Pair| {
        let params = Json::parse(ROW).unwrap().as_array().unwrap().to_vec();
        pair.copy.send(client, Message::request("s", "transact", params));
        pair.copy.received(client).concat()
    };
    assert!(
        row(&mut pair)
            .contains(r#"{"cid":["set",[]],"connected":false,"leader":false,"model":"relay"}"#)
    );
    pair.connect();
    pair.settle().unwrap();
    assert!(row(&mut pair).contains(r#""connected":true,"leader":false,"model":"relay""#));
    // A source that comes back soon is not missed.
    pair.disconnect();
    assert!(row(&mut pair).contains(r#""connected":true"#));
    let end = pair.copy.server.next_deadline().unwrap();
    assert_eq!(end.since(TIME.now).as_secs(), 30);
    pair.copy.server.commit(Time { now: end, ..TIME });
    assert!(row(&mut pair).contains(r#""connected":false"#));
    pair.connect();
    pair.settle().unwrap();
    assert!(row(&mut pair).contains(r#""connected":true"#));
    assert_eq!(pair.copy.server.next_deadline(), None);
}

#[test]
fn requests_wait_for_the_source_and_are_canceled_when_it_goes() {
    let mut pair = Pair::relay();
    pair.connect();
    pair.settle().unwrap();
    pair.disconnect();
    let client = pair.copy.server.connect("client", false);
    pair.copy.transact(client, INSERT);
    assert!(pair.copy.received(client).is_empty());
    assert!(pair.copy.server.memory().contains(&("triggers", 1)));
    pair.connect();
    pair.settle().unwrap();
    assert!(pair.copy.received(client)[0].contains("11111111"));

    pair.copy.transact(client, r#"{"op":"delete","table":"I","where":[]}"#);
    for forward in pair.copy.server.take_forwards("T") {
        pair.follower.forward(forward);
    }
    pair.disconnect();
    assert_eq!(pair.copy.received(client), [r#"{"error":"canceled","id":"x","result":null}"#]);
    pair.copy.transact(client, INSERT);
    pair.copy.send(client, Message::notify("cancel", [Json::from("x")]));
    assert_eq!(pair.copy.received(client), [r#"{"error":"canceled","id":"x","result":null}"#]);
    // Whoever is gone needs no answer, and what it wanted is not done.
    pair.copy.transact(client, INSERT);
    pair.copy.server.disconnect(client);
    pair.connect();
    pair.settle().unwrap();
    assert!(!pair.copy.server.memory().iter().any(|(name, _)| *name == "triggers"));
}

#[test]
fn who_comes_back_hears_only_what_it_missed() {
    let mut pair = Pair::relay();
    let client = pair.source.server.connect("client", false);
    pair.connect();
    pair.settle().unwrap();
    pair.source.transact(client, INSERT);
    pair.settle().unwrap();
    assert_eq!(pair.wholes, 1);
    pair.disconnect();
    pair.source.transact(client, r#"{"op":"update","table":"I","where":[],"row":{"n":8}}"#);
    pair.source.transact(client, r#"{"op":"insert","table":"I","row":{"n":9}}"#);
    pair.source.commit();
    pair.connect();
    pair.settle().unwrap();
    assert_eq!(pair.wholes, 1);
    pair.check_equal();
    // A copy that is not to be trusted is replaced as a whole, and what is equal stays as it is.
    pair.follower.forget();
    pair.connect();
    pair.settle().unwrap();
    assert_eq!(pair.wholes, 2);
    pair.check_equal();
}

#[test]
fn clients_may_go_on_at_another_relay_of_the_same_source() {
    let mut pair = Pair::relay();
    let client = pair.source.server.connect("client", false);
    pair.connect();
    pair.source.transact(client, INSERT);
    pair.settle().unwrap();
    let monitor = |n: i64, last: &str| {
        let params = format!(r#"["T","m",{{"I":[{{"columns":["n"]}}]}},"{last}"]"#);
        let params = Json::parse(&params).unwrap().as_array().unwrap().to_vec();
        Message::request(n, "monitor_cond_since", params)
    };
    let at_source = pair.source.server.connect("reader", false);
    pair.source.send(at_source, monitor(1, "00000000-0000-0000-0000-000000000000"));
    let reply = Json::parse(&pair.source.received(at_source)[0]).unwrap();
    let last = reply.get("result").and_then(|r| r.at(1)).and_then(Json::as_str).unwrap().to_owned();
    assert_eq!(reply.get("result").unwrap().at(0), Some(&Json::Bool(false)));

    pair.source.transact(client, r#"{"op":"update","table":"I","where":[],"row":{"n":8}}"#);
    pair.settle().unwrap();
    let at_relay = pair.copy.server.connect("reader", false);
    pair.copy.send(at_relay, monitor(1, &last));
    let reply = pair.copy.received(at_relay).concat();
    assert!(reply.contains(r#"{"modify":{"n":8}}"#), "only what was missed: {reply}");
}

#[test]
fn a_relay_holds_its_clients_to_their_roles() {
    const ROLES: &str = r#"{"name":"T","version":"1.0.0","tables":{
      "RBAC_Role":{"isRoot":true,"columns":{"name":{"type":"string"},"permissions":{"type":{"key":"string",
        "value":{"type":"uuid","refTable":"P","refType":"weak"},"min":0,"max":"unlimited"}}}},
      "P":{"isRoot":true,"columns":{"table":{"type":"string"},"insert_delete":{"type":"boolean"},
        "authorization":{"type":{"key":"string","min":0,"max":"unlimited"}},
        "update":{"type":{"key":"string","min":0,"max":"unlimited"}}}},
      "H":{"isRoot":true,"columns":{"name":{"type":"string"},"n":{"type":"integer"}}}}}"#;
    let schema = Schema::from_json(&Json::parse(ROLES).unwrap()).unwrap();
    let mut pair = Pair::relay_of(Arc::new(schema));
    let owner = pair.source.server.connect("owner", false);
    pair.source.transact(
        owner,
        r#"{"op":"insert","table":"P","uuid-name":"p","row":{"table":"H","insert_delete":true,"authorization":"name","update":"n"}},
           {"op":"insert","table":"RBAC_Role","row":{"name":"worker","permissions":["map",[["H",["named-uuid","p"]]]]}}"#,
    );
    pair.connect();
    pair.settle().unwrap();
    let client = pair.copy.server.connect("client", false);
    let caller = Caller { role: "worker".to_owned(), name: Some("one".to_owned()) };
    pair.copy.server.set_caller(client, caller);
    pair.copy.transact(client, r#"{"op":"insert","table":"H","row":{"name":"two"}}"#);
    let refused = pair.copy.received(client).concat();
    assert!(refused.contains("prohibit row insertion into table"), "{refused}");
    pair.copy.transact(client, r#"{"op":"insert","table":"H","row":{"name":"one"}}"#);
    assert_eq!(pair.copy.contents(), pair.source.contents(), "the trial left nothing behind");
    pair.settle().unwrap();
    assert!(pair.copy.received(client).concat().contains("uuid"));
    pair.check_equal();
    let convert = [Json::from("T"), Json::parse(ROLES).unwrap()];
    pair.copy.send(client, Message::request(9, "convert", convert));
    assert!(pair.copy.received(client).concat().contains("only the root role may convert"));
}

#[test]
fn another_schema_is_followed() {
    let mut pair = Pair::relay();
    pair.connect();
    pair.settle().unwrap();
    let unaware = pair.copy.server.connect("unaware", false);
    let client = pair.copy.server.connect("client", false);
    pair.copy.send(client, Message::request(1, "set_db_change_aware", [Json::Bool(true)]));
    pair.copy.received(client);
    let newer = Json::parse(&SCHEMA.replace("1.0.0", "2.0.0").replace(
        r#""I":{"isRoot""#,
        r#""J":{"isRoot":true,"columns":{"x":{"type":"integer"}}},"I":{"isRoot""#,
    ))
    .unwrap();
    pair.copy.send(client, Message::request(2, "convert", [Json::from("T"), newer]));
    pair.settle().unwrap();
    assert_eq!(pair.copy.received(client), [r#"{"error":null,"id":2,"result":{}}"#]);
    assert!(pair.copy.received(unaware)[0].contains("committed T database schema conversion"));
    assert_eq!(pair.copy.server.database("T").unwrap().schema().version(), "2.0.0");
    let local = pair.source.server.connect("local", false);
    pair.source.transact(local, r#"{"op":"insert","table":"J","row":{"x":1}}"#);
    pair.settle().unwrap();
    pair.check_equal();
}

#[test]
fn a_removed_database_is_looked_for_elsewhere() {
    let mut pair = Pair::relay();
    pair.connect();
    pair.settle().unwrap();
    pair.source.server.remove_database("T", TIME);
    let why = "server does not have T database; trying another server".to_owned();
    assert_eq!(pair.settle(), Err(Trouble::Retry(why)));
}

#[test]
fn a_backup_follows_all_but_what_is_excluded_and_lets_nobody_else_write() {
    let mut pair = Pair::backup(&["I"]);
    let client = pair.source.server.connect("client", false);
    pair.source.transact(client, INSERT);
    pair.source.transact(client, r#"{"op":"insert","table":"R","row":{"i":1}}"#);
    pair.connect();
    pair.settle().unwrap();
    assert_eq!(pair.copy.contents().lines().count(), 1);
    let local = pair.copy.server.connect("local", false);
    pair.copy.transact(local, INSERT);
    assert!(
        pair.copy.received(local)[0]
            .contains("insert operation not allowed when database server is in read only mode")
    );
    pair.copy.send(local, Message::request(1, "lock", [Json::from("l")]));
    assert_eq!(
        pair.copy.received(local),
        [
            r#"{"error":"lock and unlock methods not allowed, DB server is read only.","id":1,"result":null}"#
        ]
    );
    // Promoted, it takes changes; its own table stayed what it was.
    pair.disconnect();
    pair.copy.server.set_backup(false);
    pair.copy.transact(local, INSERT);
    assert!(pair.copy.received(local)[0].contains("11111111"));
    pair.copy.server.set_backup(true);
    pair.connect();
    pair.settle().unwrap();
    assert_eq!(pair.copy.contents().lines().count(), 2);
}

#[test]
fn a_backup_refuses_itself_and_what_it_has_no_room_for() {
    let mut pair = Pair::backup(&[]);
    pair.copy.server = Server::new([1; 32]);
    let server = pair.source.server.id();
    let purpose = Purpose::Backup { server, schema: schema(), excluded: BTreeSet::default() };
    pair.follower = Follower::new("T", purpose);
    pair.connect();
    let why = "Server ID check failed: Self replicating is not allowed".to_owned();
    assert_eq!(pair.settle(), Err(Trouble::Hopeless(why)));

    let smaller = SCHEMA.replace(r#""n":{"type":"integer"}},"indexes":[["n"]]"#, "}");
    assert!(smaller.len() < SCHEMA.len());
    let smaller = SCHEMA.replace(r#""sm":"#, r#""sn":"#);
    let smaller = Arc::new(Schema::from_json(&Json::parse(&smaller).unwrap()).unwrap());
    let mut pair = Pair::backup(&[]);
    let server = pair.copy.server.id();
    let purpose = Purpose::Backup { server, schema: smaller, excluded: BTreeSet::default() };
    pair.follower = Follower::new("T", purpose);
    pair.connect();
    assert_eq!(pair.settle(), Err(Trouble::Hopeless("T cannot be replicated.".to_owned())));
}

#[test]
fn nonsense_is_an_error_and_changes_nothing() {
    let mut db = Database::new(schema());
    let mut uuids = UuidSource::from_seed([3; 32]);
    let whole = r#"{"I":{"11111111-0000-0000-0000-000000000000":{"insert":{"n":7}}}}"#;
    let whole = Update::new(None, Json::parse(whole).unwrap(), Shape::Differences);
    assert_eq!(whole.apply(&mut db, &mut uuids).unwrap().rows.len(), 1);
    let before = db.derived_summary();
    for bad in [
        "[]",
        r#"{"Z":{}}"#,
        r#"{"I":[]}"#,
        r#"{"I":{"x":{"delete":null}}}"#,
        r#"{"I":{"22222222-0000-0000-0000-000000000000":{"delete":null}}}"#,
        r#"{"I":{"22222222-0000-0000-0000-000000000000":{"modify":{"n":1}}}}"#,
        r#"{"I":{"22222222-0000-0000-0000-000000000000":{"insert":{"n":7}}}}"#,
        r#"{"I":{"22222222-0000-0000-0000-000000000000":{"insert":{"n":"x"}}}}"#,
        r#"{"I":{"22222222-0000-0000-0000-000000000000":{"insert":{"m":1}}}}"#,
        r#"{"I":{"11111111-0000-0000-0000-000000000000":{"modify":{"n":["set",[1,2]]}}}}"#,
        r#"{"I":{"11111111-0000-0000-0000-000000000000":{}}}"#,
        r#"{"C":{"11111111-0000-0000-0000-000000000000":{"insert":{"n":1}}},"I":3}"#,
    ] {
        let update = Update::new(None, Json::parse(bad).unwrap(), Shape::Differences);
        assert!(update.apply(&mut db, &mut uuids).is_err(), "{bad}");
        assert_eq!(db.derived_summary(), before, "{bad}");
    }
}

fn operation() -> impl Strategy<Value = String> {
    let row = || {
        (any::<u8>(), prop::collection::btree_set(0_u8..20, 0..6), any::<bool>()).prop_map(
            |(i, is, s)| {
                let is: Vec<String> = is.iter().map(ToString::to_string).collect();
                let s = if s { "\"x\"".to_owned() } else { r#"["set",[]]"#.to_owned() };
                format!(
                    r#"{{"i":{},"is":["set",[{}]],"s":{s},"sm":["map",[["k{}","{i}"]]]}}"#,
                    i % 4,
                    is.join(","),
                    i % 3
                )
            },
        )
    };
    let filter = || (0_u8..4).prop_map(|i| format!(r#"[["i","==",{i}]]"#));
    prop_oneof![
        row().prop_map(|row| format!(r#"{{"op":"insert","table":"R","row":{row}}}"#)),
        (row(), filter()).prop_map(|(row, filter)| format!(
            r#"{{"op":"update","table":"R","where":{filter},"row":{row}}}"#
        )),
        (filter(), 0_u8..30).prop_map(|(filter, n)| format!(
            r#"{{"op":"mutate","table":"R","where":{filter},"mutations":[["is","insert",{n}]]}}"#
        )),
        filter().prop_map(|filter| format!(r#"{{"op":"delete","table":"R","where":{filter}}}"#)),
        (0_u8..9).prop_map(|n| format!(r#"{{"op":"insert","table":"I","row":{{"n":{n}}}}}"#)),
        (0_u8..9).prop_map(|n| format!(r#"{{"op":"delete","table":"I","where":[["n","<",{n}]]}}"#)),
        (filter(), any::<u8>()).prop_map(|(filter, n)| format!(
            r#"{{"op":"insert","table":"C","row":{{"n":{n}}},"uuid-name":"c"}},
               {{"op":"insert","table":"R","row":{{"i":{},"strong":["named-uuid","c"],"weak":["named-uuid","w"]}},"uuid-name":"w"}},
               {{"op":"mutate","table":"R","where":{filter},"mutations":[["strong","insert",["set",[["named-uuid","c"]]]],
                 ["weak","insert",["set",[["named-uuid","w"]]]]]}}"#,
            n % 4
        )),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    AtSource(String),
    AtCopy(String),
    Settle,
    Disconnect,
    Connect,
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => operation().prop_map(Step::AtSource),
        3 => operation().prop_map(Step::AtCopy),
        3 => Just(Step::Settle),
        1 => Just(Step::Disconnect),
        2 => Just(Step::Connect),
        1 => Just(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However connections come and go, in the end the copy is equal, to its references and indexes.
    #[test]
    fn copies_end_up_equal(steps in prop::collection::vec(step(), 1..60), relay: bool) {
        let mut pair = if relay { Pair::relay() } else { Pair::backup(&[]) };
        let (at_source, at_copy) =
            (pair.source.server.connect("s", false), pair.copy.server.connect("c", false));
        pair.connect();
        for step in steps {
            match step {
                Step::AtSource(operations) => pair.source.transact(at_source, &operations),
                Step::AtCopy(operations) => pair.copy.transact(at_copy, &operations),
                Step::Settle => pair.settle().unwrap(),
                Step::Disconnect => pair.disconnect(),
                Step::Connect => pair.connect(),
                Step::Forget => pair.follower.forget(),
            }
        }
        pair.connect();
        pair.settle().unwrap();
        pair.check_equal();
    }

    /// Nothing that a source may say makes a follower panic.
    #[test]
    fn whatever_is_said_is_survived(ids in prop::collection::vec((0_i64..6, 0_usize..10), 0..20)) {
        const WORDS: [&str; 10] = ["null", "{}", "[]", "[true,\"x\",{}]", "{\"Database\":{\"x\":{\"insert\":{\"name\":\"T\"}}}}",
            "{\"Database\":{\"x\":{\"initial\":{\"name\":\"T\",\"connected\":true,\"model\":\"standalone\",\"schema\":\"{}\"}}}}",
            "{\"Database\":{\"x\":{\"delete\":null}}}", "\"11111111-0000-0000-0000-000000000000\"", "7", "[false,7,null]"];
        let mut follower = Follower::new("T", Purpose::Relay);
        follower.connected();
        for (id, word) in ids {
            let word = Json::parse(&format!("[{}]", WORDS[word])).unwrap().at(0).cloned().unwrap();
            let _ = follower.receive(Message::Reply { id: id.into(), result: word.clone() });
            let _ = follower.receive(Message::Error { id: id.into(), error: word.clone() });
            let _ = follower.receive(Message::notify("update3", [Json::from(id), word.clone(), word.clone()]));
            let _ = follower.receive(Message::notify("update2", [Json::from("server"), word.clone()]));
            let _ = follower.receive(Message::notify("monitor_canceled", [word]));
        }
    }
}
