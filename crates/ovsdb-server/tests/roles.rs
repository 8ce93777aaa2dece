//! Role-based access control, by clients that are told apart by their certificates: the same answers from our server and from
//! Open vSwitch's, which is skipped where it is not installed.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use base::Clock;
use jsonrpc::client::ClientError;
use jsonrpc::{Client, Json};
use stream::tls::{Settings, Trust};
use stream::{Endpoint, Keys};
use support::{DEBIANS, OURS, Server, wait_for};

const SCHEMA: &str = r#"{"name":"T","version":"1.0.0","tables":{
 "RBAC_Role":{"isRoot":true,"columns":{"name":{"type":"string"},"permissions":{"type":{"key":"string",
   "value":{"type":"uuid","refTable":"RBAC_Permission","refType":"weak"},"min":0,"max":"unlimited"}}}},
 "RBAC_Permission":{"isRoot":true,"columns":{"table":{"type":"string"},"insert_delete":{"type":"boolean"},
   "authorization":{"type":{"key":"string","min":0,"max":"unlimited"}},
   "update":{"type":{"key":"string","min":0,"max":"unlimited"}}}},
 "Global":{"isRoot":true,"columns":{"n":{"type":"integer"},
   "connections":{"type":{"key":{"type":"uuid","refTable":"Connection"},"min":0,"max":"unlimited"}}}},
 "Connection":{"columns":{"target":{"type":"string"},"role":{"type":"string"},"status":{"ephemeral":true,
   "type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}},
 "Host":{"isRoot":true,"columns":{"name":{"type":"string"},"n":{"type":"integer"},"secret":{"type":"integer"},
   "names":{"type":{"key":"string","min":0,"max":"unlimited"}},
   "ids":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}},
 "Open":{"isRoot":true,"columns":{"n":{"type":"integer"},"m":{"type":"integer"}}}}}"#;

/// Who may do what, and two rows.
const RULES: &str = r#"["T",
 {"op":"insert","table":"RBAC_Permission","uuid-name":"h","row":{"table":"Host","insert_delete":true,
   "authorization":["set",["name","names","ids:owner"]],"update":["set",["n","ids","ids:x"]]}},
 {"op":"insert","table":"RBAC_Permission","uuid-name":"o","row":{"table":"Open","insert_delete":false,
   "authorization":"","update":["set",["n"]]}},
 {"op":"insert","table":"RBAC_Role","row":{"name":"worker","permissions":["map",
   [["Host",["named-uuid","h"]],["Open",["named-uuid","o"]]]]}},
 {"op":"insert","table":"Connection","uuid-name":"a","row":{"target":"pssl:0:127.0.0.1","role":"worker"}},
 {"op":"insert","table":"Connection","uuid-name":"b","row":{"target":"pssl:0:127.0.0.2","role":"nobody"}},
 {"op":"insert","table":"Connection","uuid-name":"c","row":{"target":"ptcp:0:127.0.0.1","role":"worker"}},
 {"op":"insert","table":"Connection","uuid-name":"d","row":{"target":"pssl:0:127.0.0.3"}},
 {"op":"insert","table":"Global","row":{"connections":["set",[["named-uuid","a"],["named-uuid","b"],["named-uuid","c"],
   ["named-uuid","d"]]]}},
 {"op":"insert","table":"Host","row":{"name":"other"}},
 {"op":"insert","table":"Host","row":{"name":"x","names":["set",["one","two"]]}},
 {"op":"insert","table":"Host","row":{"name":"y","names":"one"}},
 {"op":"insert","table":"Open","row":{"n":1}}]"#;

