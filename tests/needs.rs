//! Needs, told from small programs that carry a sign of each, and the same signs where
//! they say nothing.

use ampoule::app::{Analysis, analyse};
use ampoule::need::{Confidence, NeedKind};
use object::elf::{self, Machine};

#[path = "common/elf.rs"]
#[allow(dead_code)]
mod sample;

use sample::Sample;

/// Where the content of a sample without other parts is loaded.
const BASE: u64 = 0x40_0080;

/// A string that makes a static program one of C with glibc.
const GLIBC: &[u8] = b"\0glibc.malloc.mxfast\0";
/// One that makes it a program of Rust.
const RUST: &[u8] = b"\0/rustc/31fca3adb283cc9dfd56b49cdee9a96eb9c96ffd/library/core/src/str.rs";

fn analysed(machine: Machine, content: &[u8]) -> Analysis {
    let sample = Sample {
        machine,
        content: content.to_vec(),
        ..Sample::default()
    };
    analyse(&sample.bytes()).unwrap()
}

/// How sure it is that a program with this content needs `kind`.
fn sure(content: &[u8], kind: &NeedKind) -> Option<Confidence> {
    let analysis = analysed(elf::EM_X86_64, content);
    let need = analysis.needs.iter().find(|need| need.kind == *kind)?;
    assert!(!need.evidence.is_empty() && need.evidence.len() <= 8);
    Some(need.confidence)
}

fn shell() -> NeedKind {
    NeedKind::Program("/bin/sh".to_owned())
}

#[test]
fn strings_that_no_library_carries_for_everyone_tell() {
    use Confidence::{Certain, Likely, Possible};
    let device = NeedKind::Device("/dev/net/tun".to_owned());
    let proc = NeedKind::Proc("/proc/net/dev".to_owned());
    for (text, kind, confidence) in [
        (
            "/etc/ssl/certs/ca-certificates.crt",
            NeedKind::CaCertificates,
            Likely,
        ),
        (
            "No CA certificates were loaded from the system",
            NeedKind::CaCertificates,
            Certain,
        ),
        (
            "/usr/local/ssl/cert.pem",
            NeedKind::CaCertificates,
            Possible,
        ),
        ("/usr/share/zoneinfo", NeedKind::TimeZones, Possible),
        ("/etc/passwd", NeedKind::Users, Likely),
        ("/etc/resolv.conf", NeedKind::NameResolution, Likely),
        ("/etc/mime.types", NeedKind::MimeTypes, Likely),
        ("/dev/net/tun", device, Likely),
        ("/proc/net/dev", proc, Likely),
    ] {
        let content = [b"\0", text.as_bytes(), b"\0"].concat();
        assert_eq!(sure(&content, &kind), Some(confidence), "{text}");
    }
}

#[test]
fn what_every_program_carries_is_no_need() {
    let carried = b"\0/dev/urandom\0/dev/null\0/proc/self/exe\0/proc/self/maps\0/sys/fs/cgroup\0\
                    /proc/sys/vm/overcommit_memory\0/bin/sh\0/bin:/usr/bin\0see /etc/passwd\0";
    for language in [GLIBC, RUST] {
        let analysis = analysed(elf::EM_X86_64, &[&carried[..], language].concat());
        assert_eq!(analysis.needs, []);
        assert_eq!(analysis.listens, []);
    }
}

#[test]
fn static_glibc_looks_for_modules_of_its_name_service() {
    let content = [b"\0/etc/nsswitch.conf\0", GLIBC].concat();
    let likely = Some(Confidence::Likely);
    assert_eq!(sure(&content, &NeedKind::NameServiceModules), likely);
    // Go reads the same file by itself
    let other = b"\0/etc/nsswitch.conf\0";
    assert_eq!(sure(other, &NeedKind::NameServiceModules), None);
}

/// `lea reg, [rip + …]` to `target`, for an instruction at `at` of the content.
fn lea(modrm: u8, at: usize, target: usize) -> Vec<u8> {
    let disp = i32::try_from(target).unwrap() - i32::try_from(at + 7).unwrap();
    [&[0x48, 0x8d, modrm][..], &disp.to_le_bytes()].concat()
}

