//! Our clock, against those of partners: our own ingress mostly runs on this very machine, and would agree with it.

use std::time::Duration;

use fedgate_policy::Domain;

use super::ingress::ask;
use super::partners::Partner;
use crate::ledger::Ledger;
use crate::peer::{Dns, Gap};
use crate::probe::Identity;

/// So many partners are asked: where one agrees with us, another that does not is wrong itself.
const WITNESSES: usize = 2;
/// So many addresses of each.
const ADDRESSES: usize = 3;
const CLAIM: &str = "our clock goes as our partners' do";

/// Who asks, and whom.
pub(super) struct Asking<'a> {
    pub(super) dns: &'a Dns,
    /// Or why there are none.
    pub(super) partners: Result<&'a [Partner], &'a str>,
    /// What our Envoy shows when it calls; some say nothing to who shows nothing.
    pub(super) identity: Option<&'a Identity>,
    pub(super) domain: Option<&'a Domain>,
    /// For how long one step may take.
    pub(super) patience: Duration,
}

/// Compares it with the `Date` of their answers, which a refusal has too.
pub(super) async fn look(ledger: &mut Ledger<'_>, asking: &Asking<'_>) {
    ledger.section("our clock");
    let partners = match asking.partners {
        Ok(partners) => partners,
        Err(why) => {
            return ledger
                .not_looked_at(CLAIM, format!("there is no partner to compare it with: {why}"));
        }
    };
    ledger.begins(CLAIM);
    let (mut gaps, mut silent) = (Vec::new(), Vec::new());
    for partner in partners.iter().take(WITNESSES) {
        match asking.gap(partner).await {
            Ok(gap) => gaps.push((gap, &partner.domain)),
            Err(why) => silent.push(format!("{}: {why}", partner.domain)),
        }
    }
    match gaps.into_iter().min() {
        Some((gap, domain)) => gap.tell(ledger, CLAIM, domain.as_str()),
        None => {
            ledger.not_looked_at(CLAIM, format!("no partner says when it is: {}", silent.join("; ")));
        }
    }
}

// === impl Asking ===

impl Asking<'_> {
    async fn gap(&self, partner: &Partner) -> Result<Gap, String> {
        let mut last = "it has no address".to_owned();
        let origins: Vec<_> = self.domain.iter().map(|domain| domain.as_str()).collect();
        for place in partner.places.iter().take(ADDRESSES) {
            for address in self.dns.addresses(place).await.into_iter().take(ADDRESSES) {
                match ask((address, place), self.identity, &origins, self.patience).await {
                    Ok(answer) => match answer.date {
                        Some(date) => return Ok(Gap::between(date, answer.received)),
                        None => "its answer has no date".clone_into(&mut last),
                    },
                    Err(why) => last = why,
                }
            }
        }
        Err(last)
    }
}
