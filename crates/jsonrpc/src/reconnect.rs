//! When to connect, when to ask whether the peer is alive, when to give up: a pure state machine.
//!
//! # Why
//! Every daemon keeps connections to others that may be away: a database, a manager. All use one policy, and it has to be
//! testable without waiting.
//!
//! # Design
//! The machine owns neither sockets nor a clock. Its owner reports what happens (`connecting`, `connected`, `disconnected`,
//! `activity`) and asks [`Reconnect::run`] at [`Reconnect::deadline`] what to do. The numbers are the reference's: back off
//! 1 s, doubling to 8 s; a connection that lived longer than its back-off starts again at 1 s; after 5 s of silence a probe is
//! sent, and after 5 more the connection is given up.
//!
//! ```text
//!        enable        run: Connect       connected           silence: Probe
//! Void ---------> Backoff ------> Connecting ------> Active --------------> Idle
//!                    ^               |  failed         |  ^ activity ________|
//!                    |_______________|_________________|   silence: Disconnect
//! ```
//!
//! *Safe to get wrong*: probing late. *Not safe*: giving up a peer whose answer already lies in our socket buffer, because we
//! ourselves were stopped for long; hence [`Reconnect::receive_attempted`].

use base::Instant;
use log::{Level, log};
use std::time::Duration;

/// What the owner is to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Try to connect (or to listen), then report [`Reconnect::connecting`] and how it went.
    Connect,
    /// Drop the connection or the attempt, then report [`Reconnect::disconnected`].
    Disconnect,
    /// Send an echo request.
    Probe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Void,
    Backoff,
    Connecting,
    Listening,
    Active,
    Idle,
    /// To be dropped as soon as possible.
    Dropping,
}

/// The machine. See the [module](self).
#[derive(Debug)]
pub struct Reconnect {
    name: String,
    state: State,
    since: Instant,
    passive: bool,
    quiet: bool,
    backoff: Duration,
    backoff_min: Duration,
    backoff_max: Duration,
    probe: Option<Duration>,
    /// How long an attempt may take, at least.
    patience: Duration,
    /// How many more attempts; `None`: for ever.
    tries_left: Option<u32>,
    /// Attempts that need not wait, for instance one per remote of a list: after each connection that was of use,
    free_tries: u32,
    /// and how many of them are left.
    free_tries_left: u32,
    last_activity: Instant,
    last_attempt_to_receive: Instant,
    last_connected: Option<Instant>,
    last_disconnected: Option<Instant>,
}

/// Logs at INFO until the back-off has reached its maximum: a peer that is away for days needs no line every 8 s.
macro_rules! report {
    ($self:ident, $($arg:tt)+) => {
        log!(target: "reconnect", $self.level(), "{}: {}", $self.name, format_args!($($arg)+))
    };
}

impl Reconnect {
    /// A machine that does nothing until it is enabled. `name` is for logs.
    pub fn new(name: impl Into<String>, now: Instant) -> Reconnect {
        Reconnect {
            name: name.into(),
            state: State::Void,
            since: now,
            passive: false,
            quiet: false,
            backoff: Duration::ZERO,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(8),
            probe: Some(Duration::from_secs(5)),
            patience: Duration::from_secs(1),
            tries_left: None,
            free_tries: 0,
            free_tries_left: 0,
            last_activity: now,
            last_attempt_to_receive: now,
            last_connected: None,
            last_disconnected: None,
        }
    }

    /// Changes the name in logs.
    pub fn set_name(&mut self, name: impl Into<String>) {
        self.name = name.into();
    }

    /// The name in logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the owner listens instead of connecting.
    pub fn set_passive(&mut self, passive: bool) {
        self.passive = passive;
    }

    /// Logs what is not an error at DBG only: for connections that come and go all the time.
    pub fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// The time of silence after which to probe, and then again to give up; `None`: never. Not less than a second.
    pub fn set_probe(&mut self, probe: Option<Duration>) {
        self.probe = probe.map(|p| p.max(Duration::from_secs(1)));
    }

    /// How long to wait between attempts: the first time and at most.
    pub fn set_backoff(&mut self, min: Duration, max: Duration) {
        self.backoff_min = min.max(Duration::from_secs(1));
        self.backoff_max = max.max(self.backoff_min);
        self.backoff = self.backoff.min(self.backoff_max);
    }

    /// How long an attempt may take, at least; at first that is a second.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// How often to try; `None`: for ever. With `Some(1)` a connection that is lost stays lost.
    pub fn set_max_tries(&mut self, tries: Option<u32>) {
        self.tries_left = tries;
    }

    /// How many attempts need not wait: at first, and after the loss of a connection that stood for longer than the shortest back-off.
    pub fn set_free_tries(&mut self, tries: u32) {
        (self.free_tries, self.free_tries_left) = (tries, tries);
    }

    /// Starts to want a connection, the first attempt at once.
    pub fn enable(&mut self, now: Instant) {
        if self.state == State::Void && self.may_try() {
            self.backoff = Duration::ZERO;
            self.enter(State::Backoff, now);
        }
    }