/// What each client tries, in this order.
const DEEDS: &str = r#"
{"op":"insert","table":"Host","row":{"name":"one"}}
{"op":"insert","table":"Host","row":{"name":"three"}}
{"op":"insert","table":"Host","row":{"name":"four","ids":["map",[["owner","one"]]]}}
{"op":"insert","table":"Host","row":{"name":"five","ids":["map",[["other","one"]]]}}
{"op":"insert","table":"Host","row":{"nope":1}}
{"op":"insert","table":"Open","row":{"n":5}}
{"op":"insert","table":"Global","row":{}}
{"op":"insert","table":"RBAC_Role","row":{"name":"mine"}}
{"op":"update","table":"Host","where":[["name","==","one"]],"row":{"n":1}}
{"op":"update","table":"Host","where":[["name","==","x"]],"row":{"n":1}}
{"op":"update","table":"Host","where":[["name","==","y"]],"row":{"n":1}}
{"op":"update","table":"Host","where":[["name","==","other"]],"row":{"n":1}}
{"op":"update","table":"Host","where":[],"row":{"n":1}}
{"op":"update","table":"Host","where":[["name","==","one"]],"row":{"secret":1}}
{"op":"update","table":"Host","where":[["name","==","one"]],"row":{"n":2,"secret":1}}
{"op":"update","table":"Host","where":[["name","==","nobody"]],"row":{"n":2}}
{"op":"update","table":"Open","where":[],"row":{"n":2}}
{"op":"update","table":"Open","where":[],"row":{"m":2}}
{"op":"update","table":"Global","where":[],"row":{"n":2}}
{"op":"mutate","table":"Host","where":[["name","==","one"]],"mutations":[["n","+=",1]]}
{"op":"mutate","table":"Host","where":[["name","==","other"]],"mutations":[["n","+=",1]]}
{"op":"mutate","table":"Host","where":[["name","==","one"]],"mutations":[["secret","+=",1]]}
{"op":"mutate","table":"Host","where":[["name","==","one"]],"mutations":[["ids","insert",["map",[["x","y"]]]]]}
{"op":"mutate","table":"Open","where":[],"mutations":[["n","+=",1]]}
{"op":"mutate","table":"Open","where":[],"mutations":[["m","+=",1]]}
{"op":"mutate","table":"Global","where":[],"mutations":[["n","+=",1]]}
{"op":"delete","table":"Host","where":[["name","==","other"]]}
{"op":"delete","table":"Host","where":[]}
{"op":"delete","table":"Host","where":[["name","==","one"]]}
{"op":"delete","table":"Host","where":[["name","==","nobody"]]}
{"op":"delete","table":"Open","where":[]}
{"op":"delete","table":"Global","where":[["n","==",9]]}
{"op":"delete","table":"Global","where":[]}
{"op":"select","table":"Host","where":[],"columns":["name"]}
{"op":"wait","table":"Open","where":[],"columns":["n"],"until":"!=","rows":[{"n":99}],"timeout":0}"#;

/// An authority and certificates for a server and two clients.
struct Pki(tempfile::TempDir);

