//! `ampoule inspect`: what is in an image.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::Exit;
use super::table::{self, Side, Table};
use super::ui::{Style, Ui};
use crate::digest::Digest;
use crate::initramfs::Kind;
use crate::pipeline::{self, Inspection};

/// Show what is in an image
///
/// Partitions, sections of the UKI, command line, kernel, configuration, and
/// every file with its size and digest.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArgs {
    /// The image
    pub image: PathBuf,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
    /// Write what a monitor boots directly into DIR instead, and show that
    ///
    /// The kernel as it stands in the image (vmlinuz), the same unpacked to an ELF
    /// file with a PVH entry (vmlinux), the initrd and the command line.
    #[arg(long, value_name = "DIR", conflicts_with = "json")]
    pub extract: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  ampoule inspect server.img
  ampoule inspect server.img --json | jq -r '.files[].path'
  ampoule inspect server.img --extract parts
  cloud-hypervisor --kernel parts/vmlinux --initramfs parts/initrd \\
    --cmdline \"$(cat parts/cmdline)\"";

/// Hexadecimal digits of a file's digest in the table; JSON has them all.
const SHORT: usize = 16;

pub(super) fn run(args: InspectArgs, ui: &Ui) -> anyhow::Result<Exit> {
    if let Some(dir) = &args.extract {
        return extract(&args.image, dir, ui);
    }
    let inspection = pipeline::inspect(&args.image)?;
    if args.json {
        ui.json(&inspection)?;
    } else {
        ui.result(show(&inspection, ui))?;
    }
    Ok(Exit::Yes)
}

fn extract(image: &Path, dir: &Path, ui: &Ui) -> anyhow::Result<Exit> {
    let mut table = Table::new(&[
        ("size", Side::Right),
        ("sha256", Side::Left),
        ("path", Side::Left),
    ]);
    for path in pipeline::extract(image, dir)? {
        let file = File::open(&path)?;
        let size = file.metadata()?.len().to_string();
        let digest = Digest::of_reader(file)?.to_string();
        table.row([size, digest, path.display().to_string()]);
    }
    ui.result(table.render(0).trim_end())?;
    Ok(Exit::Yes)
}

fn show(image: &Inspection, ui: &Ui) -> String {
    let mut text = String::new();
    for (heading, table) in [
        ("Image", of_image(image)),
        ("Configuration", of_config(image)),
        ("Partitions", of_partitions(image)),
        ("UKI", of_uki(image)),
        ("Files", of_files(image)),
    ] {
        let heading = ui.paint(Style::Bold, heading);
        let _ = writeln!(text, "{heading}\n{}", table.render(2));
    }
    text.truncate(text.trim_end().len());
    text
}

fn of_image(image: &Inspection) -> Table {
    let mut table = Table::pairs();
    let mark = |set: bool, mark| if set { mark } else { "" };
    table.row(["name", &image.name]);
    table.row(["size", &image.size.to_string()]);
    table.row(["sha256", &image.sha256.to_string()]);
    table.row([
        "memory",
        &table::memory(image.memory_mib, image.memory_uefi_mib),
    ]);
    table.row([
        "kernel",
        &format!("{} for {}", image.kernel.version, image.arch),
    ]);
    table.row(["cmdline", &image.kernel.cmdline]);
    let unpinned = mark(image.unpinned, ", unpinned");
    table.row(["kit", &format!("{}{unpinned}", image.kit)]);
    if image.shell {
        table.row(["shell", "the app is a shell, or brings one"]);
    }
    for one in &image.provenance.payload {
        let why = one.why.first().map(|why| format!(", for {why}"));
        let why = why.unwrap_or_default();
        table.row(["added", &format!("{}, {}{why}", one.path, one.source)]);
    }
    for name in &image.provenance.accepted {
        table.row(["accepted", name]);
    }
    if !image.provenance.left_out.is_empty() {
        let told = format!(
            "{} paths of the root, which --json names",
            image.provenance.left_out.len()
        );
        table.row(["left out", &told]);
    }
    table
}

fn of_config(image: &Inspection) -> Table {
    let config = &image.config;
    let mut table = Table::pairs();
    table.row(["app", &config.app]);
    table.row(["args", &quoted(&config.args)]);
    for (key, value) in &config.env {
        table.row(["env", &format!("{key}={value}")]);
    }
    table.row(["workdir", &config.workdir]);
    table.row(["user", &format!("{}:{}", config.uid, config.gid)]);
    table.row(["hostname", &config.hostname]);
    table.row(["network", &config.network]);
    if !config.dns.is_empty() {
        table.row(["dns", &config.dns.join(" ")]);
    }
    let ports: Vec<String> = config.ports.iter().map(u16::to_string).collect();
    table.row(["ports", &ports.join(" ")]);
    table.row(["on-exit", &config.on_exit]);
    table.row(["grace", &format!("{} s", config.grace_seconds)]);
    table.row(["seccomp", &config.seccomp.to_string()]);
    table.row(["dhcp-wait", &format!("{} s", config.dhcp_wait_seconds)]);
    table
}

/// Arguments as one would type them, in quotes where they need some.
fn quoted(args: &[String]) -> String {
    let plain = |arg: &String| {
        let safe = |c: char| c.is_alphanumeric() || "-_=+:,./@%".contains(c);
        !arg.is_empty() && arg.chars().all(safe)
    };
    let shown = args.iter().map(|arg| match plain(arg) {
        true => arg.clone(),
        false => format!("'{}'", arg.replace('\'', "'\\''")),
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn of_partitions(image: &Inspection) -> Table {
    let mut table = Table::new(&[
        ("name", Side::Left),
        ("first", Side::Right),
        ("last", Side::Right),
        ("size", Side::Right),
        ("type", Side::Left),
        ("guid", Side::Left),
    ]);
    for partition in &image.partitions {
        table.row([
            &partition.name,
            &partition.first.0.to_string(),
            &partition.last.0.to_string(),
            &partition.extent().len.to_string(),
            &partition.type_guid.to_string(),
            &partition.guid.to_string(),
        ]);
    }
    table
}

fn of_uki(image: &Inspection) -> Table {
    let mut table = Table::new(&[
        ("section", Side::Left),
        ("offset", Side::Right),
        ("size", Side::Right),
    ]);
    let uki = &image.uki;
    let size = uki.size.to_string();
    table.row([uki.path.as_str(), &uki.offset.0.to_string(), &size]);
    for section in &uki.sections {
        let offset = section.offset.0.to_string();
        table.row([section.name.as_str(), &offset, &section.size.to_string()]);
    }
    table
}

fn of_files(image: &Inspection) -> Table {
    let mut table = Table::new(&[
        ("mode", Side::Left),
        ("size", Side::Right),
        ("sha256", Side::Left),
        ("path", Side::Left),
    ]);
    for file in &image.files {
        let size = match file.kind {
            Kind::File => file.size.to_string(),
            _ => String::new(),
        };
        let digest = file.sha256.as_ref().map_or_else(String::new, short);
        let path = match &file.target {
            Some(target) => format!("{} -> {target}", file.path),
            None => file.path.clone(),
        };
        table.row([format!("{:04o}", file.mode), size, digest, path]);
    }
    table
}

fn short(digest: &Digest) -> String {
    digest.to_string()[..SHORT].to_owned()
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn arguments_are_quoted_where_they_must_be() {
        let args = ["a", "--x=1", "", "two words", "it's", "$HOME"].map(str::to_owned);
        assert_eq!(quoted(&args), r"a --x=1 '' 'two words' 'it'\''s' '$HOME'");
    }
}
