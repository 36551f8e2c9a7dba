//! What an instruction does, as far as following a number through it goes. Both
//! architectures are lifted into this; what it cannot say is said as "unknown".

/// A place in the text: bytes from its lowest address.
pub type At = u32;

/// A general register: the number that the architecture encodes it with. Higher numbers
/// are registers that no mask tells of.
pub type Reg = u8;

/// Whether `mask`, with one bit a register, tells of `reg`.
pub fn within(mask: u32, reg: Reg) -> bool {
    mask.checked_shr(u32::from(reg)).unwrap_or(0) & 1 == 1
}

/// What a register gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A number; of an address in the program, before a static-pie program is moved.
    Const(u64),
    /// The address of a page, which the next instruction adds the rest to.
    Page(u64),
    /// Another register, and something added to it.
    Copy(Reg, i64),
    /// The low byte of another register.
    Low(Reg),
    /// What memory at a register and a displacement holds: at least two bytes of it.
    Load(Reg, i64),
    /// What memory at an address holds.
    Global(u64),
    /// Either its old value or another register.
    Either(Reg),
    /// The first register or the second plus a number.
    Choice(Reg, Reg, i64),
    /// Something else.
    Unknown,
}

/// What is written to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A number.
    Const(u64),
    /// A register.
    Reg(Reg),
    /// Something else.
    Unknown,
}

/// Where control goes in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callee {
    /// A place in the text.
    At(At),
    /// The function whose address is in memory at this address.
    Slot(u64),
    /// The function whose address is in a register.
    Reg(Reg),
    /// The function whose address is in memory at a register and a displacement.
    Behind(Reg, i64),
    /// Elsewhere.
    Unknown,
}

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Nothing that matters.
    Nothing,
    /// A register.
    Set(Reg, Value),
    /// A register's low byte.
    SetLow(Reg, Value),
    /// Memory at a register and a displacement, and how many bytes.
    Store(Reg, i64, u8, Source),
    /// Memory at an address.
    StoreGlobal(u64, Source),
    /// Several registers, one a bit, to something unknown.
    Clobber(u32),
    /// All registers that a call may change.
    Call(Callee),
    /// The kernel is entered.
    Kernel,
    /// The kernel is entered with the numbers of another architecture.
    Foreign,
}

/// How the stack pointer moves; an operand relative to it is meant before that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// It stays.
    Same,
    /// By this.
    Move(i32),
    /// To the frame pointer, and this added.
    Frame(i32),
    /// To another register, and this added.
    Reg(Reg, i32),
    /// Nobody knows.
    Lost,
}

/// Where control goes afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// To the next instruction.
    Next,
    /// To a place.
    Jump(At),
    /// To a place or to the next instruction.
    Branch(At),
    /// To the function whose address is in memory at this address.
    Tail(u64),
    /// To a place out of a table at this address.
    Table(u64),
    /// To a place that is computed, in this register if it is one.
    Indirect(Option<Reg>),
    /// Back to the caller.
    Return,
    /// Nowhere.
    Stop,
}

/// What a branch tells of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Equal {
    /// The register.
    pub reg: Reg,
    /// What is in it.
    pub number: u64,
    /// Whether that is so where the branch leads, or behind it.
    pub taken: bool,
}

/// One instruction; an instruction that does two things is two of these at one place,
/// of which the last has the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    /// Where it is.
    pub at: At,
    /// Bytes that it takes.
    pub len: u8,
    /// Whether it only fills space, so that nobody expects to come by.
    pub padding: bool,
    /// The registers that it reads in a way that `op` does not tell, one a bit.
    pub reads: u32,
    /// What is known of a register on one of the ways that a branch leads.
    pub equal: Option<Equal>,
    /// What it changes.
    pub op: Op,
    /// What it does to the stack pointer.
    pub stack: Stack,
    /// Where it leads.
    pub flow: Flow,
}

impl Insn {
    /// Whether control can reach the instruction behind it.
    pub fn falls_through(&self) -> bool {
        matches!(self.flow, Flow::Next | Flow::Branch(_))
    }
}

/// What differs between architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abi {
    /// The register with the number of the call.
    pub number: Reg,
    /// The register with the call's result.
    pub result: Reg,
    /// The stack pointer.
    pub stack: Reg,
    /// The register that holds the frame where functions keep one.
    pub frame: Reg,
    /// The registers that a call may change, one a bit.
    pub volatile: u32,
    /// The registers that entering the kernel changes, one a bit.
    pub kernel: u32,
    /// The registers that hold the first and the second argument of a call.
    pub first: Reg,
    /// See [`Abi::first`].
    pub second: Reg,
    /// The registers that hold arguments of a call, one a bit.
    pub arguments: u32,
    /// Bytes that a call puts on the stack.
    pub pushed: i64,
    /// The register that is always zero.
    pub zero: Option<Reg>,
}
