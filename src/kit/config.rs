//! The kernel's configuration: fragments with a reason per option, and the proof
//! that what was asked for took effect.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::error::KitError;
use crate::units::Arch;

/// One option that a fragment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub name: String,
    /// As Kconfig writes it: `y`, `n`, a number, or a string in quotes.
    pub value: String,
}

/// Reads the fragments that apply to `arch`: those of no folder, and those of its own.
pub(super) fn gather(fragments: &[(&str, &str)], arch: Arch) -> Result<Vec<Asked>, KitError> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut all = Vec::new();
    for (file, text) in fragments {
        if file
            .split_once('/')
            .is_some_and(|(dir, _)| dir != arch.name())
        {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let wrong = |reason: String| KitError::Fragment {
                file: (*file).to_owned(),
                line: index + 1,
                reason,
            };
            let Some(asked) = parse_line(line).map_err(|reason| wrong(reason.to_owned()))? else {
                continue;
            };
            if let Some(first) = seen.insert(asked.name.clone(), (*file).to_owned()) {
                return Err(wrong(format!("{} is in {first} already", asked.name)));
            }
            all.push(asked);
        }
    }
    Ok(all)
}

/// Reads `CONFIG_NAME=value  # reason`. Comments and empty lines are nothing.
fn parse_line(line: &str) -> Result<Option<Asked>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, rest) = line.split_once('=').ok_or("expected CONFIG_NAME=value")?;
    if !name.starts_with("CONFIG_") {
        return Err("an option's name begins with CONFIG_");
    }
    let (value, reason) = if let Some(inner) = rest.strip_prefix('"') {
        let end = inner.find('"').ok_or("the string has no end")?;
        rest.split_at(end + 2)
    } else {
        rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()))
    };
    let reason = reason.trim().strip_prefix('#').map(str::trim);
    if reason.is_none_or(str::is_empty) {
        return Err("an option needs its reason: CONFIG_NAME=value # reason");
    }
    if !is_value(value) {
        return Err("a value is y, n, a number, or a string in quotes");
    }
    Ok(Some(Asked {
        name: name.to_owned(),
        value: value.to_owned(),
    }))
}

/// Whether Kconfig would take it: a bare string it drops in silence.
fn is_value(text: &str) -> bool {
    let number = || match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).is_ok(),
        None => text.parse::<i64>().is_ok(),
    };
    text.starts_with('"') || matches!(text, "y" | "n") || number()
}

/// Options that Kconfig turns on by itself and that an app can ask for: what the
/// architecture selects (arch/x86/Kconfig), and what an option of ours does.
const IMPLIED: &[(Arch, &str)] = &[
    (Arch::X86_64, "CONFIG_PERF_EVENTS=y\n"),
    (Arch::X86_64, "CONFIG_ARCH_HAS_PKEYS=y\n"),
];

/// About the final `.config` of a kernel that is asked for these.
pub(super) fn expected(asked: &[Asked], arch: Arch) -> String {
    let implied = IMPLIED.iter().filter(|(of, _)| *of == arch);
    let implied: String = implied.map(|(_, line)| *line).collect();
    merged(asked) + &implied
}

/// The file that `make allnoconfig` takes through KCONFIG_ALLCONFIG.
pub(super) fn merged(asked: &[Asked]) -> String {
    asked.iter().fold(String::new(), |mut text, option| {
        let _ = match option.value.as_str() {
            "n" => writeln!(text, "# {} is not set", option.name),
            value => writeln!(text, "{}={value}", option.name),
        };
        text
    })
}