impl Pki {
    fn new() -> Self {
        let pki = Self(tempfile::tempdir().unwrap());
        pki.openssl("req -x509 -newkey rsa:2048 -nodes -sha512 -days 30 -keyout ca-key.pem -out ca.pem -subj", "/CN=CA");
        for name in ["server", "one", "two"] {
            let request = format!(
                "req -newkey rsa:2048 -nodes -sha512 -keyout {name}-key.pem -out {name}.req -subj"
            );
            pki.openssl(&request, &format!("/C=US/O=Open vSwitch/CN={name}"));
            std::fs::write(pki.path("extensions"), "basicConstraints=CA:FALSE").unwrap();
            let sign = format!(
                "x509 -req -in {name}.req -CA ca.pem -CAkey ca-key.pem -CAcreateserial -sha512 -days 30 -extfile extensions -out"
            );
            pki.openssl(&sign, &format!("{name}.pem"));
        }
        pki
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, words: &str, last: &str) {
        let output = Command::new("openssl")
            .args(words.split(' '))
            .arg(last)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn keys(&self, name: &str) -> Keys {
        let settings = Settings {
            private_key: Some(self.path(&format!("{name}-key.pem"))),
            certificate: Some(self.path(&format!("{name}.pem"))),
            trust: Trust::File(self.path("ca.pem")),
            ..Settings::default()
        };
        Keys::new(settings, &Clock::real())
    }
}

/// The ports that the server chose, by target.
fn ports(server: &Server) -> Vec<(String, String)> {
    let question = Json::parse(
        r#"["T",{"op":"select","table":"Connection","where":[],"columns":["target","status"]}]"#,
    )
    .unwrap();
    wait_for("the server says where it listens", || {
        let reply = server.connect().call("transact", &question).1;
        let rows = reply.get("result").and_then(|r| r.at(0)).and_then(|r| r.get("rows"));
        let ports: Vec<_> = rows
            .and_then(Json::as_array)
            .unwrap_or_default()
            .iter()
            .filter_map(|row| {
                let pairs = row.get("status")?.at(1)?.as_array()?;
                let bound =
                    pairs.iter().find(|p| p.at(0).and_then(Json::as_str) == Some("bound_port"))?;
                Some((row.get("target")?.as_str()?.to_owned(), bound.at(1)?.as_str()?.to_owned()))
            })
            .collect();
        (ports.len() == 4).then_some(ports)
    })
}

/// What every client is told by `program`.
fn answers(program: &str, pki: &Pki, dir: &Path) -> String {
    let schema = ovsdb::Schema::from_json(&Json::parse(SCHEMA).unwrap()).unwrap();
    let db = dir.join("t.db");
    ovsdb::log::create(&db, &db.display().to_string(), &schema).unwrap();
    let file = |name: &str| pki.path(name).display().to_string();
    let server = Server::start_with(
        program,
        dir,
        &["t.db"],
        &[
            "--remote=db:T,Global,connections",
            &format!("--private-key={}", file("server-key.pem")),
            &format!("--certificate={}", file("server.pem")),
            &format!("--ca-cert={}", file("ca.pem")),
        ],
    );
    server.connect().call("transact", &Json::parse(RULES).unwrap());
    let ports = ports(&server);
    let port = |target: &str| &ports.iter().find(|(t, _)| t == target).unwrap().1;
    let mut said = String::new();
    for (target, address, name) in [
        ("pssl:0:127.0.0.1", "ssl:127.0.0.1", "one"),
        ("pssl:0:127.0.0.1", "ssl:127.0.0.1", "two"),
        ("pssl:0:127.0.0.2", "ssl:127.0.0.2", "one"),
        ("ptcp:0:127.0.0.1", "tcp:127.0.0.1", "one"),
        ("pssl:0:127.0.0.3", "ssl:127.0.0.3", "two"),
    ] {
        let endpoint: Endpoint = format!("{address}:{}", port(target)).parse().unwrap();
        let mut client =
            Client::connect_with(&endpoint, &pki.keys(name), &Clock::real(), None).unwrap();
        said += &format!("--- {target} {name}\n");
        let has_role = !target.ends_with('3');
        // Who may delete the row that lists the remotes loses its connection with it.
        let is_wise =
            |deed: &&str| has_role || !deed.contains(r#""delete","table":"Global","where":[]"#);
        for deed in DEEDS.trim().lines().filter(is_wise) {
            let params = Json::parse(&format!("[\"T\",{deed}]")).unwrap();
            let reply = client.transact("transact", params.as_array().unwrap().to_vec()).unwrap();
            said += &format!("{deed}\n  {}\n", without_uuids(&reply));
        }
        let convert = vec![Json::from("T"), Json::parse(SCHEMA).unwrap()];
        if has_role {
            match client.transact("convert", convert) {
                Err(ClientError::Refused(error)) => said += &format!("convert {error}\n"),
                other => panic!("{other:?}"),
            }
        }
    }
    said
}

/// The text with sorted rows and without what is random.
fn without_uuids(json: &Json) -> String {
    match json {
        Json::Array(items) => {
            let mut items: Vec<_> = items.iter().map(without_uuids).collect();
            if json.at(0).and_then(Json::as_str) == Some("uuid") {
                return "<uuid>".to_owned();
            }
            items.sort();
            format!("[{}]", items.join(","))
        }
        Json::Object(object) => {
            let members =
                object.iter().map(|(name, value)| format!("{name}:{}", without_uuids(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

#[test]
fn roles_allow_and_forbid_the_same() {
    let pki = Pki::new();
    let ours = answers(OURS, &pki, tempfile::tempdir().unwrap().path());
    for want in [
        r#"RBAC rules for client \"two\" role \"worker\" prohibit row insertion into table \"Host\"."#,
        r#"RBAC rules for client \"(null)\" role \"worker\" prohibit modification of table \"Open\"."#,
        r#"RBAC rules for client \"one\" role \"nobody\" prohibit \"convert\" of database T (only the root role may convert databases)"#,
    ] {
        assert!(ours.contains(want), "{want}\n{ours}");
    }
    if !Path::new(DEBIANS).exists() {
        println!("compared with nothing: {DEBIANS} is not installed");
        return;
    }
    let theirs = answers(DEBIANS, &pki, tempfile::tempdir().unwrap().path());
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}
