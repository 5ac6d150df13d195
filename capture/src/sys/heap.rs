//! How the C library's allocator is told to keep memory.
#![cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "mallopt, which nothing wraps")
)]

/// Lets all threads allocate from one arena. Batches are made by one thread and freed by another; with an arena for each
/// thread (glibc's way) every arena keeps what the busiest moment needed, a third more in all. The hot path allocates
/// once for thousands of events, so that threads do not wait for each other here.
///
/// To be called before threads are started. Other C libraries have one arena, or none to choose.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallopt(3) takes two numbers and no memory of ours; no thread but the first runs yet.
        let _accepted = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}
