//! The name of this machine.

/// The host name as the kernel has it.
#[cfg(target_os = "linux")]
pub fn name() -> Option<String> {
    usable(std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?)
}

/// The host name as the environment has it.
#[cfg(not(target_os = "linux"))]
pub fn name() -> Option<String> {
    usable(std::env::var("COMPUTERNAME").or_else(|_| std::env::var("HOSTNAME")).ok()?)
}

fn usable(name: String) -> Option<String> {
    let name = name.trim();
    (!name.is_empty() && name != "(none)").then(|| name.to_owned())
}
