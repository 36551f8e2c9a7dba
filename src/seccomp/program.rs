//! A filter as instructions of classic BPF, and what such instructions decide.
//!
//! The architecture is checked first. Then a balanced tree of comparisons finds the range
//! of numbers that the call is in: nine comparisons at the most for any call of Linux. The
//! tree looks at number and architecture alone, so the kernel runs it once for each number
//! when the filter is installed, and never again for those that are allowed (Linux 6.12,
//! kernel/seccomp.c, `seccomp_cache_prepare_bitmap`).

use ampoule_init::seccomp::{Action, CALLS, INSTRUCTION};

use crate::units::Arch;

// include/uapi/linux/bpf_common.h
const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_NOT_BELOW: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// include/uapi/linux/seccomp.h, struct seccomp_data
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// What `seccomp_data.arch` is: include/uapi/linux/audit.h.
#[must_use]
pub const fn audit_arch(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 => 0xc000_003e,
        Arch::Aarch64 => 0xc000_00b7,
    }
}

/// One instruction: `struct sock_filter`.
#[derive(Debug, Clone, Copy)]
struct Op {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

const fn op(code: u16, jt: u8, jf: u8, k: u32) -> Op {
    Op { code, jt, jf, k }
}

/// The filter that decides by `action` of each number that the pinned kernel knows. Any
/// other number is answered with ENOSYS, as the kernel would: those of later kernels, and
/// those of x86_64's x32 interface, which have bit 30 set. A call of another architecture
/// ends the process: on x86_64 those are the 32-bit ones of `int 0x80`.
#[must_use]
pub fn compile(arch: Arch, action: impl Fn(u32) -> Action) -> Vec<u8> {
    let mut ranges: Vec<(u32, Action)> = Vec::new();
    for number in 0..CALLS as u32 {
        let action = action(number);
        if ranges.last().is_none_or(|(_, last)| *last != action) {
            ranges.push((number, action));
        }
    }
    if ranges
        .last()
        .is_none_or(|(_, last)| *last != Action::Unknown)
    {
        ranges.push((CALLS as u32, Action::Unknown));
    }
    let mut ops = vec![
        op(LOAD_WORD, 0, 0, ARCH),
        op(JUMP_EQUAL, 1, 0, audit_arch(arch)),
        op(RETURN, 0, 0, Action::Kill as u32),
        op(LOAD_WORD, 0, 0, NUMBER),
    ];
    ops.extend(tree(&ranges));
    let bytes = ops.iter().flat_map(|op| {
        let [a, b] = op.code.to_le_bytes();
        let [c, d, e, f] = op.k.to_le_bytes();
        [a, b, op.jt, op.jf, c, d, e, f]
    });
    bytes.collect()
}

/// Comparisons that find the range; each range goes from its number to the next one's.
fn tree(ranges: &[(u32, Action)]) -> Vec<Op> {
    if let [(_, action)] = ranges {
        return vec![op(RETURN, 0, 0, *action as u32)];
    }
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let (left, right) = (tree(below), tree(above));
    let border = above[0].0;
    let mut ops = match u8::try_from(left.len()) {
        Ok(skipped) => vec![op(JUMP_NOT_BELOW, skipped, 0, border)],
        // a comparison skips at most 255 instructions, a jump any number
        Err(_) => vec![
            op(JUMP_NOT_BELOW, 0, 1, border),
            op(JUMP, 0, 0, left.len() as u32),
        ],
    };
    ops.extend(left);
    ops.extend(right);
    ops
}

/// What `filter` decides of the call with this number, as the kernel would come to it.
/// `None`: it is none that [`compile`] makes.
#[must_use]
pub fn decide(filter: &[u8], arch: u32, number: u32) -> Option<Action> {
    let mut loaded = 0;
    let mut at = 0_usize;
    loop {
        let start = at.checked_mul(INSTRUCTION)?;
        let op: &[u8; INSTRUCTION] = filter.get(start..)?.first_chunk()?;
        let [a, b, jt, jf, k @ ..] = *op;
        let k = u32::from_le_bytes(k);
        // only ever forward, so this ends
        at += 1 + match u16::from_le_bytes([a, b]) {
            LOAD_WORD => {
                loaded = match k {
                    NUMBER => number,
                    ARCH => arch,
                    _ => return None,
                };
                0
            }
            JUMP => usize::try_from(k).ok()?,
            JUMP_EQUAL => usize::from(if loaded == k { jt } else { jf }),
            JUMP_NOT_BELOW => usize::from(if loaded >= k { jt } else { jf }),
            RETURN => return ACTIONS.into_iter().find(|action| *action as u32 == k),
            _ => return None,
        };
    }
}

const ACTIONS: [Action; 4] = [Action::Kill, Action::Unknown, Action::Notify, Action::Allow];
