//! LZMA, as far as a few hundred bytes of packed headers need it.
//!
//! Written after the specification in the LZMA SDK (DOC/lzma-specification.txt);
//! names are its. The whole output is the dictionary, so there is no window.

/// Bits of a probability (kNumBitModelTotalBits).
const PROBABILITY_BITS: u32 = 11;
/// The probability at the start: one half.
const HALF: u16 = 1 << (PROBABILITY_BITS - 1);
/// How fast probabilities adapt (kNumMoveBits).
const MOVE_BITS: u32 = 5;
/// Below this the range is filled up from the input (kTopValue).
const TOP: u32 = 1 << 24;
/// States of the model of what came last (kNumStates).
const STATES: usize = 12;
/// Positions that the models tell apart, at most (1 << kNumPosBitsMax).
const POSITIONS: usize = 16;
/// Lengths are coded from this on (kMatchMinLen).
const LENGTH_MIN: usize = 2;
/// Distance slots from here on have bits of equal chance (kEndPosModelIndex).
const DIRECT_FROM: u32 = 14;

/// The parameters of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Properties {
    /// Literal context bits, at most 8.
    pub lc: u32,
    /// Literal position bits, at most 4.
    pub lp: u32,
    /// Position bits, at most 4.
    pub pb: u32,
}

/// Unpacks `len` bytes out of `packed`, which has no header of its own; nothing if
/// it is damaged.
pub fn unpack(packed: &[u8], properties: Properties, len: usize) -> Option<Vec<u8>> {
    let Properties { lc, lp, pb } = properties;
    if lc > 8 || lp > 4 || pb > 4 {
        return None;
    }
    Decoder::new(packed, properties)?.run(len)
}

/// The range coder's end of the input.
struct Input<'a> {
    bytes: std::slice::Iter<'a, u8>,
    range: u32,
    code: u32,
}

impl<'a> Input<'a> {
    fn new(packed: &'a [u8]) -> Option<Input<'a>> {
        let (first, rest) = packed.split_first()?;
        let (code, rest) = rest.split_first_chunk::<4>()?;
        (*first == 0).then(|| Input {
            bytes: rest.iter(),
            range: u32::MAX,
            code: u32::from_be_bytes(*code),
        })
    }

    fn normalize(&mut self) -> Option<()> {
        if self.range < TOP {
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(*self.bytes.next()?);
        }
        Some(())
    }

    fn bit(&mut self, probability: &mut u16) -> Option<bool> {
        self.normalize()?;
        let bound = (self.range >> PROBABILITY_BITS) * u32::from(*probability);
        let set = self.code >= bound;
        if set {
            self.range -= bound;
            self.code -= bound;
            *probability -= *probability >> MOVE_BITS;
        } else {
            self.range = bound;
            *probability += ((1 << PROBABILITY_BITS) - *probability) >> MOVE_BITS;
        }
        Some(set)
    }

    /// `count` bits of equal chance, the highest first.
    fn direct(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            self.normalize()?;
            self.range >>= 1;
            let set = self.code >= self.range;
            if set {
                self.code -= self.range;
            }
            value = value << 1 | u32::from(set);
        }
        Some(value)
    }

    /// A number of `bits` bits, the highest first.
    fn tree(&mut self, models: &mut [u16], bits: u32) -> Option<u32> {
        let mut node = 1;
        for _ in 0..bits {
            let set = self.bit(models.get_mut(node)?)?;
            node = node << 1 | usize::from(set);
        }
        u32::try_from(node - (1 << bits)).ok()
    }

    /// A number of `bits` bits, the lowest first.
    fn reverse_tree(&mut self, models: &mut [u16], bits: u32) -> Option<u32> {
        let (mut node, mut value) = (1, 0);
        for place in 0..bits {
            let set = self.bit(models.get_mut(node)?)?;
            node = node << 1 | usize::from(set);
            value |= u32::from(set) << place;
        }
        Some(value)
    }
}

/// The models of a match's length.
struct Lengths {
    choice: [u16; 2],
    low: [[u16; 8]; POSITIONS],
    middle: [[u16; 8]; POSITIONS],
    high: [u16; 256],
}

impl Lengths {
    const NEW: Lengths = Lengths {
        choice: [HALF; 2],
        low: [[HALF; 8]; POSITIONS],
        middle: [[HALF; 8]; POSITIONS],
        high: [HALF; 256],
    };

