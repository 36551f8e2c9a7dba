//! The options that an app is held against: those that the command carries for a
//! machine without a kit, and those of the kit's kernel. Needs a kit: `ampoule kit build`.

use std::fs;

use ampoule::fit::{self, Config};
use ampoule::kit::Kit;
use ampoule::units::Arch;

#[test]
fn without_a_kit_every_option_is_what_the_kits_kernel_has() {
    let kit = Kit::open(Arch::X86_64).unwrap();
    let real = Config::parse(&fs::read_to_string(kit.kernel_config()).unwrap());
    let carried = Config::parse(&Kit::asked_config(Arch::X86_64).unwrap());
    let differ: Vec<&str> = fit::options()
        .into_iter()
        .filter(|option| real.has(option) != carried.has(option))
        .collect();
    assert!(differ.is_empty(), "{differ:?}");
}
