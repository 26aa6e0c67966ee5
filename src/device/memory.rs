//! Free memory of the host.

/// Returns the bytes that the kernel can hand out without swapping.
#[cfg(target_os = "linux")]
pub(super) fn free_host_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// Returns five eighths of the address space where it has 32 bits, as in a browser: a training with an
/// estimate of about 3 GiB crashed the module in Chromium.
#[cfg(not(target_os = "linux"))]
pub(super) fn free_host_memory() -> Option<u64> {
    (usize::BITS == 32).then_some((1 << 32) / 8 * 5)
}
