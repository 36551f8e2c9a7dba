//! What the functions say that Go's linker left in a program, and who calls them.
//!
//! The linker drops each function that nothing reaches, so that one which is linked in
//! can run. Whether it does is another matter: libraries have ways that an app never
//! takes. A call by the app's own packages counts; one by a library is only told.

use std::collections::BTreeMap;

use super::Listen;
use super::found::Found;
use super::ports;
use super::programs;
use super::sites::{Held, Site, Sites};
use super::table::{MODULES, What};
use crate::app::binary::Binary;
use crate::app::code::functions::{Function, Functions};
use crate::app::make::Make;
use crate::need::Confidence::{self, Likely, Possible};
use crate::need::NeedKind;
use crate::units::Arch;

/// Bytes of a string that is looked at as a program's name or an address.
const TEXT_MAX: u64 = 256;

/// What a call of a function means.
enum Means {
    /// This need.
    Need(What),
    /// Starting the program whose name is argument number so many, counted in words.
    Program(usize),
    /// Listening on the address that is argument number so many.
    Listen(usize),
    /// A flag whose name is argument number so many; the default was stored before.
    Flag(usize),
}

/// A function of the standard library or of a well-known module.
struct Rule {
    function: &'static str,
    means: Means,
    /// What is believed when nothing but a library calls it.
    linked: Option<Confidence>,
}

const fn need(function: &'static str, what: What, linked: Option<Confidence>) -> Rule {
    Rule {
        function,
        means: Means::Need(what),
        linked,
    }
}

const fn call(function: &'static str, means: Means) -> Rule {
    Rule {
        function,
        means,
        linked: None,
    }
}

/// Where zones are linked in; then none are needed.
const EMBEDDED_ZONES: &str = "time/tzdata.loadFromEmbeddedTZData";
/// The same for the roots of the certificate authorities.
const EMBEDDED_ROOTS: &str = "golang.org/x/crypto/x509roots/fallback.init";

const RULES: &[Rule] = &[
    // short functions are compiled into their callers: what they call is here, too
    need("net/http.(*Client).do", What::Ca, Some(Possible)),
    need("net/http.(*Client).Do", What::Ca, None),
    need("net/http.(*Client).Get", What::Ca, None),
    need("net/http.(*Client).Head", What::Ca, None),
    need("net/http.(*Client).Post", What::Ca, None),
    need("net/http.(*Client).PostForm", What::Ca, None),
    need("net/http.Get", What::Ca, None),
    need("net/http.Post", What::Ca, None),
    need("crypto/tls.Dial", What::Ca, Some(Possible)),
    need("crypto/tls.DialWithDialer", What::Ca, Some(Possible)),
    need("crypto/x509.SystemCertPool", What::Ca, Some(Possible)),
    need("time.LoadLocation", What::Zones, Some(Possible)),
    need("os/user.Current", What::Users, Some(Possible)),
    need("os/user.Lookup", What::Users, Some(Possible)),
    need("os/user.LookupId", What::Users, Some(Possible)),
    need("os/user.LookupGroup", What::Users, Some(Possible)),
    need("os/user.LookupGroupId", What::Users, Some(Possible)),
    need(
        "net.(*Resolver).goLookupIPCNAMEOrder",
        What::Names,
        Some(Possible),
    ),
    need("net.Dial", What::Names, None),
    need("net.DialTimeout", What::Names, None),
    need("net.(*Dialer).Dial", What::Names, None),
    need("net.(*Dialer).DialContext", What::Names, None),
    need("net.LookupHost", What::Names, None),
    need("net.LookupIP", What::Names, None),
    need("net.ResolveTCPAddr", What::Names, None),
    need("net/http.FileServer", What::Mime, None),
    need("net/http.FileServerFS", What::Mime, None),
    need("net/http.ServeFile", What::Mime, None),
    need("net/http.ServeFileFS", What::Mime, None),
    need("net/http.ServeContent", What::Mime, None),
    need("mime.TypeByExtension", What::Mime, Some(Possible)),
    need("os.Executable", What::Proc("/proc/self/exe"), Some(Likely)),
    need("os.executable", What::Proc("/proc/self/exe"), Some(Likely)),
    need("os.CreateTemp", What::Writable("/tmp"), Some(Possible)),
    need("os.MkdirTemp", What::Writable("/tmp"), Some(Possible)),
    need("os.UserHomeDir", What::Writable("$HOME"), Some(Possible)),
    need("os.UserConfigDir", What::Writable("$HOME"), Some(Possible)),
    need("os.UserCacheDir", What::Writable("$HOME"), Some(Possible)),
    call("os/exec.Command", Means::Program(0)),
    // a context, which is an interface of two words, comes first
    call("os/exec.CommandContext", Means::Program(2)),
    call("os/exec.LookPath", Means::Program(0)),
    call("os.StartProcess", Means::Program(0)),
    call("syscall.Exec", Means::Program(0)),
    call("syscall.StartProcess", Means::Program(0)),
    call("golang.org/x/sys/unix.Exec", Means::Program(0)),
    // the network's name comes first
    call("net.Listen", Means::Listen(2)),
    call("net.ListenPacket", Means::Listen(2)),
    call("net/http.ListenAndServe", Means::Listen(0)),
    call("net/http.ListenAndServeTLS", Means::Listen(0)),
    // what sets an integer is compiled into its caller, up to here
    call("flag.(*FlagSet).Var", Means::Flag(3)),
    call("github.com/spf13/pflag.(*FlagSet).Var", Means::Flag(3)),
    call("github.com/spf13/pflag.(*FlagSet).VarP", Means::Flag(3)),
    call("github.com/spf13/pflag.(*FlagSet).VarPF", Means::Flag(3)),
];

