//! `ampoule analyze`: what an app is, needs and will miss, before an image is made.

use std::fmt::Write as _;

use clap::Args;

use super::appliance::AppArgs;
use super::exit::Exit;
use super::interrupt;
use super::table::{self, Table, visible};
use super::ui::{Style, Ui};
use crate::fit::Level;
use crate::need::{Confidence, Evidence, Need, NeedKind};
use crate::pipeline::{self, Answer, KernelConfig, Remark, Report, Step, Watcher};
use crate::spec::Settings;
use crate::units::Bytes;

/// Tell what an app is, needs, and will miss in an image
///
/// Reads what `build` would and makes nothing. Works without a kit; with one, the
/// app is held against its kernel. Ends with 3 for an app that `build` refuses.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AnalyzeArgs {
    #[command(flatten)]
    pub from: AppArgs,
    /// Print everything as JSON (docs/analyze.schema.json)
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  ampoule analyze ./server
  ampoule analyze ./server --json | jq '.needs[].kind'
  ampoule analyze ./server --accept /bin/sh";

/// Columns of the page.
const WIDTH: usize = 80;
/// Characters of a piece of evidence; the rest is in the JSON.
const SHOWN: usize = 60;
/// Pieces of evidence of one need.
const PIECES: usize = 2;

pub(super) fn run(args: AnalyzeArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let mut settings = args.from.settings(Settings::default())?;
    // a file without a usable name can be looked at all the same
    settings.name.get_or_insert_with(|| "app".to_owned());
    let source = pipeline::open(settings, &Quiet)?;
    let report = pipeline::analyze(&source.appliance)?;
    if args.json {
        ui.json(&report)?;
    } else {
        ui.result(page(&report, ui))?;
    }
    if report.verdict == Answer::Ok {
        return Ok(Exit::Yes);
    }
    let reasons: Vec<&str> = report.reasons.iter().map(|one| one.what.as_str()).collect();
    let app = source.appliance.app_shown().display();
    ui.error(&format!("{app}: {}", reasons.join("; it ")));
    Ok(Exit::UnsuitableApp)
}

/// Shows no stages, and carries Ctrl-C into the reading of a root.
struct Quiet;

impl Watcher for Quiet {
    fn step(&self, _: Step) {}

    fn interrupted(&self) -> bool {
        interrupt::requested()
    }
}

/// The page for people.
fn page(report: &Report, ui: &Ui) -> String {
    let mut page = Page {
        text: format!("{}: {}\n", visible(&report.file), headline(report)),
        ui,
    };
    page.what_it_is(report);
    page.needs(report);
    page.brought(report);
    page.added(report);
    page.missing(report);
    page.image(report);
    page.text
}

fn headline(report: &Report) -> String {
    let linkage = match report.linkage {
        Some("hidden") => "packed ",
        Some("dynamic") => "dynamic ",
        Some(_) => "static ",
        None => "",
    };
    let format = match report.format {
        "program" => format!("a {linkage}program"),
        "library" => "a shared library".to_owned(),
        "object" => "an object file".to_owned(),
        "core" => "a core dump".to_owned(),
        "elf" => "an ELF file".to_owned(),
        "empty" => "an empty file".to_owned(),
        "damaged" => "a damaged ELF file".to_owned(),
        _ => "no ELF file".to_owned(),
    };
    let machine = report.machine.as_deref().map(|name| format!(" for {name}"));
    format!("{format}{}, {}", machine.unwrap_or_default(), report.size)
}

struct Page<'a> {
    text: String,
    ui: &'a Ui,
}

