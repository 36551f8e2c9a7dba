//! One unit decoded: its instructions, how control flows among them, and how deep the
//! stack is at each.

use super::ir::{Abi, At, Flow, Insn, Op, Reg, Stack, Value, within};
use super::lift::Lifter;
use super::text::{References, Unit};
use crate::units::Arch;

/// Entries of a table of jumps that are looked at.
const TABLE_MAX: usize = 4096;
/// Tables of jumps in one unit that are looked at, and places that they lead to.
const TABLES_MAX: usize = 4096;
/// See [`TABLES_MAX`].
const TARGETS_MAX: usize = 1 << 18;
/// Instructions between clearing a register and setting its low byte, or between naming
/// a table and jumping through it.
const NEAR: usize = 8;
/// Instructions between making a pointer to the stack and the call that gets it.
const NEAR_POINTER: usize = 32;
/// Times that the depth of the stack is carried along, for jumps that lead back.
const ROUNDS: usize = 3;

/// A unit and what is known of its inside.
pub struct Decoded {
    pub unit: Unit,
    pub insns: Vec<Insn>,
    /// The stack pointer before each instruction, from what it is at the start.
    depth: Vec<Option<i32>>,
    /// Where the frame pointer points, from what the stack pointer is at the start.
    pub frame: Option<i32>,
    /// Jumps within: to which instruction, from which.
    jumps: Vec<(u32, u32)>,
    /// Jumps to computed places out of tables: from which instruction, to which.
    tables: Vec<(u32, u32)>,
    /// Jumps to computed places, whose table was not found.
    computed: Vec<u32>,
    /// Instructions that other units lead to or know the address of.
    pub entries: Vec<u32>,
}

impl Decoded {
    pub fn of(
        lifter: &Lifter<'_, '_>,
        unit: Unit,
        references: &References,
        words: &References,
    ) -> Decoded {
        let insns = lifter.lift(unit.start, unit.end);
        let mut decoded = Decoded {
            unit,
            depth: Vec::new(),
            frame: None,
            jumps: Vec::new(),
            computed: Vec::new(),
            tables: Vec::new(),
            entries: Vec::new(),
            insns,
        };
        decoded.connect(lifter);
        for (to, _) in references
            .between(unit.start, unit.end)
            .chain(words.between(unit.start, unit.end))
        {
            decoded.entries.extend(decoded.index(to));
        }
        decoded.entries.extend(
            lifter
                .text
                .place(lifter.binary.entry)
                .and_then(|at| decoded.index(at)),
        );
        decoded.entries.sort_unstable();
        decoded.entries.dedup();
        decoded.measure(&lifter.abi());
        decoded
    }

    /// The place of an instruction; behind the last, the end.
    pub fn at(&self, index: usize) -> At {
        self.insns.get(index).map_or(self.unit.end, |it| it.at)
    }

    /// The first instruction at exactly this place.
    pub fn index(&self, at: At) -> Option<u32> {
        let index = self.insns.partition_point(|insn| insn.at < at);
        let there = self.insns.get(index).is_some_and(|insn| insn.at == at);
        there.then(|| u32::try_from(index).ok()).flatten()
    }

    /// The instructions whose bytes cover this place.
    pub fn covering(&self, at: At) -> std::ops::Range<usize> {
        let end = self.insns.partition_point(|insn| insn.at <= at);
        let Some(last) = end.checked_sub(1).map(|last| self.insns[last]) else {
            return 0..0;
        };
        if at - last.at >= u32::from(last.len) {
            return 0..0;
        }
        self.insns.partition_point(|insn| insn.at < last.at)..end
    }

    /// The stack pointer before an instruction, from what it is at the start.
    pub fn depth(&self, index: usize) -> Option<i64> {
        self.depth.get(index).copied().flatten().map(i64::from)
    }

    /// Where on the stack memory at a register and a displacement is, before the
    /// instruction at `index`: bytes from where the stack pointer is at the start.
    pub fn slot(&self, abi: &Abi, index: usize, base: Reg, by: i64) -> Option<i64> {
        let origin = if base == abi.stack {
            self.depth(index)
        } else if base == abi.frame {
            self.frame.map(i64::from)
        } else {
            None
        };
        origin.map(|origin| origin.wrapping_add(by))
    }

