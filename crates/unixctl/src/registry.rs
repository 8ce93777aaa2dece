//! The commands of a daemon, as a table: name, usage, how many arguments, what to do.
//!
//! A handler gets the daemon's own context `C` by mutable reference, so commands need no process-wide state and two daemons in
//! one process do not notice each other.

use jsonrpc::{Json, Object, SmolStr};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::mpsc::Sender;
use stream::Waker;

/// In which form the caller wants the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    #[default]
    Text,
    /// A JSON value.
    Json,
}

/// What a command answers.
#[derive(Debug)]
pub enum Reply {
    /// It went well. A newline is added at the end if there is none.
    Text(String),
    /// It went well; only for callers that want JSON ([`Args::wants_json`]). Others get its compact text.
    Json(Json),
    /// It failed.
    Error(String),
    /// The answer will come through the [`Deferred`] taken from [`Args::defer`].
    Deferred,
}

impl Reply {
    /// Success without anything to say.
    pub fn ok() -> Reply {
        Reply::Text(String::new())
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Reply {
        Reply::Text(text)
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Reply {
        Reply::Text(text.to_owned())
    }
}

impl From<Json> for Reply {
    fn from(json: Json) -> Reply {
        Reply::Json(json)
    }
}

impl<T: Into<Reply>, E: ToString> From<Result<T, E>> for Reply {
    fn from(result: Result<T, E>) -> Reply {
        result.map_or_else(|e| Reply::Error(e.to_string()), Into::into)
    }
}

impl From<()> for Reply {
    fn from((): ()) -> Reply {
        Reply::ok()
    }
}

/// A command's arguments, the command's name not among them. Dereferences to a slice of strings.
pub struct Args {
    pub(crate) argv: Vec<SmolStr>,
    pub(crate) format: Format,
    pub(crate) answer_to: AnswerTo,
}

impl Args {
    /// The argument at `index`, if there is one.
    pub fn arg(&self, index: usize) -> Option<&str> {
        self.argv.get(index).map(|a| &**a)
    }

    /// Whether the caller wants JSON.
    pub fn wants_json(&self) -> bool {
        self.format == Format::Json
    }

    /// For answers that take time: the handler returns [`Reply::Deferred`] and keeps this, or gives it to another thread. The
    /// caller waits; its further requests on that connection wait too.
    pub fn defer(&self) -> Deferred {
        Deferred(Some(self.answer_to.clone()))
    }
}

impl Deref for Args {
    type Target = [SmolStr];
    fn deref(&self) -> &[SmolStr] {
        &self.argv
    }
}

/// Where an answer goes: which request of which connection.
#[derive(Clone)]
pub(crate) struct AnswerTo {
    pub(crate) connection: u64,
    pub(crate) request: u64,
    pub(crate) answers: Sender<Answer>,
    pub(crate) waker: Option<Waker>,
}

pub(crate) struct Answer {
    pub(crate) connection: u64,
    pub(crate) request: u64,
    pub(crate) reply: Reply,
}

/// The right to answer one request, once. Dropped unused, it answers with an error.
pub struct Deferred(Option<AnswerTo>);

impl Deferred {
    /// Answers. If the caller has gone meanwhile, nothing happens.
    pub fn reply(mut self, reply: impl Into<Reply>) {
        self.send(reply.into());
    }

    fn send(&mut self, reply: Reply) {
        if let Some(AnswerTo { connection, request, answers, waker }) = self.0.take() {
            let _ = answers.send(Answer { connection, request, reply }); // fails only if the server is gone
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        self.send(Reply::Error("the command was abandoned".to_owned()));
    }
}

type Handler<C> = Box<dyn Fn(&mut C, &Args) -> Reply + Send>;

struct Command<C> {
    /// Arguments, for the list of commands; none if it is not in there.
    usage: Option<&'static str>,
    min_args: usize,
    max_args: usize,
    handler: Handler<C>,
}

/// A daemon's commands.
pub struct Registry<C> {
    commands: BTreeMap<&'static str, Command<C>>,
}

impl<C> Registry<C> {
    /// No commands but `list-commands`, which every registry has.
    pub fn new() -> Registry<C> {
        let mut registry = Registry { commands: BTreeMap::new() };
        registry.add("list-commands", "", 0, 0, |_, _| Reply::ok()); // for the list; `run` does the work
        registry
    }

    /// Adds a command; one of the same name is replaced. `usage` names the arguments, as `list-commands` prints them.
    pub fn add<F, R>(
        &mut self,
        name: &'static str,
        usage: &'static str,
        min_args: usize,
        max_args: usize,
        handler: F,
    ) where
        F: Fn(&mut C, &Args) -> R + Send + 'static,
        R: Into<Reply>,
    {
        let handler: Handler<C> = Box::new(move |context, args| handler(context, args).into());
        let usage = Some(usage);
        self.commands.insert(name, Command { usage, min_args, max_args, handler });
    }

    /// Adds a command that `list-commands` does not name: an older name of another.
    pub fn add_unlisted<F, R>(
        &mut self,
        name: &'static str,
        min_args: usize,
        max_args: usize,
        handler: F,
    ) where
        F: Fn(&mut C, &Args) -> R + Send + 'static,
        R: Into<Reply>,
    {
        self.add(name, "", min_args, max_args, handler);
        if let Some(command) = self.commands.get_mut(name) {
            command.usage = None;
        }
    }

    /// The names of all commands, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.commands.keys().copied()
    }

    /// Looks a command up, checks how many arguments there are, and runs it.
    pub fn run(&self, context: &mut C, name: &str, args: &Args) -> Reply {
        let Some(command) = self.commands.get(name) else {
            return Reply::Error(format!(
                "\"{name}\" is not a valid command (use \"list-commands\" to see a list of valid commands)"
            ));
        };
        if args.len() < command.min_args {
            return Reply::Error(format!(
                "\"{name}\" command requires at least {} arguments",
                command.min_args
            ));
        }
        if args.len() > command.max_args {
            return Reply::Error(format!(
                "\"{name}\" command takes at most {} arguments",
                command.max_args
            ));
        }
        if name == "list-commands" {
            return self.list(args.format);
        }
        (command.handler)(context, args)
    }

    fn list(&self, format: Format) -> Reply {
        let lines =
            self.commands.iter().filter_map(|(name, command)| Some((*name, command.usage?)));
        match format {
            Format::Json => Reply::Json(Json::Object(lines.collect::<Object>())),
            Format::Text => {
                let head = "The available commands are:\n".to_owned();
                Reply::Text(
                    lines.fold(head, |text, (name, usage)| {
                        text + &format!("  {name:<23} {usage}\n")
                    }),
                )
            }
        }
    }
}

impl<C> Default for Registry<C> {
    fn default() -> Registry<C> {
        Registry::new()
    }
}
