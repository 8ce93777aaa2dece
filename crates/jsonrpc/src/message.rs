//! JSON-RPC 1.0 messages.
//!
//! Open vSwitch reads them a little more strictly than the specification (unknown members are refused) and so do we, except that
//! a reply whose result is `null` is a reply.

use crate::json::{Json, text};
use smol_str::SmolStr;
use std::fmt;
use std::sync::Arc;

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Wants an answer that carries the same id.
    Request {
        /// Any value but `null`.
        id: Json,
        /// What to do.
        method: SmolStr,
        /// With what; an array.
        params: Arc<[Json]>,
    },
    /// Wants no answer.
    Notify {
        /// What happened.
        method: SmolStr,
        /// Details; an array.
        params: Arc<[Json]>,
    },
    /// A request went well.
    Reply {
        /// The request's id.
        id: Json,
        /// What came of it.
        result: Json,
    },
    /// A request failed.
    Error {
        /// The request's id.
        id: Json,
        /// Why; not `null`.
        error: Json,
    },
}

/// Why a JSON value is no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageError(String);

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MessageError {}

impl Message {
    /// A request.
    pub fn request(id: impl Into<Json>, method: &str, params: impl Into<Arc<[Json]>>) -> Message {
        Message::Request { id: id.into(), method: method.into(), params: params.into() }
    }

    /// A notification.
    pub fn notify(method: &str, params: impl Into<Arc<[Json]>>) -> Message {
        Message::Notify { method: method.into(), params: params.into() }
    }

    /// The members that a message may have.
    pub(crate) const MEMBERS: [&str; 5] = ["id", "method", "params", "result", "error"];

    /// Reads a message.
    pub fn from_json(json: &Json) -> Result<Message, MessageError> {
        let Some(object) = json.as_object() else {
            return Err(MessageError("message is not a JSON object".to_owned()));
        };
        if let Some(name) = object.keys().find(|name| !Self::MEMBERS.contains(&name.as_str())) {
            return Err(MessageError(format!("message has unexpected member \"{name}\"")));
        }
        Self::from_members(Self::MEMBERS.map(|name| object.get(name).cloned()))
    }

    /// The message that has these of its [`Message::MEMBERS`].
    pub(crate) fn from_members(members: [Option<Json>; 5]) -> Result<Message, MessageError> {
        let fail = |text: &str| Err(MessageError(text.to_owned()));
        let [id, method, params, result, error] = members;
        let present = |value: &Json| !value.is_null();
        let (id, error) = (id.filter(present), error.filter(present));
        if let Some(method) = method {
            let Json::String(method) = method else { return fail("method is not a JSON string") };
            let Some(Json::Array(params)) = params else {
                return fail("\"params\" must be JSON array");
            };
            if result.is_some_and(|result| !result.is_null()) || error.is_some() {
                return fail("a request must not have \"result\" or \"error\"");
            }
            return Ok(match id {
                Some(id) => Message::Request { id, method, params },
                None => Message::Notify { method, params },
            });
        }
        if params.is_some() {
            return fail("\"params\" without \"method\"");
        }
        let Some(id) = id else { return fail("a reply must have an \"id\"") };
        match (error, result) {
            (Some(_), Some(result)) if !result.is_null() => {
                fail("a reply must not have both \"result\" and \"error\"")
            }
            (Some(error), _) => Ok(Message::Error { id, error }),
            (None, Some(result)) => Ok(Message::Reply { id, result }),
            (None, None) => fail("message has neither \"method\" nor \"result\" nor \"error\""),
        }
    }

    /// The message as logs show it: `request, method="echo", params=[], id="echo"`.
    pub fn describe(&self) -> String {
        match self {
            Message::Request { id, method, params } => {
                let params = Json::Array(params.clone());
                format!("request, method=\"{method}\", params={params}, id={id}")
            }
            Message::Notify { method, params } => {
                format!("notification, method=\"{method}\", params={}", Json::Array(params.clone()))
            }
            Message::Reply { id, result } => format!("reply, result={result}, id={id}"),
            Message::Error { id, error } => format!("error, error={error}, id={id}"),
        }
    }

