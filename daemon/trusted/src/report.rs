//! How a worker is confined: what the kernel says of it, never what it says of itself.

use coldshoe_control::client::{Confinement, Limit};
use coldshoe_wall::outside::{Observed, landlock_abi};

/// Seccomp mode 2: filters.
const FILTERS: u32 = 2;

/// The confinement of the worker `pid` under `limits`. An error says what is missing, and then
/// nothing may run there.
pub(crate) fn confinement(pid: i32, limits: &[Limit]) -> Result<Confinement, String> {
    let seen = Observed::of(pid);
    if seen.no_new_privs != Some(true) {
        return Err("the kernel does not report NoNewPrivs for it".into());
    }
    if seen.seccomp != Some(FILTERS) {
        return Err("the kernel does not report a seccomp filter for it".into());
    }
    let landlock_abi = landlock_abi().ok_or("this kernel has no Landlock")?;
    let mut notes = vec![
        "namespaces: not in force yet".to_owned(),
        "system calls: one filter for loading and running".to_owned(),
    ];
    let open_files = match seen.fds {
        Some(fds) => fds
            .iter()
            .map(|(fd, target)| format!("{fd}: {}", target.display()))
            .collect(),
        None => {
            notes.push("open files: the kernel does not show them".to_owned());
            Vec::new()
        }
    };
    Ok(Confinement {
        no_new_privs: true,
        seccomp_mode: FILTERS,
        seccomp_filters: seen.seccomp_filters.unwrap_or(0),
        landlock_abi,
        open_files,
        limits: limits.to_vec(),
        notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_not_confined_is_found_out() {
        let this = std::process::id().cast_signed();
        assert!(confinement(this, &[]).is_err());
    }
}