/// Adds what the functions of `binary` say.
pub fn find(
    binary: &Binary<'_>,
    functions: &Functions<'_, '_>,
    make: &Make,
    found: &mut Found,
    listens: &mut Vec<Listen>,
) {
    modules(binary, make, found);
    let rules: BTreeMap<&str, &Rule> = RULES.iter().map(|rule| (rule.function, rule)).collect();
    let mut linked: BTreeMap<u64, &Rule> = BTreeMap::new();
    let (mut zones, mut roots) = (false, false);
    for function in functions.iter() {
        let Some(name) = function.name else { continue };
        zones |= name == EMBEDDED_ZONES;
        roots |= name.starts_with(EMBEDDED_ROOTS);
        if let Some(rule) = rules.get(name) {
            linked.insert(function.address, rule);
        }
    }
    let is_own = own(make);
    let offset = |address: u64| binary.offset_of(address).unwrap_or_default();
    for (address, rule) in &linked {
        if let (Means::Need(what), Some(confidence)) = (&rule.means, rule.linked) {
            let what_says = format!("{} is linked in", rule.function);
            let evidence = binary.evidence(offset(*address), what_says);
            found.add(what.kind(), confidence, evidence);
        }
    }
    let sites = Sites::of(binary);
    let targets: Vec<u64> = linked.keys().copied().collect();
    for site in sites.calls(&targets) {
        let (Some(rule), Some(caller)) = (linked.get(&site.target), functions.at(site.at)) else {
            continue;
        };
        let Some(name) = caller.name else { continue };
        let call = Call {
            binary,
            site,
            caller,
            name,
            rule,
            own: is_own(name),
        };
        call.judge(&sites, found, listens);
    }
    if zones {
        found.drop_where(|kind| *kind == NeedKind::TimeZones);
    }
    if roots {
        found.drop_where(|kind| *kind == NeedKind::CaCertificates);
    }
}

