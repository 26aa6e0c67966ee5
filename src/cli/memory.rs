//! How the program's allocator treats tensors.

/// glibc maps each large piece of memory anew and unmaps it when it is freed, so that every step touches
/// fresh pages for every tensor, which the kernel has to clear. A training asks for the same sizes again
/// and again: keeping them made steps up to 1.6 times faster (15 million parameters, two cores). What
/// the process holds does not grow by it, but it stays at its peak.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const TOP_PAD: i32 = 64 << 20;
        // SAFETY: these calls only set parameters of the allocator, and refuse those that it does not know.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
            libc::mallopt(libc::M_TOP_PAD, TOP_PAD);
        }
    }
}
