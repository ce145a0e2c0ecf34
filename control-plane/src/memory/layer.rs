//! Discovery that is listened to.

use std::net::IpAddr;
use std::sync::Arc;

use fedgate_discovery::{Discover, Discovering, Family, Proof, Resolve, Resolving};
use fedgate_policy::{Domain, HostName};

use super::Memory;
use super::when::When;

/// Discovery of which the memory hears all answers, and which can say what that remembers.
pub(crate) struct Remembering<D> {
    discovery: D,
    memory: Arc<Memory>,
}

impl<D> Remembering<D> {
    /// This discovery, with this memory.
    pub(crate) fn new(discovery: D, memory: Arc<Memory>) -> Self {
        Self { discovery, memory }
    }
}

impl<D: Discover> Discover for Remembering<D> {
    fn discover<'a>(&'a self, domain: &'a Domain, proof: Proof) -> Discovering<'a> {
        Box::pin(async move {
            let found = self.discovery.discover(domain, proof).await;
            self.memory.found(domain, &found);
            found
        })
    }

    fn basis(&self) -> String {
        self.discovery.basis()
    }

    fn width(&self) -> usize {
        self.discovery.width()
    }

    fn servers(&self) -> String {
        self.discovery.servers()
    }
}

impl<D: Resolve> Resolve for Remembering<D> {
    fn resolve<'a>(&'a self, host: &'a HostName, family: Family) -> Resolving<'a> {
        Box::pin(async move {
            let found = self.discovery.resolve(host, family).await;
            self.memory.resolved(host, family, &found);
            found
        })
    }

    fn remembered(&self, host: &HostName, family: Family) -> Option<Vec<IpAddr>> {
        self.memory.state().addresses(host, family, &When::now())
    }
}