/// What modules say that are there for one thing only.
fn modules(binary: &Binary<'_>, make: &Make, found: &mut Found) {
    let block = binary
        .section(".go.buildinfo")
        .map_or(0, |section| section.offset);
    for package in MODULES {
        let holds = |path: &&String| {
            let rest = path.strip_prefix(package.name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if let Some(path) = make.dependencies.keys().find(holds) {
            let evidence = binary.evidence(block, format!("the module {path} is linked in"));
            found.add(package.what.kind(), package.confidence, evidence);
        }
    }
}

/// Whether a function is of the app's own module.
fn own(make: &Make) -> impl Fn(&str) -> bool + use<> {
    let module = make.module.as_ref().map(|module| module.path.clone());
    move |name: &str| {
        let below = |path: &String| {
            let rest = name.strip_prefix(path.as_str());
            rest.is_some_and(|rest| rest.starts_with(['/', '.']))
        };
        name.starts_with("main.") || module.as_ref().is_some_and(below)
    }
}

/// One call of a function that has a rule.
struct Call<'c, 'a> {
    binary: &'c Binary<'a>,
    site: Site,
    caller: Function<'a>,
    name: &'a str,
    rule: &'static Rule,
    /// Whether the app's own module calls.
    own: bool,
}

impl Call<'_, '_> {
    fn judge(&self, sites: &Sites<'_, '_>, found: &mut Found, listens: &mut Vec<Listen>) {
        let confidence = if self.own { Likely } else { Possible };
        let place = self.binary.offset_of(self.site.at).unwrap_or_default();
        let function = self.rule.function;
        let says = |what: &str| {
            self.binary
                .evidence(place, format!("{what} by {}", self.name))
        };
        match self.rule.means {
            Means::Need(what) => {
                if self.own {
                    found.add(what.kind(), Likely, says(function));
                }
            }
            Means::Program(argument) => {
                let held = sites.held(self.caller.address, self.site.at);
                if let Some(program) = self.text(&held, argument) {
                    if programs::is_program(&program) {
                        let confidence = confidence.min(programs::confidence(&program));
                        let evidence = says(&format!("{function}({program:?})"));
                        found.add(NeedKind::Program(program), confidence, evidence);
                    }
                }
            }
            // where a library listens by itself is for its caller to decide
            Means::Listen(_) | Means::Flag(_) if !self.own => {}
            Means::Listen(argument) => {
                let held = sites.held(self.caller.address, self.site.at);
                if let Some((port, loopback)) = self
                    .text(&held, argument)
                    .as_deref()
                    .and_then(ports::address)
                {
                    listens.push(Listen {
                        port,
                        loopback,
                        confidence,
                        evidence: says(function),
                    });
                }
            }
            Means::Flag(name) => {
                let held = sites.held(self.caller.address, self.site.at);
                let flag = self.text(&held, name).filter(|name| ports::is_flag(name));
                let port = held.stored.and_then(|port| u16::try_from(port).ok());
                if let (Some(flag), Some(port @ 1..)) = (flag, port) {
                    listens.push(Listen {
                        port,
                        loopback: false,
                        confidence: Possible,
                        evidence: says(&format!("the flag {flag:?} with {port}")),
                    });
                }
            }
        }
    }

    /// The word of an argument, by Go's own convention (cmd/compile/abi-internal).
    fn argument(&self, held: &Held, number: usize) -> Option<u64> {
        const X86_64: [usize; 9] = [0, 3, 1, 7, 6, 8, 9, 10, 11];
        let register = match self.binary.arch {
            Arch::X86_64 => *X86_64.get(number)?,
            Arch::Aarch64 => number,
        };
        *held.registers.get(register)?
    }

    /// The string whose address and length are the arguments from `number` on.
    fn text(&self, held: &Held, number: usize) -> Option<String> {
        let len = self
            .argument(held, number + 1)
            .filter(|len| *len <= TEXT_MAX)?;
        let bytes = self.binary.at(self.argument(held, number)?);
        let text = bytes.get(..usize::try_from(len).ok()?)?;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }
}