impl Page<'_> {
    fn heading(&mut self, heading: &str) {
        let _ = writeln!(self.text, "\n{}", self.ui.paint(Style::Bold, heading));
    }

    /// A paragraph whose first line begins with `label`.
    fn paragraph(&mut self, label: &str, text: &str) {
        self.text.push_str(&wrapped(label, &visible(text)));
    }

    fn what_it_is(&mut self, report: &Report) {
        let version = |name: &Option<String>, version: &Option<String>| {
            let name = name.clone()?;
            Some(match version {
                Some(version) => format!("{name} {version}"),
                None => name,
            })
        };
        let module = report.module.as_ref();
        let module = module.map(|module| (Some(module.path.clone()), module.version.clone()));
        let (path, of_path) = module.unwrap_or_default();
        let count = report.dependencies.len();
        let libraries = report.libraries.join(" ");
        let mut table = Table::pairs();
        for (name, value) in [
            ("linkage", report.linkage.map(str::to_owned)),
            ("interpreter", report.interpreter.clone()),
            ("libraries", (!libraries.is_empty()).then_some(libraries)),
            (
                "packed",
                report.packed.then(|| {
                    "by UPX: what it needs and calls cannot be told; unpack it with `upx -d`"
                        .to_owned()
                }),
            ),
            ("hardening", hardening(report)),
            ("build id", report.facts.build_id.clone()),
            ("appended", appended(report)),
            ("language", language(report)),
            ("compiler", report.compiler.clone()),
            ("C library", version(&report.libc, &report.libc_version)),
            ("module", version(&path, &of_path)),
            (
                "built from",
                (count > 0).then(|| format!("{count} modules that it lists")),
            ),
            (
                "shell",
                report
                    .shell
                    .map(|shell| format!("it is {shell}, or brings it")),
            ),
            ("calls", report.linkage.map(|_| calls(report))),
            (
                "listens",
                (!report.listens.is_empty()).then(|| listens(report)),
            ),
        ] {
            if let Some(value) = value {
                table.row([name, &value]);
            }
        }
        let table = table.render(2);
        if !table.is_empty() {
            self.heading("what it is");
            self.text.push_str(&table);
        }
    }

    fn needs(&mut self, report: &Report) {
        let (acted, possible): (Vec<&Need>, Vec<&Need>) = report
            .needs
            .iter()
            .partition(|need| need.confidence > Confidence::Possible);
        if report.needs.is_empty() {
            return;
        }
        self.heading("what it needs, and why");
        for need in acted {
            let sure = match need.confidence {
                Confidence::Certain => "certain",
                _ => "likely",
            };
            self.paragraph(&format!("  {sure:<9}"), &described(&need.kind));
            for place in need.evidence.iter().take(PIECES) {
                self.paragraph("             ", &shown(place));
            }
        }
        if !possible.is_empty() {
            let names: Vec<String> = possible.iter().map(|need| described(&need.kind)).collect();
            self.paragraph("  possible ", &names.join(", "));
        }
    }

    fn brought(&mut self, report: &Report) {
        if report.root.is_none() && report.closure.is_empty() {
            return;
        }
        self.heading("what comes with it");
        if let Some(root) = &report.root {
            let told = format!(
                "{} entries of {}, {}",
                root.entries,
                root.dir.display(),
                root.size
            );
            self.paragraph("  root     ", &told);
            for left in &root.left_out {
                self.paragraph("  left out ", &format!("{}: {}", left.path, left.reason));
            }
        }
        for library in &report.closure {
            let told = format!("{}: {}", library.path, library.reason);
            self.paragraph("  library  ", &told);
        }
    }

    fn added(&mut self, report: &Report) {
        if report.payload.is_empty() {
            return;
        }
        self.heading("what will be added, and why");
        for one in &report.payload {
            self.paragraph("  ", &format!("{} ({})", one.path, one.size));
            self.paragraph("    ", &format!("{}; from {}", one.what, one.source));
            for place in one.evidence.iter().take(1) {
                self.paragraph("    ", &format!("for {}", shown(place)));
            }
        }
    }

    fn missing(&mut self, report: &Report) {
        let config = match &report.kernel_config {
            KernelConfig::Kit { version } => format!("Linux {version} of the kit"),
            KernelConfig::Carried => "the options that a kit would have".to_owned(),
        };
        let notes = report.kernel.iter().filter(|one| one.level == Level::Note);
        let notes: Vec<&str> = notes.map(|one| one.option.as_str()).collect();
        self.heading("what will not work");
        self.remarks("refused", &report.reasons);
        self.remarks("warning", &report.warnings);
        for note in &report.notes {
            self.paragraph("  warning  ", note);
        }
        for name in &report.accepted {
            self.paragraph("  accepted ", name);
        }
        for name in &report.accepted_in_vain {
            self.paragraph("  accepted ", &format!("{name}, which nothing asks for"));
        }
        if report.reasons.is_empty() && report.warnings.is_empty() && report.notes.is_empty() {
            self.text.push_str("  nothing that could be told\n");
        }
        if !notes.is_empty() {
            let text = format!(
                "tried, and done without where it is missing: {}",
                notes.join(" ")
            );
            self.paragraph("  note     ", &text);
        }
        if report.arch.is_some() {
            self.paragraph("  kernel   ", &format!("held against {config}"));
        }
    }

    fn remarks(&mut self, label: &str, remarks: &[Remark]) {
        for remark in remarks {
            self.paragraph(&format!("  {label:<9}"), &remark.what);
        }
    }

    fn image(&mut self, report: &Report) {
        let Some(image) = &report.image else {
            return;
        };
        self.heading("the image, about");
        let mut table = Table::pairs();
        table.row(["size", &image.size.to_string()]);
        table.row([
            "memory",
            &table::memory(image.memory_mib, image.memory_uefi_mib),
        ]);
        self.text.push_str(&table.render(2));
    }
}