    /// Appends the text that goes over the wire.
    pub fn write(&self, out: &mut String) {
        match self {
            Message::Request { id, method, params } => write_call(id, method, params, out),
            Message::Notify { method, params } => write_call(&Json::Null, method, params, out),
            Message::Reply { id, result } => write_answer(id, &Json::Null, result, out),
            Message::Error { id, error } => write_answer(id, error, &Json::Null, out),
        }
    }
}

fn write_call(id: &Json, method: &str, params: &Arc<[Json]>, out: &mut String) {
    out.push_str("{\"id\":");
    id.write_compact(out);
    out.push_str(",\"method\":");
    text::quote_into(method, out);
    out.push_str(",\"params\":");
    Json::Array(params.clone()).write_compact(out);
    out.push('}');
}

fn write_answer(id: &Json, error: &Json, result: &Json, out: &mut String) {
    out.push_str("{\"error\":");
    error.write_compact(out);
    out.push_str(",\"id\":");
    id.write_compact(out);
    out.push_str(",\"result\":");
    result.write_compact(out);
    out.push('}');
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ConnectionError;
    use crate::connection::next_message;
    use crate::json;
    use crate::json::Parser;

    #[test]
    fn messages_survive_the_wire() {
        for message in [
            Message::request(1, "echo", [json!("x")]),
            Message::notify("update", [json!(null), json!({"a": 1})]),
            Message::Reply { id: json!("q"), result: json!(null) },
            Message::Reply { id: json!(0), result: json!([]) },
            Message::Error { id: json!(2), error: json!("no") },
        ] {
            let text = message.to_string();
            assert_eq!(Message::from_json(&Json::parse(&text).unwrap()), Ok(message), "{text}");
        }
    }

    #[test]
    fn what_is_no_message_says_why() {
        for (text, why) in [
            ("[]", "not a JSON object"),
            ("{}", "must have an \"id\""),
            ("{\"id\":1}", "neither"),
            ("{\"method\":1,\"params\":[],\"id\":1}", "method is not"),
            ("{\"method\":\"x\",\"id\":1}", "params"),
            ("{\"method\":\"x\",\"params\":{},\"id\":1}", "params"),
            ("{\"method\":\"x\",\"params\":[],\"id\":1,\"error\":1}", "must not have"),
            ("{\"result\":1,\"error\":1,\"id\":1}", "both"),
            (
                "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":[]}",
                "unexpected member \"jsonrpc\"",
            ),
        ] {
            let error = Message::from_json(&Json::parse(text).unwrap()).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    /// The members of a message as somebody may write them: in any order, twice, with escapes, and others.
    fn any_members() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "\"id\"",
            "\"method\"",
            "\"params\"",
            "\"result\"",
            "\"error\"",
            "\"x\"",
            "\"i\\u0064\"",
        ]);
        let value = prop::sample::select(vec![
            "null",
            "1",
            "\"transact\"",
            "[]",
            "[1,{\"a\":[]}]",
            "{\"b\":1,\"a\":2,\"b\":3}",
            "\"\\n\u{e9}\"",
            "tru",
        ]);
        let member = (name, value, prop::sample::select(vec!["", " ", "\n"]));
        let member =
            member.prop_map(|(name, value, space)| format!("{name}{space}:{space}{value}"));
        prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(",")))
    }

    proptest! {
        /// Taking a message's members is as good as making an object of them.
        #[test]
        fn the_short_way_leads_to_the_same_message(text in any_members()) {
            let short = next_message(&mut Parser::new(1 << 20), &mut text.as_bytes());
            match Json::parse(&text) {
                Err(error) => {
                    prop_assert!(matches!(short, Err(ConnectionError::Json(e)) if e == error), "{}", text);
                }
                Ok(json) => match Message::from_json(&json) {
                    Err(error) => {
                        prop_assert!(matches!(short, Err(ConnectionError::Message(e)) if e == error), "{}", text);
                    }
                    Ok(message) => prop_assert_eq!(short.unwrap(), Some(message), "{}", text),
                },
            }
        }
    }
}