/// rdi, rsi and rax in the middle of a ModRM byte, with rip and a displacement.
const RDI: u8 = 0x3d;
const RSI: u8 = 0x35;
const RAX: u8 = 0x05;

/// Code that takes the address of the shell, and of what stands at 0x50 too.
fn runs_shell(option: &[u8], language: &[u8]) -> Vec<u8> {
    let mut content = lea(RDI, 0, 0x41);
    content.extend(lea(RSI, 7, 0x50));
    content.resize(0x41, 0);
    content.extend(b"/bin/sh\0");
    content.resize(0x50, 0);
    content.extend(option);
    content.extend(language);
    content
}

#[test]
fn a_shell_that_is_given_a_command_is_a_shell_out() {
    use Confidence::{Likely, Possible};
    assert_eq!(sure(&runs_shell(b"-c\0", GLIBC), &shell()), Some(Likely));
    // execvp(3) hands files to the shell that are no programs: every program has that
    assert_eq!(sure(&runs_shell(b"-x\0", GLIBC), &shell()), None);
    // system(3) of a library in a program that starts others without it
    assert_eq!(sure(&runs_shell(b"-c\0", RUST), &shell()), Some(Possible));
}

#[test]
fn a_shell_whose_address_is_in_the_instruction() {
    let mut content = vec![0xbf];
    content.extend(u32::try_from(BASE + 0x41).unwrap().to_le_bytes());
    content.push(0xbe);
    content.extend(u32::try_from(BASE + 0x50).unwrap().to_le_bytes());
    content.resize(0x41, 0);
    content.extend(b"/bin/sh\0");
    content.resize(0x50, 0);
    content.extend(b"-c\0");
    content.extend(GLIBC);
    assert_eq!(sure(&content, &shell()), Some(Confidence::Likely));
}

#[test]
fn a_shell_in_code_of_aarch64() {
    // adrp x0, 0; add x0, x0, #0xc0; adrp x1, 0; add x1, x1, #0xd0
    let words = [0x9000_0000_u32, 0x9103_0000, 0x9000_0001, 0x9103_4021];
    let mut content: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    content.resize(0x40, 0);
    content.extend(b"/bin/sh\0");
    content.resize(0x50, 0);
    content.extend(b"-c\0");
    content.extend(GLIBC);
    let analysis = analysed(elf::EM_AARCH64, &content);
    let kinds: Vec<_> = analysis.needs.iter().map(|need| &need.kind).collect();
    assert_eq!(kinds, [&shell()]);
}

#[test]
fn a_shell_as_a_string_of_rust() {
    let with = |option: &[u8]| {
        let mut content = lea(RAX, 0, 0x40);
        content.extend(lea(RSI, 7, 0x50));
        content.resize(0x40, 0);
        content.extend(b"/bin/sh/next");
        content.resize(0x50, 0);
        content.extend(option);
        content.extend(RUST);
        sure(&content, &shell())
    };
    assert_eq!(with(b"-cbehind"), Some(Confidence::Likely));
    // there to be read, to see which C library it is linked with
    assert_eq!(with(b"-xbehind"), Some(Confidence::Possible));
}

#[test]
fn a_program_that_is_a_shell_is_not_said_to_start_one() {
    let content = [
        &runs_shell(b"-c\0", GLIBC),
        &b"\0Stand-alone shell (version 1)\0"[..],
    ]
    .concat();
    assert_eq!(sure(&content, &shell()), None);
}

