//! How long 300 tunnels and 300 ports take, each added by an `ovs-vsctl` of its own.

use testbed::bed::Sharing;
use testbed::guide::Flavor;
use testbed::{Cmd, Error, Host, Programs, Result, Testbed, wait};

use crate::contender::{Contender, Scope};
use crate::measure::{Measure, Session, row};

/// Its name on the command line.
pub(crate) const NAME: &str = "vsctl-rate";

/// Its heading.
pub(crate) const MEASURE: Measure =
    row(NAME, "300 tunnels and 300 ports, one ovs-vsctl each", "s", false);

/// How many of each.
const COUNT: u32 = 300;

/// Measures every switch once.
pub(crate) fn run(contenders: &[Contender], session: &mut Session<'_>) -> Result<()> {
    for contender in contenders.iter().filter(|c| c.scope == Scope::Everything) {
        let Flavor::Switch(programs) = &contender.flavor else { continue };
        eprintln!("  {}", contender.name);
        match rate(programs) {
            Err(e) => session.fail(NAME, &contender.key, e)?,
            Ok(seconds) => session.add(NAME, &contender.key, seconds),
        }
    }
    Ok(())
}

fn rate(programs: &Programs) -> Result<f64> {
    let bed = Testbed::new(Sharing::Alone)?;
    let mut host = bed.host("host1", programs)?;
    once(&bed, &mut host)
}

fn once(bed: &Testbed, host: &mut Host) -> Result<f64> {
    let devices: String =
        (0..COUNT).map(|i| format!("link add v{i} type veth peer name w{i}\n")).collect();
    Cmd::new(["ip", "-n", host.ns.name(), "-batch", "-"]).stdin(devices).ok()?;
    host.start()?;
    host.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev")?;
    // One shell inside the namespace, so that nothing but the programs themselves is timed.
    let script = format!(
        "i=0; while [ $i -lt {COUNT} ]; do \
         ovs-vsctl add-port br0 x$i -- set interface x$i type=vxlan options:remote_ip=10.9.$((i / 200)).$((i % 200 + 1)) || exit 1; \
         ovs-vsctl add-port br0 v$i || exit 1; i=$((i + 1)); done"
    );
    let script = host.shell(&script).limit(std::time::Duration::from_secs(300));
    let start = wait::now();
    script.ok()?;
    let took = wait::now().since(start).as_secs_f64();
    let ports = host.vsctl("list-ports br0")?.lines().count();
    let failed = format!("{} of {} ports are there in {}", ports, 2 * COUNT, bed.prefix());
    if ports == 2 * COUNT as usize { Ok(took) } else { Err(Error::Missing(failed)) }
}
