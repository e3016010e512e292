//! Files: modules, the trust file, jail profiles.

use coldshoe_jail::{Arch, Phase, Profile};

pub(crate) use coldshoed::fuzz::module;

/// The daemon's trust file.
pub(crate) fn trust_file(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        coldshoed::fuzz::trust_file(text);
    }
}

/// A jail profile. One that is accepted compiles and can be explained for every machine.
pub(crate) fn profile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let profile = match Profile::parse(text) {
        Ok(profile) => profile,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for arch in Arch::ALL {
        if let Ok(program) = profile.compile(arch) {
            assert!(program.to_bytes().len().is_multiple_of(8));
        }
        let gate = profile.gate(arch);
        for phase in [Phase::Load, Phase::Run] {
            for nr in 0..512 {
                let _ = gate.decide(phase, nr, &[0; 6]);
                let _ = gate.decide(phase, nr, &[u64::MAX; 6]);
            }
            let _ = profile.explain(arch, phase);
        }
    }
}
