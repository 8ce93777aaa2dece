//! Real guests: QEMU without hardware help, a Debian kernel, and a shell on a serial line.
//!
//! The image is made of Debian's packages when first needed, and kept in the build's folder. A guest boots in some five
//! seconds.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Cmd, Error, Netns, Process, Result, wait};

/// How long a guest may take to boot, on a busy machine.
const BOOT: Duration = Duration::from_secs(90);
/// How long a command in it may take.
const COMMAND: Duration = Duration::from_secs(60);

/// A guest's memory. The eight kilobytes matter: before its version 9.0, QEMU without hardware help loses what a guest writes
/// while it migrates if the size is a multiple of 256 KiB. For such sizes it collects the pages that were written by whole words
/// of its map, and there forgets to have later writes noticed again. This has nothing to do with networks; it takes a guest's
/// memory, and sometimes the guest, whoever switches for it.
const MEMORY_KIB: u32 = (160 << 10) + 8;

/// What a guest's network card is plugged into.
#[derive(Clone, Debug)]
pub struct Card {
    /// The socket of the switch's port.
    pub socket: PathBuf,
    /// Whether QEMU listens there (`dpdkvhostuserclient`).
    pub listens: bool,
    /// Queue pairs.
    pub queues: u16,
    /// Packed rings, not split ones.
    pub packed: bool,
    /// The guest's address.
    pub mac: &'static str,
}

/// Where a guest's memory comes from. The switch shares it in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// Pages of the usual size.
    #[default]
    Pages,
    /// Huge pages, as a memfd.
    HugePages,
    /// Huge pages, as a file of a file system for them, which QEMU alone sees.
    HugeFile,
}

impl Memory {
    /// How many huge pages it takes.
    pub const HUGE_PAGES: usize = 80;

    fn size(self) -> String {
        match self {
            Self::Pages => format!("{MEMORY_KIB}K"),
            Self::HugePages | Self::HugeFile => format!("{}M", 2 * Self::HUGE_PAGES),
        }
    }
}

/// What a guest is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its address, in a network of 24 bits.
    pub address: Ipv4Addr,
    /// Its network card.
    pub card: Card,
    /// Its memory.
    pub memory: Memory,
    /// It does not boot, but waits at this socket for the state of one that moves here.
    pub incoming: Option<PathBuf>,
}

impl Plan {
    /// A guest like others.
    pub fn new(address: Ipv4Addr, card: Card) -> Self {
        Self { address, card, memory: Memory::default(), incoming: None }
    }
}

/// A guest that runs.
#[derive(Debug)]
pub struct Vm {
    /// QEMU.
    pub process: Process,
    dir: PathBuf,
    serial: UnixStream,
    said: Vec<u8>,
    commands: u32,
}

/// Where the image is; makes it if there is none yet.
fn image() -> Result<PathBuf> {
    // Beside the programs that are tested.
    let exe = std::env::current_exe().map_err(Error::io("cannot find this program"))?;
    let target = exe.ancestors().find(|dir| dir.ends_with("target"));
    let dir = target.map_or_else(std::env::temp_dir, Path::to_owned).join("guest");
    std::fs::create_dir_all(&dir).map_err(Error::io(format!("cannot make {}", dir.display())))?;
    let lock = dir.join("lock").display().to_string();
    let script = include_str!("guest.sh");
    let dir_text = dir.display().to_string();
    Cmd::new(["flock", &lock, "sh", "-c", script, "guest.sh", &dir_text]).limit(BOOT).ok()?;
    Ok(dir)
}

impl Vm {
    /// Starts a guest; `dir` is a folder for its sockets.
    pub fn start(ns: &Netns, dir: &Path, plan: &Plan) -> Result<Self> {
        let image = image()?;
        std::fs::create_dir_all(dir)
            .map_err(Error::io(format!("cannot make {}", dir.display())))?;
        let Plan { address, card, memory, incoming } = plan;
        let at = |name: &str| dir.join(name).display().to_string();
        let server = if card.listens { ",server=on,wait=off" } else { "" };
        let several = if card.queues > 1 { ",mq=on" } else { "" };
        let packed = if card.packed { ",packed=on" } else { "" };
        let huge = dir.join("hugepages").display().to_string();
        let size = memory.size();
        let object = match memory {
            Memory::Pages => "memory-backend-memfd".to_owned(),
            Memory::HugePages => "memory-backend-memfd,hugetlb=on,hugetlbsize=2M".to_owned(),
            Memory::HugeFile => format!("memory-backend-file,mem-path={huge}"),
        };
        // Without vectors: Debian 12's QEMU dies of MSI-X with vhost-user when it has no hardware help.
        let line = format!(
            "qemu-system-x86_64 -M pc,memory-backend=m0 -accel tcg -cpu qemu64 -smp {smp} -m {size} -nodefaults \
             -no-user-config -nographic -no-reboot -object {object},id=m0,size={size},share=on \
             -kernel {image}/vmlinuz -initrd {image}/initramfs.cpio.gz -serial unix:{serial},server=on,wait=on \
             -qmp unix:{qmp},server=on,wait=off -chardev socket,id=c0,path={socket}{server} \
             -netdev vhost-user,id=n0,chardev=c0,queues={queues} \
             -device virtio-net-pci,netdev=n0,mac={mac},romfile=,vectors=0{several}{packed}",
            smp = card.queues,
            image = image.display(),
            serial = at("serial"),
            qmp = at("qmp"),
            socket = card.socket.display(),
            queues = card.queues,
            mac = card.mac,
        );
        let kernel = format!("console=ttyS0 quiet panic=-1 mitigations=off vmip={address}/24");
        // Programs in a namespace have mounts of their own, which go with them.
        let mount = match memory {
            Memory::HugeFile => format!("mkdir {huge} && mount -t hugetlbfs none {huge} && "),
            Memory::Pages | Memory::HugePages => String::new(),
        };
        let cmd = Cmd::new(["sh", "-c", &format!("{mount}exec {line} \"$@\""), "sh"]);
        let cmd = cmd.args(["-append", &kernel]).netns(ns.name());
        let cmd = match incoming {
            Some(path) => cmd.args(["-incoming", &format!("unix:{}", path.display())]),
            None => cmd,
        };
        let mut process = cmd.spawn(&dir.join("qemu.out"))?;
        let serial = connect(&dir.join("serial"), &mut process)?;
        Ok(Self { process, dir: dir.to_owned(), serial, said: Vec::new(), commands: 0 })
    }