    /// Where on the stack `reg` points to, if that was set up shortly before `index`.
    pub fn points(&self, abi: &Abi, index: usize, reg: Reg) -> Option<i64> {
        let (mut reg, mut added) = (reg, 0i64);
        for at in (index.saturating_sub(NEAR_POINTER)..index).rev() {
            match self.insns.get(at)?.op {
                Op::Set(to, Value::Copy(from, by)) if to == reg => {
                    added = added.wrapping_add(by);
                    if let Some(slot) = self.slot(abi, at, from, added) {
                        return Some(slot);
                    }
                    reg = from;
                }
                Op::Set(to, _) | Op::SetLow(to, _) if to == reg => return None,
                Op::Clobber(mask) if within(mask, reg) => return None,
                Op::Call(_) => return None,
                _ => {}
            }
        }
        None
    }

    /// The instructions that control can come from to the one at `index`, but for those
    /// of other units. The flag tells whether any way in was found.
    pub fn before(&self, index: usize, mut see: impl FnMut(usize)) -> bool {
        let mut found = false;
        if let Some(previous) = index.checked_sub(1) {
            let same = self
                .insns
                .get(index)
                .is_some_and(|it| it.at == self.insns[previous].at);
            if same || self.insns[previous].falls_through() {
                see(previous);
                found = true;
            }
            if same {
                return true;
            }
        }
        let number = index as u32;
        let from = self.jumps.partition_point(|(to, _)| *to < number);
        for (_, jump) in self.jumps[from..]
            .iter()
            .take_while(|(to, _)| *to == number)
        {
            see(*jump as usize);
            found = true;
        }
        if !found && self.entries.binary_search(&number).is_err() {
            for jump in &self.computed {
                see(*jump as usize);
                found = true;
            }
        }
        found
    }

    /// Whether `reg` is made zero shortly before the instruction at `index`.
    pub fn cleared(&self, index: usize, reg: Reg) -> bool {
        let before = self.insns[..index].iter().rev().take(NEAR);
        let mut before = before.take_while(|insn| insn.flow == Flow::Next);
        before.find_map(|insn| match insn.op {
            Op::Set(to, value) if to == reg => Some(value == Value::Const(0)),
            Op::Clobber(_) | Op::Call(_) | Op::Kernel => Some(false),
            _ => None,
        }) == Some(true)
    }

    /// Whether control can leave the unit, by a return or otherwise.
    pub fn can_end(&self) -> bool {
        let leaves = |(index, insn): (usize, &Insn)| match insn.flow {
            Flow::Return | Flow::Tail(_) => true,
            Flow::Indirect(_) | Flow::Table(_) => self.table_of(index).next().is_none(),
            Flow::Jump(to) | Flow::Branch(to) => to < self.unit.start || to >= self.unit.end,
            Flow::Next | Flow::Stop => false,
        };
        self.open_end() || self.insns.iter().enumerate().any(leaves)
    }

    /// Whether control can leave at the end of the unit to what lies behind it. A call
    /// that is last does not return: no compiler leaves it to fall into the next function.
    pub fn open_end(&self) -> bool {
        let last = self.insns.iter().rev().find(|insn| !insn.padding);
        last.is_some_and(|insn| insn.falls_through() && !matches!(insn.op, Op::Call(_)))
    }

    fn connect(&mut self, lifter: &Lifter<'_, '_>) {
        let mut computed = Vec::new();
        let mut tables = Vec::new();
        for index in 0..self.insns.len() {
            let insn = self.insns[index];
            match insn.flow {
                Flow::Jump(to) | Flow::Branch(to) => {
                    if let Some(to) = self.index(to) {
                        self.jumps.push((to, index as u32));
                    }
                }
                Flow::Indirect(_) => computed.push(index as u32),
                Flow::Table(address) => {
                    computed.push(index as u32);
                    tables.push(address);
                }
                _ => {}
            }
            if let Op::Set(_, Value::Const(address)) = insn.op {
                tables.push(address);
            }
        }
        if !computed.is_empty() {
            tables.sort_unstable();
            tables.dedup();
            tables.truncate(TABLES_MAX);
            let mut all = Vec::new();
            for table in tables {
                self.table(lifter, table, &mut all);
            }
            for jump in computed {
                let mut own = Vec::new();
                if let Some(table) = self.near(jump) {
                    self.table(lifter, table, &mut own);
                }
                let targets = if own.is_empty() { &all } else { &own };
                if targets.is_empty() || self.tables.len() > TARGETS_MAX {
                    self.computed.push(jump);
                    continue;
                }
                self.tables.extend(targets.iter().map(|to| (jump, *to)));
            }
            self.tables.sort_unstable();
            self.tables.dedup();
            self.jumps
                .extend(self.tables.iter().map(|(jump, to)| (*to, *jump)));
        }
        self.jumps.sort_unstable();
        self.jumps.dedup();
    }

