//! Failures that are how programs normally work.

use crate::call;
use stillframe_format::event::Syscall;

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EINTR: i32 = 4;
const ECHILD: i32 = 10;
const EAGAIN: i32 = 11;
const EINVAL: i32 = 22;
const ENOTTY: i32 = 25;
const ENOSYS: i32 = 38;
const ETIME: i32 = 62;
const ECANCELED: i32 = 125;
const ETIMEDOUT: i32 = 110;
const EINPROGRESS: i32 = 115;
/// `ERESTARTSYS` and what follows it: the kernel restarts the call (include/linux/errno.h).
const RESTARTS: std::ops::RangeInclusive<i32> = 512..=516;

/// Why a failure is how programs normally work; `None` when it may mean something.
pub(super) fn noise(name: &str, errno: i32, target: &str, call: &Syscall) -> Option<&'static str> {
    match (errno, name) {
        (
            ENOENT,
            "open" | "openat" | "openat2" | "access" | "faccessat" | "faccessat2" | "stat" | "stat64"
            | "lstat" | "newfstatat" | "fstatat64" | "statx" | "readlink" | "readlinkat",
        ) if is_search(target) => Some("ENOENT in the search for libraries and locales"),
        (
            ENOENT,
            "access" | "faccessat" | "faccessat2" | "stat" | "stat64" | "lstat" | "newfstatat" | "fstatat64"
            | "statx",
        ) if is_program(target) => Some("ENOENT in the search for programs"),
        (ENOENT, "connect") if target == "/var/run/nscd/socket" || target == "/run/nscd/socket" => {
            Some("connect to an nscd that does not run")
        }
        (EAGAIN, "futex" | "futex_time64" | "futex_wait" | "futex_waitv") => Some("EAGAIN of futex"),
        (EAGAIN, _) if call.descriptor.is_some() || call::descriptor(call).is_some() => {
            Some("EAGAIN on descriptors that do not block")
        }
        (EINPROGRESS, "connect") => Some("EINPROGRESS of connect"),
        (EPERM, "epoll_ctl") => Some("EPERM of epoll_ctl (a file that is always ready)"),
        (
            EINTR,
            "epoll_wait" | "epoll_pwait" | "poll" | "ppoll" | "select" | "pselect6" | "wait4" | "waitid",
        ) => Some("EINTR of waits"),
        (ENOTTY, "ioctl") => Some("ENOTTY of ioctl (is it a terminal?)"),
        (ETIMEDOUT, "futex" | "futex_time64" | "futex_wait" | "futex_waitv") => Some("timeouts of futex"),
        (ECHILD, "wait4" | "waitid" | "waitpid") => Some("ECHILD of wait4 (no child left)"),
        (EINVAL, "readlink" | "readlinkat") => Some("EINVAL of readlink (no link)"),
        (EINVAL, "arch_prctl" | "prctl") => Some("EINVAL of prctl (does the kernel know it?)"),
        (ENOSYS, "clone3" | "faccessat2" | "statx" | "openat2" | "close_range" | "rseq") => {
            Some("ENOSYS of newer calls (the library takes the older one)")
        }
        (errno, _) if RESTARTS.contains(&errno) => Some("calls that the kernel restarts"),
        _ => None,
    }
}

/// The same of a request of io_uring.
pub(super) fn request_noise(operation: &str, errno: i32) -> Option<&'static str> {
    match (errno, operation) {
        (ETIME, "TIMEOUT" | "LINK_TIMEOUT") => Some("timeouts of io_uring that ran out"),
        (ECANCELED, _) => Some("requests of io_uring that were cancelled"),
        (ENOENT, "ASYNC_CANCEL" | "POLL_REMOVE" | "TIMEOUT_REMOVE") => {
            Some("cancelling a request of io_uring that was done already")
        }
        (EAGAIN, _) => Some("EAGAIN on descriptors that do not block"),
        _ => None,
    }
}

/// Whether a path is one that the search for a library, or for a locale, asks for.
fn is_search(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    path.starts_with("/etc/ld.so.")
        || file.ends_with(".so")
        || file.contains(".so.")
        || file.ends_with(".mo")
        || (path.starts_with("/lib") || path.starts_with("/usr/lib"))
            && (path.contains("/tls") || path.ends_with("/x86_64") || path.ends_with("/haswell"))
        || path.contains("/glibc-hwcaps")
        || path.contains("/locale/")
        || path.contains("/gconv/")
}

/// Whether a path is one that the search along PATH asks for.
fn is_program(path: &str) -> bool {
    let folder = path
        .rsplit_once('/')
        .map(|(folder, _)| folder)
        .unwrap_or_default();
    matches!(
        folder.rsplit('/').next(),
        Some("bin" | "sbin" | "shims" | "games")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn what_is_normal_is_told_from_what_is_not() {
        let call = fixture::openat(-2);
        let noise = |name, errno, target| noise(name, errno, target, &call).is_some();
        assert!(noise("openat", ENOENT, "/lib/x86_64-linux-gnu/libfoo.so.1"));
        assert!(noise("access", ENOENT, "/etc/ld.so.preload"));
        assert!(!noise("openat", ENOENT, "/etc/app.conf"));
        assert!(
            !noise("openat", 13, "/lib/libfoo.so.1"),
            "EACCES on a library is no search"
        );
        assert!(!noise("execve", ENOENT, "/bin/tool.so"));
        assert!(noise("connect", EINPROGRESS, "10.0.0.9:80"));
        assert!(!noise("connect", 111, "10.0.0.9:80"));
        assert!(noise("read", 512, ""));
    }
}
