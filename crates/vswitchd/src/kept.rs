//! Routes, rules and neighbours of tunnels that the database keeps, so that they are there after a restart: in `other_config` of
//! the Open_vSwitch row, each with semicolons between, in the words of the commands that add them by hand.
//!
//! ```text
//! ovs-vsctl set open_vswitch . \\
//!     other_config:tunnel-routes="10.1.0.0/16 br-phy 172.168.1.254; 10.2.0.0/16 br-two src=10.0.0.1" \\
//!     other_config:tunnel-rules="from=10.0.0.1 prio=100 table=10" \\
//!     other_config:tunnel-neighbours="br-phy 172.168.1.254 02:00:00:00:00:01"
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use packet::wire::ethernet::parse_mac;
use tunnel::route::commands;
use tunnel::route::rules::Rule;
use tunnel::{Neighbours, Route, Routes};
use vswitch_schema::StringMap;

use crate::desired::Mac;

/// The keys.
const ROUTES: &str = "tunnel-routes";
const RULES: &str = "tunnel-rules";
const NEIGHBOURS: &str = "tunnel-neighbours";

/// A neighbour: on which bridge, its address, its hardware address.
type Neighbour = (Arc<str>, IpAddr, Mac);

/// What the database keeps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    routes: Vec<Route>,
    rules: Vec<Rule>,
    neighbours: Vec<Neighbour>,
}

impl Kept {
    /// Reads it; and says what could not be understood, which is left out.
    pub fn read(config: &StringMap) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let routes = entries(config, ROUTES, commands::parse, &mut problems);
        let rules = entries(config, RULES, commands::parse_rule, &mut problems);
        let neighbours = entries(config, NEIGHBOURS, neighbour, &mut problems);
        (Self { routes, rules, neighbours }, problems)
    }

    /// Makes routes and rules those that are kept now, where these were before.
    pub fn change_routes(&self, before: &Self, routes: &mut Routes) {
        routes.set_user(&self.routes, &self.rules, (&before.routes, &before.rules));
    }

    /// Makes the fixed neighbours those that are kept.
    pub fn set_neighbours(&self, neighbours: &mut Neighbours, now: base::Instant) {
        neighbours.set_fixed(&self.neighbours, now);
    }
}

/// The entries of a key.
fn entries<T>(
    config: &StringMap,
    key: &str,
    parse: impl Fn(&[&str]) -> Result<T, String>,
    problems: &mut Vec<String>,
) -> Vec<T> {
    let text = config.get(key).map_or("", String::as_str);
    let mut all = Vec::new();
    for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let words: Vec<&str> = entry.split_whitespace().collect();
        match parse(&words) {
            Ok(parsed) => all.push(parsed),
            Err(why) => problems.push(format!("other_config:{key}: \"{entry}\": {why}")),
        }
    }
    all
}

fn neighbour(words: &[&str]) -> Result<Neighbour, String> {
    let [bridge, ip, mac] = words else {
        return Err("expected BRIDGE IP MAC".to_owned());
    };
    let ip = ip.parse().map_err(|_| "bad IP address")?;
    let mac = parse_mac(mac).filter(|mac| mac[0] & 1 == 0).ok_or("bad MAC address")?;
    Ok(((*bridge).into(), ip, mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entries: &[(&str, &str)]) -> StringMap {
        entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn what_is_understood_is_taken_and_the_rest_is_named() {
        let (kept, problems) = Kept::read(&config(&[
            ("tunnel-routes", "10.1.0.0/16 br-phy 172.168.1.9; 10.2.0.0/16; ;"),
            ("tunnel-rules", "from=10.0.0.1 table=10;from=x table=1"),
            ("tunnel-neighbours", "br-phy 10.0.0.1 02:00:00:00:00:01;br-phy 10.0.0.2 x"),
        ]));
        assert_eq!((kept.routes.len(), kept.rules.len(), kept.neighbours.len()), (1, 1, 1));
        assert_eq!(
            problems,
            [
                "other_config:tunnel-routes: \"10.2.0.0/16\": Invalid 'ip/plen' parameter",
                "other_config:tunnel-rules: \"from=x table=1\": Invalid from=ip/plen",
                "other_config:tunnel-neighbours: \"br-phy 10.0.0.2 x\": bad MAC address",
            ]
        );
    }

    #[test]
    fn what_is_kept_no_more_goes_and_what_people_typed_stays() {
        let mut routes = Routes::default();
        routes.add_address("br-phy", "172.168.1.1/24".parse().unwrap());
        commands::add(&mut routes, &["10.9.0.0/16", "br-phy", "172.168.1.9"]).unwrap();
        let read = |text| Kept::read(&config(&[("tunnel-routes", text)])).0;
        let (none, one) = (Kept::default(), read("10.1.0.0/16 br-phy 172.168.1.9"));
        let other = read("10.1.0.0/16 br-phy 172.168.1.8");
        let shown = |routes: &Routes| commands::show(routes, &[]).unwrap();
        one.change_routes(&none, &mut routes);
        assert!(shown(&routes).contains("10.1.0.0/16 dev br-phy GW 172.168.1.9"));
        other.change_routes(&one, &mut routes);
        assert!(shown(&routes).contains("10.1.0.0/16 dev br-phy GW 172.168.1.8"));
        none.change_routes(&other, &mut routes);
        assert!(!shown(&routes).contains("10.1.0.0/16") && shown(&routes).contains("10.9.0.0/16"));
    }
}