    /// The table that was named shortly before a computed jump.
    fn near(&self, jump: u32) -> Option<u64> {
        let jump = jump as usize;
        if let Flow::Table(address) = self.insns[jump].flow {
            return Some(address);
        }
        let before = self.insns[..jump].iter().rev().take(NEAR);
        let mut before = before.take_while(|insn| insn.flow == Flow::Next);
        before.find_map(|insn| match insn.op {
            Op::Set(_, Value::Const(address)) => Some(address),
            _ => None,
        })
    }

    /// Where the table of a computed jump leads.
    pub fn table_of(&self, jump: usize) -> impl Iterator<Item = usize> + '_ {
        let jump = jump as u32;
        let from = self.tables.partition_point(|it| it.0 < jump);
        let own = self.tables[from..]
            .iter()
            .take_while(move |it| it.0 == jump);
        own.map(|it| it.1 as usize)
    }

    /// Reads a table of jumps: distances from the table's start, or addresses.
    fn table(&self, lifter: &Lifter<'_, '_>, table: u64, targets: &mut Vec<u32>) {
        if lifter.text.holds(table) && lifter.binary.arch == Arch::X86_64 {
            return;
        }
        let bytes = lifter.binary.at(table);
        let inside = |address: u64| {
            let at = lifter.text.place(address)?;
            (at >= self.unit.start && at < self.unit.end)
                .then(|| self.index(at))
                .flatten()
        };
        let distances = bytes.chunks_exact(4).map(|it| {
            let distance = i32::from_le_bytes(it.try_into().unwrap_or_default());
            table.wrapping_add_signed(i64::from(distance))
        });
        let before = targets.len();
        targets.extend(distances.take(TABLE_MAX).map_while(inside));
        if targets.len() == before {
            let addresses = bytes.chunks_exact(8).enumerate().map(|(index, it)| {
                let slot = table.wrapping_add(8 * index as u64);
                let stored = u64::from_le_bytes(it.try_into().unwrap_or_default());
                lifter.slots.get(slot).unwrap_or(stored)
            });
            targets.extend(addresses.take(TABLE_MAX).map_while(inside));
        }
    }

    /// Carries the depth of the stack along.
    fn measure(&mut self, abi: &Abi) {
        let count = self.insns.len();
        self.depth = vec![None; count + 1];
        self.depth[0] = Some(0);
        let mut deepest = Some(0);
        for round in 0..ROUNDS {
            for index in 0..count {
                let insn = self.insns[index];
                if self.depth[index].is_none() && round > 0 && !self.reached(index) {
                    // where nothing leads: landing pads, which run in the whole frame
                    self.depth[index] = deepest;
                }
                let here = self.depth[index];
                let next = match insn.stack {
                    Stack::Same => here,
                    Stack::Move(by) => here.and_then(|it| it.checked_add(by)),
                    Stack::Frame(by) => self.frame.and_then(|it| it.checked_add(by)),
                    Stack::Reg(reg, by) => self
                        .points(abi, index, reg)
                        .and_then(|it| i32::try_from(it).ok()?.checked_add(by)),
                    Stack::Lost => None,
                };
                if let (Op::Set(reg, Value::Copy(from, by)), Some(here)) = (insn.op, here) {
                    if reg == abi.frame && from == abi.stack && self.frame.is_none() {
                        self.frame = i32::try_from(by).ok().and_then(|by| here.checked_add(by));
                    }
                }
                deepest = deepest.min(next.or(deepest));
                if insn.falls_through() {
                    self.carry(index + 1, next);
                }
                match insn.flow {
                    Flow::Jump(to) | Flow::Branch(to) => {
                        if let Some(to) = self.index(to) {
                            self.carry(to as usize, next);
                        }
                    }
                    Flow::Indirect(_) | Flow::Table(_) => {
                        let from = self.tables.partition_point(|it| (it.0 as usize) < index);
                        for at in from..self.tables.len() {
                            let (jump, to) = self.tables[at];
                            if jump as usize != index {
                                break;
                            }
                            self.carry(to as usize, next);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn carry(&mut self, to: usize, depth: Option<i32>) {
        if self.depth[to].is_none() {
            self.depth[to] = depth;
        }
    }

    /// Whether control comes to the instruction from the one before it.
    fn reached(&self, index: usize) -> bool {
        index
            .checked_sub(1)
            .is_some_and(|previous| self.insns[previous].falls_through())
    }
}
