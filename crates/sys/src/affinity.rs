//! Which processors a thread runs on.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors that the calling thread may run on: what the process was given, not what the machine has.
pub fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Confines the calling thread to one processor.
pub fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// The memory node that a processor belongs to; 0 when the system does not say.
pub fn numa_node(cpu: usize) -> usize {
    let entries = std::fs::read_dir(format!("/sys/devices/system/cpu/cpu{cpu}"));
    let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|n| n.to_str()?.strip_prefix("node")?.parse().ok()).next().unwrap_or(0)
}

/// The memory node of the device behind a network interface; none for interfaces without one, or where the system does not say.
pub fn numa_node_of_interface(name: &str) -> Option<usize> {
    // A name is one component of a path.
    let name = Some(name).filter(|name| !name.contains('/') && *name != "..")?;
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/device/numa_node")).ok()?;
    // -1: the device does not know.
    text.trim().parse().ok()
}

/// The memory node on which the page at that address of this process is; none where nothing is mapped, or where the system does not
/// say. A page that is not there yet is taken for it.
pub fn numa_node_of_address(address: usize) -> Option<usize> {
    // Of linux/mempolicy.h: the answer is a node, and that of an address.
    const F_NODE: libc::c_ulong = 1;
    const F_ADDR: libc::c_ulong = 2;
    let mut node: libc::c_int = -1;
    // SAFETY: the kernel writes one number, to `node`; the address is looked up, and refused (EFAULT) where nothing is mapped.
    #[allow(unsafe_code)]
    let rc = unsafe {
        libc::syscall(
            libc::SYS_get_mempolicy,
            &raw mut node,
            std::ptr::null::<u64>(),
            0usize,
            address,
            F_NODE | F_ADDR,
        )
    };
    usize::try_from(node).ok().filter(|_| rc == 0)
}

/// Calls `work` with new memory taken from that node, as long as it has any.
pub fn on_node<T>(node: Option<usize>, work: impl FnOnce() -> T) -> T {
    const NODES: usize = 1024;
    const WORD: usize = u64::BITS as usize;
    let Some(node) = node.filter(|node| *node < NODES) else { return work() };
    let mut mask = [0u64; NODES / WORD];
    mask[node / WORD] |= 1 << (node % WORD);
    // Where it is refused, memory comes from where it does.
    let _ = set_policy(libc::MPOL_PREFERRED, Some(&mask));
    let outcome = work();
    let _ = set_policy(libc::MPOL_DEFAULT, None);
    outcome
}

/// Says where the calling thread's memory is to come from.
fn set_policy(mode: libc::c_int, nodes: Option<&[u64]>) -> io::Result<()> {
    let (mask, bits) =
        nodes.map_or((std::ptr::null(), 0), |n| (n.as_ptr(), n.len() * u64::BITS as usize));
    // SAFETY: the kernel reads at most `bits` bits of the mask, which is alive for the call; which memory new pages are of
    // changes nothing that a program sees.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_can_be_asked_of_a_node() {
        for node in [None, Some(0), Some(1023), Some(usize::MAX)] {
            assert_eq!(on_node(node, || vec![1u8; 1 << 20].len()), 1 << 20);
        }
        let mask = [1u64; 16];
        set_policy(libc::MPOL_PREFERRED, Some(&mask)).unwrap();
        set_policy(libc::MPOL_DEFAULT, None).unwrap();
    }

    #[test]
    fn interfaces_without_a_device_are_on_no_node() {
        for name in ["lo", "..", "a/b", ""] {
            assert_eq!(numa_node_of_interface(name), None, "{name}");
        }
    }

    #[test]
    fn a_thread_can_be_pinned_to_a_processor_it_may_use() {
        std::thread::spawn(|| {
            let cpus = allowed().unwrap();
            let last = *cpus.last().unwrap();
            pin(last).unwrap();
            assert_eq!(allowed().unwrap(), [last]);
        })
        .join()
        .unwrap();
        assert!(pin(usize::MAX).is_err());
    }

    #[test]
    fn memory_is_somewhere_where_anything_is_mapped() {
        let page = vec![1u8; 1 << 16];
        assert!(numa_node_of_address(page.as_ptr() as usize).is_some_and(|node| node < 1024));
        assert_eq!(numa_node_of_address(8), None);
        assert_eq!(numa_node_of_address(usize::MAX), None);
    }

    #[test]
    fn processors_have_nodes() {
        assert!(numa_node(0) < 1024);
        assert_eq!(numa_node(usize::MAX), 0);
    }
}