    fn read(&mut self, input: &mut Input<'_>, position: usize) -> Option<usize> {
        let length = if !input.bit(&mut self.choice[0])? {
            input.tree(&mut self.low[position], 3)?
        } else if !input.bit(&mut self.choice[1])? {
            8 + input.tree(&mut self.middle[position], 3)?
        } else {
            16 + input.tree(&mut self.high, 8)?
        };
        Some(usize::try_from(length).ok()? + LENGTH_MIN)
    }
}

struct Decoder<'a> {
    input: Input<'a>,
    properties: Properties,
    out: Vec<u8>,
    state: usize,
    /// The four last distances, the latest first, each less one.
    distances: [u32; 4],
    literals: Vec<u16>,
    is_match: [[u16; POSITIONS]; STATES],
    is_repeat: [u16; STATES],
    is_older: [[u16; STATES]; 3],
    is_long: [[u16; POSITIONS]; STATES],
    lengths: Lengths,
    repeat_lengths: Lengths,
    slots: [[u16; 64]; 4],
    /// For each slot that has few bits of its own, their models.
    near: [[u16; 32]; DIRECT_FROM as usize],
    align: [u16; 16],
}

impl<'a> Decoder<'a> {
    fn new(packed: &'a [u8], properties: Properties) -> Option<Decoder<'a>> {
        Some(Decoder {
            input: Input::new(packed)?,
            properties,
            out: Vec::new(),
            state: 0,
            distances: [0; 4],
            literals: vec![HALF; 0x300 << (properties.lc + properties.lp)],
            is_match: [[HALF; POSITIONS]; STATES],
            is_repeat: [HALF; STATES],
            is_older: [[HALF; STATES]; 3],
            is_long: [[HALF; POSITIONS]; STATES],
            lengths: Lengths::NEW,
            repeat_lengths: Lengths::NEW,
            slots: [[HALF; 64]; 4],
            near: [[HALF; 32]; DIRECT_FROM as usize],
            align: [HALF; 16],
        })
    }

    fn run(mut self, len: usize) -> Option<Vec<u8>> {
        while self.out.len() < len {
            let position = self.out.len() & ((1 << self.properties.pb) - 1);
            if !self.input.bit(&mut self.is_match[self.state][position])? {
                self.literal()?;
                continue;
            }
            let length = if self.input.bit(&mut self.is_repeat[self.state])? {
                self.repeat(position)?
            } else {
                self.fresh(position)?
            };
            self.copy(length.min(len - self.out.len()))?;
        }
        Some(self.out)
    }

    fn literal(&mut self) -> Option<()> {
        let Properties { lc, lp, .. } = self.properties;
        let before = usize::from(self.out.last().copied().unwrap_or(0));
        let place = self.out.len() & ((1 << lp) - 1);
        let context = place << lc | before >> (8 - lc);
        let models = self.literals.get_mut(0x300 * context..)?;
        let mut symbol: usize = 1;
        if self.state >= 7 {
            // after a match, the byte that would have gone on with it is a hint
            let back = usize::try_from(self.distances[0]).ok()? + 1;
            let mut hint = usize::from(*self.out.get(self.out.len().checked_sub(back)?)?);
            while symbol < 0x100 {
                hint <<= 1;
                let expected = hint & 0x100;
                let set = self.input.bit(&mut models[0x100 + expected + symbol])?;
                symbol = symbol << 1 | usize::from(set);
                if (expected != 0) != set {
                    break;
                }
            }
        }
        while symbol < 0x100 {
            let set = self.input.bit(&mut models[symbol])?;
            symbol = symbol << 1 | usize::from(set);
        }
        self.out.push(u8::try_from(symbol & 0xff).ok()?);
        self.state = match self.state {
            0..=3 => 0,
            4..=9 => self.state - 3,
            _ => self.state - 6,
        };
        Some(())
    }

    /// A match at one of the last distances; gives its length.
    fn repeat(&mut self, position: usize) -> Option<usize> {
        let state = self.state;
        if !self.input.bit(&mut self.is_older[0][state])? {
            if !self.input.bit(&mut self.is_long[state][position])? {
                self.state = if state < 7 { 9 } else { 11 };
                return Some(1);
            }
        } else {
            let which = if !self.input.bit(&mut self.is_older[1][state])? {
                1
            } else if !self.input.bit(&mut self.is_older[2][state])? {
                2
            } else {
                3
            };
            self.distances[..=which].rotate_right(1);
        }
        self.state = if state < 7 { 8 } else { 11 };
        self.repeat_lengths.read(&mut self.input, position)
    }

    /// A match at a new distance; gives its length.
    fn fresh(&mut self, position: usize) -> Option<usize> {
        let length = self.lengths.read(&mut self.input, position)?;
        self.state = if self.state < 7 { 7 } else { 10 };
        self.distances.rotate_right(1);
        self.distances[0] = self.distance(length)?;
        Some(length)
    }

    fn distance(&mut self, length: usize) -> Option<u32> {
        let kind = (length - LENGTH_MIN).min(3);
        let slot = self.input.tree(&mut self.slots[kind], 6)?;
        if slot < 4 {
            return Some(slot);
        }
        let bits = (slot >> 1) - 1;
        let base = (2 | slot & 1) << bits;
        if slot < DIRECT_FROM {
            let models = self.near.get_mut(usize::try_from(slot).ok()?)?;
            return Some(base + self.input.reverse_tree(models, bits)?);
        }
        let high = self.input.direct(bits - 4)? << 4;
        let low = self.input.reverse_tree(&mut self.align, 4)?;
        base.checked_add(high)?.checked_add(low)
    }

    /// Repeats `length` bytes from the latest distance; the two may overlap.
    fn copy(&mut self, length: usize) -> Option<()> {
        let back = usize::try_from(self.distances[0]).ok()?.checked_add(1)?;
        for _ in 0..length {
            let at = self.out.len().checked_sub(back)?;
            self.out.push(self.out[at]);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Properties = Properties {
        lc: 3,
        lp: 0,
        pb: 2,
    };

    /// Text, runs, and matches near and far.
    fn plain() -> Vec<u8> {
        let mut text = Vec::new();
        for number in 0..90_usize {
            text.extend(format!("{} {:x} ", number / 7, number * number).bytes());
            text.resize(text.len() + number % 41, 0);
        }
        text
    }

    /// [`plain`] as liblzma 5.4 packed it: raw, lc=3, lp=0, pb=2, preset 9.
    const PACKED: &str = "\
        0018081e04638008420f87b2841c59edbe00cbb610777f1f6236e7f417f4cdcae2552bb3f84e46621114da81 \
        d9dd618120b86a07705cf075428a7dc66cbd6499e4c715c3575c97bba9532ac2051dc2334af9d01f693be32f \
        5c9378b5ddce93c3d31dac8b76ac190807ddeca906d2c973fc592726b49804582b91005356f013a7ac8e27df \
        a8709d3a05aa0ef67e7ec892ea2ea8c215c56e6046337b90ea4ed02b4f2721201ca39e2e1672023d67cc2c4e \
        eff4c13d5127487fa248fc653ef1f8aafd929fe61f71dd098715d926eda05eb7718af930aff06a4ed8b1e8fd \
        ae720090e374fd9fcebc237a1cbf18782ba30dc8e1051acc0c2462e670273738077eeecc3542b8874878bde3 \
        a88126d27899bf31230be219cbf2cf9c4afcee5958d5217402954f69d8c48356858ccb5360cf6ce190dff4ee \
        9b4afccd0fe9f575c4da6be46b7631f2f18ceeec372637e72334b8bae4b5069a9f8d9bcedd40338d559e71f4 \
        1fced1006a7cc5013f822de652422a8acf4804e84f479e8c67ff93ed4801d4a3844505bab97610aa6bf16623 \
        95891e99a8d6dc179c5366b16fa082d6656bbdc6fe84960d05bebb98afab9da4318bcc867a4e73ffc902b460";

    fn packed() -> Vec<u8> {
        let digits: Vec<char> = PACKED.chars().filter(char::is_ascii_hexdigit).collect();
        let byte = |pair: &[char]| pair.iter().collect::<String>();
        let bytes = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&byte(pair), 16));
        bytes.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn another_packers_stream_is_unpacked() {
        let plain = plain();
        let unpacked = unpack(&packed(), USUAL, plain.len()).unwrap();
        assert!(unpacked == plain);
    }

    #[test]
    fn damage_is_no_panic() {
        let (len, packed) = (plain().len(), packed());
        for at in 0..packed.len() {
            let mut broken = packed.clone();
            broken[at] ^= 0x55;
            let _ = unpack(&broken, USUAL, len);
        }
        // the last bytes are the end's mark, which is not needed
        for at in 0..packed.len() - 16 {
            assert!(unpack(&packed[..at], USUAL, len).is_none());
        }
        let odd = Properties { lc: 9, ..USUAL };
        assert!(unpack(&packed, odd, len).is_none());
    }
}