/// The language of its runtime, and those of what is linked in.
fn language(report: &Report) -> Option<String> {
    let mut told = report.language.clone()?;
    if !report.with.is_empty() {
        told = format!("{told}, with {}", report.with.join(", "));
    }
    Some(told)
}

/// What its segments leave open to whoever gets a write into it.
fn hardening(report: &Report) -> Option<String> {
    let facts = &report.facts;
    let weak = [
        (
            facts.executable_stack,
            "its stack can be executed".to_owned(),
        ),
        (
            facts.writable_code > 0,
            format!(
                "{} segments both writable and executable",
                facts.writable_code
            ),
        ),
    ];
    let weak: Vec<String> = weak
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, told)| told)
        .collect();
    (!weak.is_empty()).then(|| weak.join(", "))
}

fn appended(report: &Report) -> Option<String> {
    let bytes = report.facts.appended;
    (bytes > 0).then(|| format!("{} behind the end of the ELF file", Bytes(bytes)))
}

fn calls(report: &Report) -> String {
    let found = report.syscalls.names.len();
    match report.syscalls.unresolved {
        0 => format!("{found} system calls (named by --json)"),
        1 => format!("{found} system calls, and 1 place that could not be told"),
        n => format!("{found} system calls, and {n} places that could not be told"),
    }
}

fn listens(report: &Report) -> String {
    let ports = report.listens.iter().map(|listen| match listen.loopback {
        true => format!("{} on the loopback address", listen.port),
        false => listen.port.to_string(),
    });
    let ports: Vec<String> = ports.collect();
    format!("likely on port {}", ports.join(", "))
}

fn described(kind: &NeedKind) -> String {
    match kind {
        NeedKind::CaCertificates => "certificates of the public authorities".to_owned(),
        NeedKind::TimeZones => "time zones".to_owned(),
        NeedKind::Users => "/etc/passwd and /etc/group".to_owned(),
        NeedKind::NameResolution => "/etc/resolv.conf and /etc/hosts".to_owned(),
        NeedKind::NameServiceModules => "glibc's name service".to_owned(),
        NeedKind::MimeTypes => "media types by file name".to_owned(),
        NeedKind::Device(path) | NeedKind::Proc(path) | NeedKind::Sys(path) => path.clone(),
        NeedKind::Writable(path) => format!("to write to {path}"),
        NeedKind::Program(name) => format!("the program {name}"),
        NeedKind::Kernel(option) => format!("CONFIG_{option} in the kernel"),
    }
}

/// A piece of evidence, cut to what a line holds.
fn shown(place: &Evidence) -> String {
    let mut place = place.clone();
    if place.what.chars().count() > SHOWN {
        place.what = place.what.chars().take(SHOWN).collect();
        place.what.push('…');
    }
    place.to_string()
}

/// `text` behind `label` in lines of at most [`WIDTH`], as long as its words allow;
/// the lines after the first stand under the text.
fn wrapped(label: &str, text: &str) -> String {
    let indent = label.chars().count();
    let mut lines = String::from(label);
    let mut column = indent;
    for (number, word) in text.split(' ').filter(|word| !word.is_empty()).enumerate() {
        let width = word.chars().count();
        if number > 0 && column + 1 + width > WIDTH {
            let _ = write!(lines, "\n{}", " ".repeat(indent));
            column = indent;
        } else if number > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_filled_up_to_eighty_columns() {
        let text = "word ".repeat(40);
        let lines = wrapped("  refused  ", &text);
        assert!(lines.lines().all(|line| line.len() <= WIDTH), "{lines}");
        assert!(
            lines
                .lines()
                .skip(1)
                .all(|line| line.starts_with("           word"))
        );
        assert_eq!(lines.matches("word").count(), 40);
        let long = "x".repeat(100);
        assert_eq!(wrapped("  ", &long), format!("  {long}\n"));
    }

    #[test]
    fn long_evidence_is_cut() {
        let place = Evidence {
            section: None,
            offset: 1,
            what: "y".repeat(1000),
        };
        assert!(shown(&place).chars().count() < WIDTH);
    }
}
