//! Programs on sockets and on interfaces.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::{
    ATTACH_TCX_EGRESS, ATTACH_TCX_INGRESS, PROG_TYPE_SCHED_CLS, PROG_TYPE_SOCKET_FILTER, attach,
    load_explained, two,
};

const PROG_TEST_RUN: libc::c_int = 10;
const PROG_QUERY: libc::c_int = 16;

/// Bytes of the verifier's explanation that an error quotes at most.
const EXPLANATION: usize = 256 << 10;

/// A loaded program.
#[derive(Debug)]
pub struct Program(OwnedFd);

/// Where on an interface a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// On what the interface receives, after packet sockets have had it.
    Ingress,
    /// On what the host sends by it.
    Egress,
}

impl Side {
    fn attach_type(self) -> u32 {
        match self {
            Self::Ingress => ATTACH_TCX_INGRESS,
            Self::Egress => ATTACH_TCX_EGRESS,
        }
    }
}

/// A program's attachment to an interface; ends when dropped.
#[derive(Debug)]
pub struct Link {
    _fd: OwnedFd,
}

/// What became of a packet in [`Program::test_run`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// What the program returned.
    pub result: u32,
    /// The packet afterwards.
    pub packet: Vec<u8>,
}

impl Program {
    /// A program that says how many bytes of each packet a socket is given, 0 for none. `EPERM`: not without `CAP_BPF` and
    /// `CAP_NET_ADMIN`.
    pub fn socket_filter(code: &[u64]) -> io::Result<Self> {
        Self::load(PROG_TYPE_SOCKET_FILTER, code, 0)
    }

    /// A program that says what becomes of each packet at an interface. `EINVAL`: may be that the kernel is older than 6.6.
    pub fn classifier(code: &[u64]) -> io::Result<Self> {
        Self::load(PROG_TYPE_SCHED_CLS, code, ATTACH_TCX_INGRESS)
    }

    fn load(kind: u32, code: &[u64], attach_type: u32) -> io::Result<Self> {
        let error = match load_explained(kind, code, attach_type, 0, &mut []) {
            Ok(fd) => return Ok(Self(fd)),
            Err(error) => error,
        };
        if error.raw_os_error() == Some(libc::EPERM) {
            return Err(error);
        }
        let mut log = vec![0; EXPLANATION];
        // Again, to be told why.
        let _ = load_explained(kind, code, attach_type, 0, &mut log);
        let len = log.iter().position(|b| *b == 0).unwrap_or(log.len());
        let why = String::from_utf8_lossy(log.get(..len).unwrap_or_default()).into_owned();
        Err(io::Error::new(error.kind(), format!("{error}; the verifier says: {why}")))
    }

    /// Attaches a classifier to an interface, behind those that are there, for as long as the link lives.
    pub fn attach(&self, ifindex: u32, side: Side) -> io::Result<Link> {
        attach(self.0.as_fd(), ifindex, side.attach_type(), 0).map(|_fd| Link { _fd })
    }

    /// Runs a classifier on a packet that was received by the loopback interface, for tests. At most 4096 bytes of it come back.
    pub fn test_run(&self, packet: &[u8]) -> io::Result<TestRun> {
        self.test_runs(packet, 1)
    }

    /// The same, so many times on the packet as the run before has left it.
    pub fn test_runs(&self, packet: &[u8], times: u32) -> io::Result<TestRun> {
        let mut out = vec![0u8; 4096];
        let mut attr = [
            two(self.0.as_raw_fd() as u32, 0),          // prog_fd, retval
            two(packet.len() as u32, out.len() as u32), // data_size_in, data_size_out
            packet.as_ptr().addr() as u64,              // data_in
            out.as_mut_ptr().addr() as u64,             // data_out
            two(times, 0),                              // repeat, duration
            0,                                          // ctx_size_in, ctx_size_out
            0,                                          // ctx_in
            0,                                          // ctx_out
            0,                                          // flags, cpu
        ];
        // SAFETY: the kernel reads and writes as many bytes as we say of `packet`, `out` and `attr`; all are alive for the call,
        // the written ones exclusively borrowed.
        #[allow(unsafe_code)]
        let rc = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                PROG_TEST_RUN,
                attr.as_mut_ptr(),
                std::mem::size_of_val(&attr),
            )
        };
        if rc < 0 {
            return Err(io::Error::last_os_error());
        }
        let half = |word: u64| -> [u8; 4] {
            let [.., a, b, c, d] = word.to_ne_bytes();
            [a, b, c, d]
        };
        let size = u32::from_ne_bytes(half(attr[1]));
        out.truncate(size as usize);
        Ok(TestRun { result: u32::from_ne_bytes(half(attr[0])), packet: out })
    }
}

/// How many programs are attached to an interface by links, ours included.
pub fn attached(ifindex: u32, side: Side) -> io::Result<u32> {
    // target_ifindex, attach_type; query_flags, attach_flags; prog_ids; count; prog_attach_flags; link_ids; link_attach_flags;
    // revision.
    let mut attr = [two(ifindex, side.attach_type()), 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: there are no addresses in `attr`, so that the kernel writes to nothing else; it is alive for the call and exclusively
    // borrowed.
    #[allow(unsafe_code)]
    let rc = unsafe {
        libc::syscall(libc::SYS_bpf, PROG_QUERY, attr.as_mut_ptr(), std::mem::size_of_val(&attr))
    };
    if rc < 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ENOENT) { Ok(0) } else { Err(error) };
    }
    let [a, b, c, d, ..] = attr[3].to_ne_bytes();
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// From now on the program says what the socket is given.
pub fn attach_to_socket(program: &Program, socket: BorrowedFd<'_>) -> io::Result<()> {
    option(socket, libc::SO_ATTACH_BPF, program.0.as_raw_fd())
}

/// The socket is given everything again.
pub fn detach_from_socket(socket: BorrowedFd<'_>) -> io::Result<()> {
    option(socket, libc::SO_DETACH_FILTER, 0)
}

fn option(socket: BorrowedFd<'_>, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the kernel reads an integer, which is alive for the call.
    #[allow(unsafe_code)]
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
