//! The chain of trust: from the trust anchor down to the zone that a name is in, label by label.
//!
//! ```text
//! trust anchor ─► its DNSKEY set ─► DS of com ─► DNSKEY set of com ─► DS of a.com ─► …
//! ```
//!
//! At each label it is the zone that we are in that says what comes: a zone below, with the digests of
//! its keys; a zone below that is not signed; or none. It says so with its own keys, whose turn no
//! other zone's may take, neither one above nor one below; silence is no proof. So whoever is on the way
//! can spoil an answer, and cannot have it taken for one of a zone that is not signed.

use std::collections::HashMap;
use std::sync::Arc;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};

use super::anchors::Anchors;
use super::proof::{self, Cut, Unsigned};
use super::signature::{Examiner, Zone};
use super::validator::{Ask, Questions, Unproven};

/// Zones, and what is between them, that are proven so far.
#[derive(Debug, Default)]
pub(super) struct Chain {
    zones: HashMap<Name, Arc<Zone>>,
    cuts: HashMap<Name, Cut>,
}

/// What zone a name is in.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// One that signs.
    Signed(Arc<Zone>),
    /// One that does not, as far as can be known, below this one that does.
    Unsigned(Arc<Zone>, Unsigned),
}

// === impl Chain ===

impl Chain {
    /// Finds the zone of a name. A zone's keys are asked for together with what comes next.
    pub(super) async fn standing<A: Ask>(
        &mut self,
        name: &Name,
        anchors: &Anchors,
        asking: &Questions<'_, A>,
        examiner: &Examiner,
    ) -> Result<Standing, Unproven> {
        let Some((mut apex, mut trust)) = anchors.above(name) else {
            return Err(Unproven::Bogus(format!("no trust anchor is above {name}")));
        };
        let mut until = u32::MAX;
        for labels in apex.iter().count().saturating_add(1).. {
            let child = (labels <= name.iter().count()).then(|| name.trim_to(labels));
            let unknown = child.as_ref().filter(|child| !self.cuts.contains_key(child));
            let unentered = (!self.zones.contains_key(&apex)).then_some(&apex);
            let (keys, digests) = tokio::try_join!(
                ask(asking, unentered, RecordType::DNSKEY),
                ask(asking, unknown, RecordType::DS)
            )?;
            if let Some(response) = keys {
                let zone = trust.zone(&apex, &response, until, examiner).map_err(Unproven::Bogus)?;
                self.zones.insert(apex.clone(), Arc::new(zone));
            }
            let Some(zone) = self.zones.get(&apex) else { break };
            let Some(child) = child else { return Ok(Standing::Signed(zone.clone())) };
            if let Some(response) = digests {
                let cut = proof::cut(zone, &child, &response, examiner).map_err(Unproven::Bogus)?;
                self.cuts.insert(child.clone(), cut);
            }
            match self.cuts.get(&child) {
                Some(Cut::None) => {}
                Some(Cut::NoName) | None => return Ok(Standing::Signed(zone.clone())),
                Some(Cut::Unsigned(unsigned)) => {
                    return Ok(Standing::Unsigned(zone.clone(), unsigned.clone()));
                }
                Some(Cut::Signed(below, signed)) => {
                    (apex, trust, until) = (child, below.clone(), *signed);
                }
            }
        }
        Err(Unproven::Bogus(format!("{name} has too many labels")))
    }
}

/// Asks for a kind of record of a name, if there is one to ask about.
async fn ask<A: Ask>(
    asking: &Questions<'_, A>,
    name: Option<&Name>,
    kind: RecordType,
) -> Result<Option<Message>, Unproven> {
    let Some(name) = name else { return Ok(None) };
    asking.ask(&Query::query(name.clone(), kind)).await.map(Some)
}
