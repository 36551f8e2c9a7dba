//! From a number in memory at a fixed address to everything that writes there.

use super::ir::{At, Op, Source, Value};
use super::text::unit_at;
use super::trace::{Loc, Query, Reason, Traced, Tracer};
use super::uses::calls_through;

/// Places in memory that are looked for.
const PLACES_MAX: usize = 256;

impl Tracer<'_, '_> {
    /// Follows what is at `address` or, if `behind` says so, what is that far from where
    /// the pointer there leads.
    pub fn global(
        &mut self,
        query: Query,
        address: u64,
        behind: Option<i64>,
        at: At,
        traced: &mut Traced,
        next: &mut impl FnMut(Query),
    ) {
        let binary = self.lifter.binary;
        let segment = binary.segments.iter().find(|segment| {
            let within = address.checked_sub(segment.address);
            within.is_some_and(|within| within < segment.memory)
        });
        let Some(segment) = segment else {
            return traced.unknown(at, Reason::Memory);
        };
        let stored = binary.at(address).first_chunk::<8>().copied();
        let stored = stored.map_or(0, u64::from_le_bytes);
        match behind {
            // what is zero at the start is set before it is used
            None if !segment.writable || stored & 0xffff_ffff != 0 => {
                traced.number(&query, stored & 0xffff_ffff, at);
            }
            Some(by) if !segment.writable || stored != 0 => {
                if stored == 0 {
                    return traced.unknown(at, Reason::Memory);
                }
                self.global(
                    query,
                    stored.wrapping_add_signed(by),
                    None,
                    at,
                    traced,
                    next,
                );
            }
            _ => {}
        }
        if segment.writable {
            self.written(query, address, behind, at, traced, next);
        }
    }

    fn written(
        &mut self,
        query: Query,
        address: u64,
        behind: Option<i64>,
        at: At,
        traced: &mut Traced,
        next: &mut impl FnMut(Query),
    ) {
        let places = match self.touched.get(&address) {
            Some(Some(places)) => places.clone(),
            Some(None) => return,
            None if self.touched.len() < PLACES_MAX => {
                self.touched.insert(address, None);
                return;
            }
            None => return traced.unknown(at, Reason::Memory),
        };
        for place in places {
            let Some(unit) = unit_at(self.units, place) else {
                continue;
            };
            let decoded = self.decode(unit);
            for index in decoded.covering(place) {
                let insn = decoded.insns[index];
                let to = |loc| Query {
                    unit,
                    index,
                    loc,
                    ..query
                };
                match (insn.op, behind) {
                    (Op::StoreGlobal(to, Source::Const(number)), None) if to == address => {
                        traced.number(&query, number, insn.at);
                    }
                    (Op::StoreGlobal(into, Source::Reg(reg)), None) if into == address => {
                        next(to(Loc::Reg(reg)));
                    }
                    (Op::StoreGlobal(into, Source::Reg(reg)), Some(by)) if into == address => {
                        next(to(Loc::Behind(reg, by)));
                    }
                    // a pointer to nothing is not followed
                    (Op::StoreGlobal(into, Source::Const(0)), Some(_)) if into == address => {}
                    (Op::StoreGlobal(into, _), _) if into == address => {
                        traced.unknown(insn.at, Reason::Memory);
                    }
                    (Op::Set(reg, Value::Const(taken)), _) if taken == address => {
                        let abi = self.lifter.abi();
                        let uses = calls_through(&decoded, &abi, index, reg, |it| self.ends(it));
                        let only_read = uses.is_some_and(|it| it.handed.is_empty());
                        if !only_read && !self.lifter.folds() {
                            traced.unknown(insn.at, Reason::Memory);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Looks for everything that touches the places that were asked for; tells whether
    /// there were new ones.
    pub fn look(&mut self) -> bool {
        let wanted: Vec<u64> = self
            .touched
            .iter()
            .filter(|(_, places)| places.is_none())
            .map(|(address, _)| *address)
            .collect();
        if wanted.is_empty() {
            return false;
        }
        for address in &wanted {
            self.touched.insert(*address, Some(Vec::new()));
        }
        for unit in self.units {
            self.lifter.touches(*unit, &wanted, |at, address| {
                if let Some(Some(places)) = self.touched.get_mut(&address) {
                    places.push(at);
                }
            });
        }
        true
    }
}