/// Holds the final `.config` against what was asked for.
///
/// # Errors
/// [`KitError::Unmet`], naming every option that did not take effect.
pub(super) fn check(asked: &[Asked], config: &str) -> Result<(), KitError> {
    let got: BTreeMap<&str, &str> = config
        .lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .filter_map(|line| line.split_once('='))
        .collect();
    let unmet: Vec<String> = asked
        .iter()
        .filter_map(|option| {
            // an option that Kconfig does not show is off
            let found = got.get(option.name.as_str()).copied().unwrap_or("n");
            (found != option.value)
                .then(|| format!("{}={} (it is {found})", option.name, option.value))
        })
        .collect();
    if unmet.is_empty() {
        return Ok(());
    }
    Err(KitError::Unmet(unmet.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::carried;

    fn asked(text: &str) -> Vec<Asked> {
        gather(&[("a.config", text)], Arch::X86_64).unwrap()
    }

    #[test]
    fn values_are_flags_numbers_and_strings() {
        let all = asked(
            "# theme\n\nCONFIG_A=y # one\nCONFIG_B=n # two\nCONFIG_C=-1 # three\nCONFIG_D=\"x # y\" # four\nCONFIG_E=0x20 # five\n",
        );
        assert_eq!(
            merged(&all),
            "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=-1\nCONFIG_D=\"x # y\"\nCONFIG_E=0x20\n"
        );
    }

    #[test]
    fn a_line_that_kconfig_would_drop_in_silence_is_refused() {
        for line in [
            "CONFIG_A=console=ttyS0 # a string without quotes",
            "CONFIG_A=\"open # a string without its end",
            "CONFIG_A=y",
            "CONFIG_A=y #",
            "A=y # no prefix",
            "CONFIG_A # no value",
            "CONFIG_A=m # nothing is a module",
        ] {
            let error = gather(&[("a.config", line)], Arch::X86_64).unwrap_err();
            assert!(error.to_string().starts_with("a.config:1: "), "{line}");
        }
    }

    #[test]
    fn an_option_stands_in_one_fragment_only() {
        let twice = [
            ("a.config", "CONFIG_A=y # r"),
            ("b.config", "\nCONFIG_A=n # r"),
        ];
        let error = gather(&twice, Arch::X86_64).unwrap_err().to_string();
        assert_eq!(error, "b.config:2: CONFIG_A is in a.config already");
    }

    #[test]
    fn fragments_of_other_architectures_are_left_out() {
        let both = [
            ("x86_64/a.config", "CONFIG_A=y # r"),
            ("aarch64/a.config", "CONFIG_B=y # r"),
        ];
        assert_eq!(
            merged(&gather(&both, Arch::X86_64).unwrap()),
            "CONFIG_A=y\n"
        );
    }

    #[test]
    fn what_did_not_take_effect_is_named_all_of_it() {
        let all = asked(
            "CONFIG_A=y # r\nCONFIG_B=n # r\nCONFIG_C=\"x\" # r\nCONFIG_D=y # r\nCONFIG_E=n # r",
        );
        let config = "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=\"\"\n# CONFIG_D is not set\n";
        let error = check(&all, config).unwrap_err().to_string();
        assert!(!error.contains("CONFIG_A"), "{error}");
        assert!(!error.contains("CONFIG_E"), "{error}");
        for part in [
            "CONFIG_B=n (it is y)",
            "CONFIG_C=\"x\" (it is \"\")",
            "CONFIG_D=y (it is n)",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn our_own_fragments_are_sound_and_drop_no_protection() {
        let text = merged(&gather(carried::FRAGMENTS, Arch::X86_64).unwrap());
        for protection in [
            "CPU_MITIGATIONS",
            "MITIGATION_PAGE_TABLE_ISOLATION",
            "MITIGATION_SPECTRE_V2",
            "RANDOMIZE_BASE",
            "STRICT_KERNEL_RWX",
            "STACKPROTECTOR_STRONG",
            "HARDENED_USERCOPY",
            "FORTIFY_SOURCE",
            "INIT_STACK_ALL_ZERO",
            "INIT_ON_ALLOC_DEFAULT_ON",
            "SLAB_FREELIST_RANDOM",
            "SLAB_FREELIST_HARDENED",
            "VMAP_STACK",
            "SECCOMP_FILTER",
            "SECURITY_LANDLOCK",
            "SECURITY_DMESG_RESTRICT",
            "SYN_COOKIES",
        ] {
            assert!(
                text.contains(&format!("CONFIG_{protection}=y\n")),
                "{protection}"
            );
        }
        assert!(text.contains("# CONFIG_MODULES is not set\n"));
    }
}