    /// Waits until the guest has booted.
    pub fn ready(&mut self) -> Result<()> {
        self.expect("GUEST-READY", BOOT).map(drop)
    }

    /// Runs a line in the guest's shell: its exit code and output.
    pub fn run(&mut self, line: &str) -> Result<(i32, String)> {
        self.commands += 1;
        let n = self.commands;
        // The marks are typed in two parts, so that an echo of the line is not taken for them.
        let typed = format!("echo 'BEG''IN{n}'; {{ {line}\n}} 2>&1; echo 'EN''D{n}' $? .\n");
        self.serial.write_all(typed.as_bytes()).map_err(Error::io("cannot type into a guest"))?;
        self.expect(&format!("BEGIN{n}"), COMMAND)?;
        let output = self.expect(&format!("END{n} "), COMMAND)?;
        let code = self.expect(" .", COMMAND)?;
        Ok((code.trim().parse().unwrap_or(-1), output.replace('\r', "")))
    }

    /// Runs a line that must succeed.
    pub fn ok(&mut self, line: &str) -> Result<String> {
        match self.run(line)? {
            (0, output) => Ok(output),
            (code, output) => Err(Error::Command {
                command: line.to_owned(),
                status: format!("exit code {code} in a guest"),
                stderr: output,
            }),
        }
    }

    /// What the guest prints until `mark`.
    fn expect(&mut self, mark: &str, limit: Duration) -> Result<String> {
        let deadline = wait::now() + limit;
        loop {
            let found = self.said.windows(mark.len()).position(|w| w == mark.as_bytes());
            if let Some(at) = found {
                let rest = self.said.split_off(at + mark.len());
                let before = std::mem::replace(&mut self.said, rest);
                return Ok(String::from_utf8_lossy(&before[..at]).into_owned());
            }
            let left = deadline.since(wait::now()).max(Duration::from_millis(1));
            let _ = self.serial.set_read_timeout(Some(left));
            let mut bytes = [0; 4096];
            match self.serial.read(&mut bytes) {
                Ok(n) if n > 0 => self.said.extend(&bytes[..n]),
                _ => {
                    return Err(Error::Missing(format!(
                        "a guest did not print {mark:?}; it said {:?}, and QEMU {:?}",
                        String::from_utf8_lossy(&self.said),
                        self.process.printed()
                    )));
                }
            }
        }
    }

    /// Moves the guest, which goes on running meanwhile, to where another waits for it at that socket. Afterwards, that one is it.
    pub fn migrate(&mut self, to: &Path) -> Result<()> {
        // Slow enough for the guest to write a good deal before all of it has been copied.
        let limits = r#"{"execute":"migrate-set-parameters","arguments":{"max-bandwidth":41943040,"downtime-limit":300}}"#;
        let uri = to.display();
        let migrate = format!(r#"{{"execute":"migrate","arguments":{{"uri":"unix:{uri}"}}}}"#);
        let answer = self.control(&[limits, &migrate])?;
        if answer.contains(r#""error""#) {
            return Err(Error::Missing(format!("a guest cannot move: {answer}")));
        }
        wait::until("a guest to have moved", COMMAND, || {
            match self.control(&[r#"{"execute":"query-migrate"}"#]) {
                Ok(answer) if answer.contains(r#""status": "failed""#) => {
                    Some(Err(Error::Missing(format!("a guest has not moved: {answer}"))))
                }
                Ok(answer) => answer.contains(r#""status": "completed""#).then_some(Ok(())),
                Err(error) => Some(Err(error)),
            }
        })?
    }

    /// Carries out commands of QEMU's control protocol, in JSON; the last one's answer.
    pub fn control(&mut self, commands: &[&str]) -> Result<String> {
        let mut socket = connect(&self.dir.join("qmp"), &mut self.process)?;
        let _ = socket.set_read_timeout(Some(COMMAND));
        let mut answer = String::new();
        for command in [r#"{"execute":"qmp_capabilities"}"#].iter().chain(commands) {
            let what = format!("cannot tell QEMU {command}");
            socket.write_all(command.as_bytes()).map_err(Error::io(what.clone()))?;
            answer.clear();
            while !answer.contains(r#""return""#) && !answer.contains(r#""error""#) {
                let mut bytes = [0; 4096];
                let n = socket.read(&mut bytes).map_err(Error::io(what.clone()))?;
                if n == 0 {
                    return Err(Error::Missing(format!("{what}: it has gone")));
                }
                answer.push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        }
        Ok(answer)
    }
}

fn connect(path: &Path, process: &mut Process) -> Result<UnixStream> {
    wait::until("QEMU's sockets", Duration::from_secs(20), || match process.obituary() {
        Some(ended) => Some(Err(ended)),
        None => UnixStream::connect(path).ok().map(Ok),
    })?
}
