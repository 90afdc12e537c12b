//! System call filters. A refused call answers an error, never kills: a test suite that probes for a feature goes on without it.

use std::collections::BTreeMap;

use libc::{c_long, sock_filter};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition as If, SeccompFilter, SeccompRule,
};

use crate::Error;

/// Refused with EPERM whatever their arguments. Most need a capability that no sandbox has; refused here they hold without that too.
const REFUSED: &[c_long] = &[
    // Other processes' memory and descriptors. The server and the launcher have the tool's uid.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Mounts, roots and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    // Kernel surface with a history, of no use to a build or a test.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_lookup_dcookie,
    libc::SYS_syslog,
    // The machine.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_vhangup,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Calls that take another process's id as their first argument and are checked by uid alone: a tool could set the server's CPU limit to
/// nothing. Allowed on oneself, which is 0.
const ONLY_ON_ONESELF: &[c_long] =
    &[libc::SYS_prlimit64, libc::SYS_sched_setaffinity, libc::SYS_sched_setscheduler, libc::SYS_sched_setparam, libc::SYS_sched_setattr];

/// Answered with ENOSYS, so that a C library falls back: `clone3` hides its flags behind a pointer where no filter sees them.
const UNKNOWN: &[c_long] = &[libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Filters the calling process as a tool with no network: `socket` knows only AF_UNIX.
pub(crate) fn filter_tool() -> Result<(), Error> {
    apply(REFUSED, true)
}

/// Filters the calling process as the server: what a tool may not, and no `exec` either.
pub(crate) fn filter_server() -> Result<(), Error> {
    let refused: Vec<c_long> = REFUSED.iter().copied().chain([libc::SYS_execve, libc::SYS_execveat]).collect();
    apply(&refused, false)
}

fn apply(refused: &[c_long], tool: bool) -> Result<(), Error> {
    let mut rules: Rules = refused.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, every_bit_of(0, NAMESPACES)?);
    if tool {
        for call in ONLY_ON_ONESELF {
            rules.insert(*call, vec![rule(If::new(0, Len::Dword, Op::Ne, 0))?]);
        }
        for call in [libc::SYS_setpriority, libc::SYS_ioprio_set] {
            rules.insert(call, vec![rule(If::new(1, Len::Dword, Op::Ne, 0))?, rule(If::new(0, Len::Dword, Op::Gt, 1))?]);
        }
        // Typing into somebody else's terminal.
        rules.insert(libc::SYS_ioctl, vec![rule(If::new(1, Len::Dword, Op::Eq, libc::TIOCSTI))?]);
    }
    install(rules, libc::EPERM)?;
    install(UNKNOWN.iter().map(|call| (*call, Vec::new())).collect(), libc::ENOSYS)?;
    // The family is an int: only its low half counts, and the kernel reads no more.
    let not_unix = || Ok::<_, Error>(vec![rule(If::new(0, Len::Dword, Op::Ne, libc::AF_UNIX as u64))?]);
    install(BTreeMap::from([(libc::SYS_socket, not_unix()?), (libc::SYS_socketpair, not_unix()?)]), libc::EACCES)?;
    refuse_x32()
}

/// One rule for each bit: seccompiler compares masked values for equality, and any of the bits is one too many.
fn every_bit_of(argument: u8, bits: i32) -> Result<Vec<SeccompRule>, Error> {
    (0..32)
        .map(|bit| 1u64 << bit)
        .filter(|mask| u64::from(bits.cast_unsigned()) & mask != 0)
        .map(|mask| rule(If::new(argument, Len::Dword, Op::MaskedEq(mask), mask)))
        .collect()
}

fn rule(condition: Result<If, seccompiler::BackendError>) -> Result<SeccompRule, Error> {
    condition.and_then(|condition| SeccompRule::new(vec![condition])).map_err(|e| failed(&e))
}

/// Filters stack, and of several answers the strictest wins; so each errno is a filter of its own.
/// A call of a foreign architecture ends the process: `seccompiler` checks that first.
fn install(rules: Rules, errno: i32) -> Result<(), Error> {
    let arch = std::env::consts::ARCH.try_into().map_err(|e: seccompiler::BackendError| failed(&e))?;
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno.cast_unsigned()), arch)
        .and_then(TryInto::try_into)
        .map_err(|e| failed(&e))?;
    seccompiler::apply_filter(&program).map_err(|e| failed(&e))
}

/// The x32 variant of every call has the same architecture and bit 30 set in its number, so no list by number sees it. ENOSYS for all.
fn refuse_x32() -> Result<(), Error> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(());
    }
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const X32_BIT: u32 = 0x4000_0000;
    let op = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let program: Vec<seccompiler::sock_filter> = [
        op(LOAD_NUMBER, 0, 0, 0),
        op(JUMP_IF_AT_LEAST, 0, 1, X32_BIT),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
    .into_iter()
    .map(|f| seccompiler::sock_filter { code: f.code, jt: f.jt, jf: f.jf, k: f.k })
    .collect();
    seccompiler::apply_filter(&program).map_err(|e| failed(&e))
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::confinement("installing a seccomp filter")(error.to_string())
}
