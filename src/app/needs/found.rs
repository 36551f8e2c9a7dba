//! What was found so far, each need once with its strongest evidence.

use std::collections::BTreeMap;

use crate::need::{Confidence, Evidence, Need, NeedKind};

/// Pieces of evidence that are kept of one need.
const EVIDENCE_MAX: usize = 8;
/// Needs that are kept of one program. Those of the corpus have 30 at most.
const NEEDS_MAX: usize = 256;

/// The needs of one program.
#[derive(Debug, Default)]
pub struct Found {
    needs: BTreeMap<NeedKind, Vec<(Confidence, Evidence)>>,
}

impl Found {
    /// Adds a reason to believe that `kind` is needed.
    pub fn add(&mut self, kind: NeedKind, confidence: Confidence, evidence: Evidence) {
        if self.needs.len() >= NEEDS_MAX && !self.needs.contains_key(&kind) {
            return;
        }
        let reasons = self.needs.entry(kind).or_default();
        let reason = (confidence, evidence);
        if reasons.contains(&reason) {
            return;
        }
        // the strongest first, and of equal ones those that came first
        let at = reasons.partition_point(|(known, _)| *known >= confidence);
        reasons.insert(at, reason);
        reasons.truncate(EVIDENCE_MAX);
    }

    /// Takes `kind` out again.
    pub fn drop_where(&mut self, unwanted: impl Fn(&NeedKind) -> bool) {
        self.needs.retain(|kind, _| !unwanted(kind));
    }

    /// All needs, by kind.
    pub fn into_needs(self) -> Vec<Need> {
        let needs = self.needs.into_iter();
        needs
            .filter_map(|(kind, reasons)| {
                let confidence = reasons.first()?.0;
                Some(Need {
                    kind,
                    confidence,
                    evidence: reasons.into_iter().map(|(_, evidence)| evidence).collect(),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(offset: u64) -> Evidence {
        Evidence {
            section: None,
            offset,
            what: "x".to_owned(),
        }
    }

    #[test]
    fn the_strongest_evidence_comes_first_and_decides() {
        let mut found = Found::default();
        found.add(NeedKind::Users, Confidence::Possible, evidence(1));
        found.add(NeedKind::Users, Confidence::Likely, evidence(2));
        found.add(NeedKind::Users, Confidence::Likely, evidence(2));
        let needs = found.into_needs();
        assert_eq!(needs.len(), 1);
        assert_eq!(needs[0].confidence, Confidence::Likely);
        let offsets: Vec<u64> = needs[0].evidence.iter().map(|it| it.offset).collect();
        assert_eq!(offsets, [2, 1]);
    }

    #[test]
    fn a_file_full_of_signs_fills_no_memory() {
        let mut found = Found::default();
        for number in 0..10_000 {
            let path = NeedKind::Writable(number.to_string());
            found.add(path, Confidence::Possible, evidence(number));
            found.add(NeedKind::Users, Confidence::Possible, evidence(number));
        }
        let needs = found.into_needs();
        assert_eq!(needs.len(), NEEDS_MAX);
        assert!(needs.iter().all(|need| need.evidence.len() <= EVIDENCE_MAX));
    }
}