    /// Stops to want a connection.
    pub fn disable(&mut self, now: Instant) {
        self.enter(State::Void, now);
    }

    /// Whether a connection is wanted at all.
    pub fn is_enabled(&self) -> bool {
        self.state != State::Void
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Active | State::Idle)
    }

    /// Drops what there is and connects anew, at once if it had stood for long.
    pub fn force(&mut self, now: Instant) {
        if matches!(self.state, State::Connecting | State::Active | State::Idle) {
            self.enter(State::Dropping, now);
        }
    }

    /// An attempt is under way.
    pub fn connecting(&mut self, now: Instant) {
        if self.state != State::Connecting {
            report!(self, "{}...", if self.passive { "listening" } else { "connecting" });
            self.enter(State::Connecting, now);
        }
    }

    /// A listener waits for the peer to connect.
    pub fn listening(&mut self, now: Instant) {
        if self.state != State::Listening {
            self.enter(State::Listening, now);
        }
    }

    /// The connection stands.
    pub fn connected(&mut self, now: Instant) {
        report!(self, "{}", if self.passive { "client connected" } else { "connected" });
        self.last_connected = Some(now);
        self.last_activity = now;
        self.enter(State::Active, now);
    }

    /// The attempt failed or the connection was lost. `why` is a short text, or `None` where it was wanted or the peer closed.
    pub fn disconnected(&mut self, now: Instant, why: Option<&str>) {
        self.log_loss(why);
        let was_up = matches!(self.state, State::Active | State::Idle)
            || (self.state == State::Dropping && self.last_connected > self.last_disconnected);
        if was_up {
            self.last_disconnected = Some(now);
            if self.last_connected.is_some_and(|since| now.since(since) >= self.backoff_min) {
                self.free_tries_left = self.free_tries;
            }
        }
        if !self.may_try() {
            return self.enter(State::Void, now);
        }
        self.tries_left = self.tries_left.map(|n| n - 1);
        let lived = self
            .last_connected
            .filter(|_| was_up)
            .map_or(Duration::ZERO, |t| self.last_activity.since(t));
        self.back_off(was_up && (self.passive || lived >= self.backoff));
        self.enter(State::Backoff, now);
    }

    /// Chooses how long to wait. The first wait after a success is too short to speak of, and the longest is spoken of once.
    fn back_off(&mut self, afresh: bool) {
        if self.free_tries_left > 0 {
            self.free_tries_left -= 1;
            self.backoff = Duration::ZERO;
        } else if afresh && self.passive {
            self.backoff = Duration::ZERO;
        } else if afresh || self.backoff < self.backoff_min {
            self.backoff = self.backoff_min;
        } else if self.backoff * 2 < self.backoff_max {
            self.backoff *= 2;
            let what = if self.passive { "trying to listen again" } else { "reconnect" };
            report!(self, "waiting {} seconds before {what}", self.backoff.as_secs_f64());
        } else {
            if self.backoff < self.backoff_max {
                let what = if self.passive { "try to listen" } else { "reconnect" };
                let name = &self.name;
                log::info!(target: "reconnect", "{name}: continuing to {what} in the background but suppressing further logging");
            }
            self.backoff = self.backoff_max;
        }
    }

    fn log_loss(&self, why: Option<&str>) {
        let because = why.map(|why| format!(" ({why})")).unwrap_or_default();
        match self.state {
            State::Connecting if self.passive => report!(self, "listen attempt failed{because}"),
            State::Connecting => report!(self, "connection attempt failed{because}"),
            State::Listening => report!(self, "error listening for connections{because}"),
            State::Dropping => report!(self, "connection dropped"),
            State::Active | State::Idle if why.is_some() => {
                report!(self, "connection dropped{because}")
            }
            State::Active | State::Idle => report!(self, "connection closed by peer"),
            State::Void | State::Backoff => {}
        }
    }

    /// Bytes arrived.
    pub fn activity(&mut self, now: Instant) {
        self.last_activity = now;
        if self.state == State::Idle {
            self.enter(State::Active, now);
        }
    }

    /// The owner looked for bytes, whether there were any or not.
    pub fn receive_attempted(&mut self, now: Instant) {
        self.last_attempt_to_receive = now;
    }

    /// What to do now, if anything. The machine repeats [`Action::Connect`] and [`Action::Disconnect`] until the owner has
    /// reported.
    pub fn run(&mut self, now: Instant) -> Option<Action> {
        if now < self.deadline()? {
            return None;
        }
        match self.state {
            State::Backoff => Some(Action::Connect),
            State::Dropping => Some(Action::Disconnect),
            State::Connecting => {
                report!(self, "connection attempt timed out");
                Some(Action::Disconnect)
            }
            // The silence counts only if we listened to it.
            State::Active | State::Idle if self.last_attempt_to_receive < self.deadline()? => None,
            State::Active => {
                log::debug!(target: "reconnect", "{}: idle {} ms, sending inactivity probe", self.name,
                    now.since(self.last_activity).as_millis());
                self.enter(State::Idle, now);
                Some(Action::Probe)
            }
            State::Idle => {
                let seconds = now.since(self.since).as_secs_f64();
                log::error!(target: "reconnect",
                    "{}: no response to inactivity probe after {seconds:.3} seconds, disconnecting", self.name);
                self.enter(State::Dropping, now);
                Some(Action::Disconnect)
            }
            State::Void | State::Listening => None,
        }
    }

    /// When [`Reconnect::run`] should be called next; `None`: not before something happens.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Void | State::Listening => None,
            State::Dropping => Some(self.since),
            State::Backoff => Some(self.since + self.backoff),
            State::Connecting => Some(self.since + self.backoff.max(self.patience)),
            State::Active => Some(self.since.max(self.last_activity) + self.probe?),
            State::Idle => Some(self.since + self.probe?),
        }
    }

    /// The state's name, as the database's `status` columns show it.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            State::Void => "VOID",
            State::Backoff => "BACKOFF",
            State::Connecting => "CONNECTING",
            State::Listening => "LISTENING",
            State::Active => "ACTIVE",
            State::Idle => "IDLE",
            State::Dropping => "RECONNECT",
        }
    }

    /// When the connection was last made.
    pub fn last_connected(&self) -> Option<Instant> {
        self.last_connected
    }

    /// When the connection was last lost.
    pub fn last_disconnected(&self) -> Option<Instant> {
        self.last_disconnected
    }

    fn may_try(&self) -> bool {
        self.tries_left != Some(0)
    }

    fn level(&self) -> Level {
        if self.quiet || self.backoff >= self.backoff_max { Level::Debug } else { Level::Info }
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn enabled() -> Reconnect {
        let mut machine = Reconnect::new("test", at(0));
        machine.enable(at(0));
        machine
    }

    #[test]
    fn backs_off_from_one_second_to_eight() {
        let mut machine = enabled();
        let mut now = 0;
        for wait in [1000, 2000, 4000, 8000, 8000, 8000] {
            assert_eq!(machine.run(at(now)), Some(Action::Connect));
            machine.connecting(at(now));
            machine.disconnected(at(now), Some("Connection refused"));
            assert_eq!(machine.state_name(), "BACKOFF");
            assert_eq!(machine.run(at(now + wait - 1)), None);
            now += wait;
        }
    }

    #[test]
    fn a_connection_that_lived_resets_the_backoff() {
        let mut machine = enabled();
        for _ in 0..4 {
            machine.connecting(at(0));
            machine.disconnected(at(0), None);
        }
        machine.connecting(at(0));
        machine.connected(at(0));
        machine.activity(at(60_000));
        machine.disconnected(at(60_000), None);
        assert_eq!(machine.deadline(), Some(at(61_000)));
        // One that is lost at once does not.
        machine.connecting(at(61_000));
        machine.connected(at(61_000));
        machine.disconnected(at(61_000), None);
        assert_eq!(machine.deadline(), Some(at(63_000)));
    }

    #[test]
    fn silence_is_probed_then_ended_but_only_if_we_listened() {
        let mut machine = enabled();
        machine.connecting(at(0));
        machine.connected(at(0));
        machine.receive_attempted(at(4_000));
        assert_eq!(machine.run(at(4_999)), None);
        assert_eq!(machine.run(at(5_000)), None, "nobody looked since the deadline");
        machine.receive_attempted(at(5_000));
        assert_eq!(machine.run(at(5_000)), Some(Action::Probe));
        assert_eq!(machine.run(at(9_999)), None);
        machine.activity(at(9_999));
        assert_eq!(machine.deadline(), Some(at(14_999)));
        machine.receive_attempted(at(20_000));
        assert_eq!(machine.run(at(20_000)), Some(Action::Probe));
        machine.receive_attempted(at(25_000));
        assert_eq!(machine.run(at(25_000)), Some(Action::Disconnect));
        machine.disconnected(at(25_000), None);
        assert_eq!(machine.state_name(), "BACKOFF");
        assert_eq!(machine.last_disconnected(), Some(at(25_000)));
    }

    #[test]
    fn an_attempt_times_out_and_probes_can_be_off() {
        let mut machine = enabled();
        machine.set_probe(None);
        machine.connecting(at(0));
        assert_eq!(machine.run(at(999)), None);
        assert_eq!(machine.run(at(1000)), Some(Action::Disconnect));
        machine.connected(at(1000));
        assert_eq!(machine.deadline(), None);
    }

    #[test]
    fn one_try_only() {
        let mut machine = Reconnect::new("accepted", at(0));
        machine.set_max_tries(Some(0));
        machine.connected(at(0));
        machine.disconnected(at(9), None);
        assert!(!machine.is_enabled());
        assert_eq!(machine.run(at(100)), None);
    }

    #[test]
    fn free_tries_do_not_wait() {
        let mut machine = enabled();
        machine.set_free_tries(2);
        for deadline in [0, 0, 1000] {
            machine.connecting(at(0));
            machine.disconnected(at(0), Some("x"));
            assert_eq!(machine.deadline(), Some(at(deadline)));
        }
    }
}