/// A program of Go: functions with their code, which are 64 bytes apart, and data
/// behind them at 0x400.
fn go(functions: &[(&str, Vec<u8>)], data: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    for (number, (_, code)) in functions.iter().enumerate() {
        content.resize(number * 64, 0xcc);
        content.extend(code);
    }
    let end = functions.len() * 64;
    content.resize(0x400, 0xcc);
    content.extend(data);
    content.resize(0x800, 0);
    // the table as Go 1.20 writes it (debug/gosym, go12Funcs)
    let names: Vec<u8> = functions
        .iter()
        .flat_map(|(name, _)| [name.as_bytes(), b"\0"].concat())
        .collect();
    let index = 72 + names.len().next_multiple_of(8);
    content.extend([0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
    for word in [
        functions.len(),
        0,
        usize::try_from(BASE).unwrap(),
        72,
        0,
        0,
        0,
        index,
    ] {
        content.extend((word as u64).to_le_bytes());
    }
    content.extend(&names);
    content.resize(0x800 + index, 0);
    let records = functions.len() * 8 + 4;
    for number in 0..functions.len() {
        content.extend(u32::try_from(number * 64).unwrap().to_le_bytes());
        content.extend(u32::try_from(records + number * 8).unwrap().to_le_bytes());
    }
    content.extend(u32::try_from(end).unwrap().to_le_bytes());
    let mut name_at = 0;
    for (number, (name, _)) in functions.iter().enumerate() {
        content.extend(u32::try_from(number * 64).unwrap().to_le_bytes());
        content.extend(u32::try_from(name_at).unwrap().to_le_bytes());
        name_at += name.len() + 1;
    }
    content
}

/// Code of the function at `at` that calls the one at `target`, with a string of `len`
/// bytes at 0x400 as its first argument.
fn calls_with(at: usize, target: usize, len: u8) -> Vec<u8> {
    let mut code = lea(RAX, at, 0x400);
    code.extend([0xbb, len, 0, 0, 0]);
    code.push(0xe8);
    let disp = i32::try_from(target).unwrap() - i32::try_from(at + code.len() + 4).unwrap();
    code.extend(disp.to_le_bytes());
    code.push(0xc3);
    code
}

fn go_calls(caller: &str, function: &str, argument: &str) -> Vec<u8> {
    let len = u8::try_from(argument.len()).unwrap();
    let functions = [(caller, calls_with(0, 64, len)), (function, vec![0xc3])];
    // other strings stand close behind, as Go packs them
    go(&functions, &[argument.as_bytes(), b"behind"].concat())
}

#[test]
fn go_starts_the_program_that_its_own_code_names() {
    use Confidence::{Likely, Possible};
    let program = |name: &str| NeedKind::Program(name.to_owned());
    let of =
        |caller: &str, name: &str| sure(&go_calls(caller, "os/exec.Command", name), &program(name));
    assert_eq!(of("main.run", "/bin/sh"), Some(Likely));
    assert_eq!(of("main.run", "bash"), Some(Likely));
    // a bare name may be missing, and a library's call may never come
    assert_eq!(of("main.run", "pg_dump"), Some(Possible));
    assert_eq!(of("example.org/lib.run", "/bin/sh"), Some(Possible));
    // os/exec is linked in, and nothing is started
    let linked = go(
        &[("main.main", vec![0xc3]), ("os/exec.Command", vec![0xc3])],
        b"/bin/sh",
    );
    assert_eq!(analysed(elf::EM_X86_64, &linked).needs, []);
}

#[test]
fn go_needs_what_its_own_code_asks_for() {
    use Confidence::{Likely, Possible};
    for (function, kind) in [
        ("net/http.(*Client).do", NeedKind::CaCertificates),
        ("time.LoadLocation", NeedKind::TimeZones),
        ("os/user.Current", NeedKind::Users),
        ("os.UserHomeDir", NeedKind::Writable("$HOME".to_owned())),
    ] {
        let own = go_calls("main.main", function, "");
        assert_eq!(sure(&own, &kind), Some(Likely), "{function}");
        let library = go_calls("example.org/lib.f", function, "");
        assert_eq!(sure(&library, &kind), Some(Possible), "{function}");
    }
}

#[test]
fn go_that_brings_its_zones_needs_none() {
    let functions = [
        ("main.main", calls_with(0, 64, 0)),
        ("time.LoadLocation", vec![0xc3]),
        ("time/tzdata.loadFromEmbeddedTZData", vec![0xc3]),
    ];
    assert_eq!(sure(&go(&functions, b""), &NeedKind::TimeZones), None);
}

#[test]
fn go_listens_where_it_says() {
    let listens = |address: &str| {
        let content = go_calls("main.main", "net/http.ListenAndServe", address);
        let listens = analysed(elf::EM_X86_64, &content).listens;
        listens
            .iter()
            .map(|it| (it.port, it.loopback))
            .collect::<Vec<_>>()
    };
    assert_eq!(listens(":8080"), [(8080, false)]);
    assert_eq!(listens("localhost:2019"), [(2019, true)]);
    assert_eq!(listens("none"), []);
}

#[test]
fn go_has_a_port_as_the_default_of_a_flag() {
    // mov qword [rax + 48], 7233; lea rdi, "ui-port"; mov esi, 7; call
    let mut code = vec![0x48, 0xc7, 0x40, 0x30, 0x41, 0x1c, 0, 0];
    code.extend(lea(RDI, 8, 0x400));
    code.extend([0xbe, 7, 0, 0, 0, 0xe8]);
    code.extend(i32::to_le_bytes(64 - 25));
    let of = |caller| -> Vec<u16> {
        let functions = [(caller, code.clone()), ("flag.(*FlagSet).Var", vec![0xc3])];
        let listens = analysed(elf::EM_X86_64, &go(&functions, b"ui-portbehind")).listens;
        listens.iter().map(|it| it.port).collect()
    };
    assert_eq!(of("main.main"), [7233]);
    assert!(of("example.org/lib.init").is_empty());
}

#[test]
fn a_string_of_c_that_is_an_address_is_a_possible_port() {
    let content = [b"\0[::]:9070\0 http://0.0.0.0:80\0", GLIBC].concat();
    let listens = analysed(elf::EM_X86_64, &content).listens;
    assert_eq!(listens.len(), 1);
    assert_eq!((listens[0].port, listens[0].loopback), (9070, false));
    assert_eq!(listens[0].confidence, Confidence::Possible);
}

#[test]
fn rust_has_the_port_apart_from_the_address() {
    // lea rax, "127.0.0.1"; mov dx, 1414
    let mut content = lea(RAX, 0, 0x40);
    content.extend([0x66, 0xba, 0x86, 0x05]);
    content.resize(0x40, 0);
    content.extend(b"127.0.0.1");
    content.extend(RUST);
    let listens = analysed(elf::EM_X86_64, &content).listens;
    assert_eq!(listens.len(), 1);
    assert_eq!((listens[0].port, listens[0].loopback), (1414, true));
    assert_eq!(listens[0].confidence, Confidence::Possible);
    content.extend(b"0.0.0.0");
    assert_eq!(analysed(elf::EM_X86_64, &content).listens, []);
    // adrp x0, 0; add x0, x0, #0xc0; mov w1, #1414, twice
    let words = [0x9000_0000_u32, 0x9103_0000, 0x5280_b0c1].repeat(2);
    let mut content: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    content.resize(0x40, 0);
    content.extend(b"127.0.0.1");
    content.extend(RUST);
    let listens = analysed(elf::EM_AARCH64, &content).listens;
    let told: Vec<_> = listens.iter().map(|it| (it.port, it.confidence)).collect();
    assert_eq!(told, [(1414, Confidence::Likely)]);
}

#[test]
fn of_a_packed_program_it_is_said_that_nothing_can_be_told() {
    let analysis = analysed(
        elf::EM_X86_64,
        b"\x90\x90\x90\x90UPX!\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    );
    assert!(analysis.shape.packed().is_some());
    let told = &analysis.calls.unresolved.last().unwrap().what;
    assert!(told.contains("`upx -d`"), "{told}");
    let memfd = NeedKind::Kernel("MEMFD_CREATE".to_owned());
    assert!(analysis.needs.iter().any(|need| need.kind == memfd));
}

#[test]
fn a_file_full_of_signs_is_told_in_few_words() {
    let signs = b"\0/etc/passwd\0/bin/sh\0-c\x000.0.0.0:8080\0\xff Go buildinf:\0".repeat(2000);
    let analysis = analysed(elf::EM_X86_64, &[&signs[..], GLIBC].concat());
    assert!(analysis.needs.iter().all(|need| need.evidence.len() <= 8));
    assert_eq!(analysis.listens.len(), 1);
}
