//! One backend and its surroundings, started together and gone together.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::address::Address;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::clock::WallClock;
use crate::control_plane::{ControlPlane, Store};
use crate::dns::{Bind, service};
use crate::envoy::{Deployed, Envoy, Special};
use crate::local::Local;
use crate::pki::{Authority, Identity, Leaf};
use crate::signing::{Anchor, Signing};
use crate::witness::Witness;

/// A backend, `b.com` unless it is named, whose ingress is `infra.b.com`, with everything around it.
///
/// Fields are in the order in which they are to end.
#[derive(Debug)]
pub struct World {
    /// Envoy with the filter.
    pub envoy: Envoy,
    /// `fedgate serve`; none where a test plays its part.
    pub control_plane: Option<ControlPlane>,
    /// BIND.
    pub dns: Bind,
    /// brig, galley and cargohold.
    pub backend: Backend,
    /// The authority that the ingress trusts, and that signed its own certificate.
    pub authority: Arc<Authority>,
    domain: String,
    is_explained: bool,
    runtime: Runtime,
    dir: TempDir,
    address: Address,
}

/// What is special about a world.
#[derive(Debug, Default)]
pub struct WorldBuilder {
    records: Vec<String>,
    allowed: Vec<String>,
    strategy: Option<String>,
    discovery: String,
    envoy: Special,
    launcher: Vec<String>,
    without_control_plane: bool,
    dns: Vec<SocketAddr>,
    domain: Option<String>,
    authority: Option<Arc<Authority>>,
    egress: bool,
    is_unexplained: bool,
    signed: Option<(Vec<(String, Signing)>, Anchor)>,
    store: Option<String>,
    address: Option<Address>,
}

// === impl World ===

impl World {
    /// A world in which nothing is special yet.
    pub fn builder() -> WorldBuilder {
        WorldBuilder::default()
    }

    /// The control plane.
    pub fn control_plane(&mut self) -> &mut ControlPlane {
        self.control_plane.as_mut().expect("this world has a control plane")
    }

    /// The address that all of this world's ports are on.
    pub fn ip(&self) -> Ipv4Addr {
        self.address.ip()
    }

    /// The folder of everything that this world writes; gone with it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a future to its end on the world's runtime.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The runtime, for servers that a test adds.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// A certificate of the trusted authority for these DNS names.
    pub fn identity(&self, names: &[&str]) -> Identity {
        self.authority.issue(&Leaf::of(names))
    }

    /// A caller that shows this certificate.
    pub fn caller(&self, identity: &Identity) -> Caller {
        self.caller_at(self.envoy.address(), Some(identity))
    }

    /// A caller without a certificate.
    pub fn anonymous(&self) -> Caller {
        self.caller_at(self.envoy.address(), None)
    }

    /// A caller of this ingress by way of another address.
    pub fn caller_at(&self, address: SocketAddr, identity: Option<&Identity>) -> Caller {
        Caller::new(address, &self.infrastructure(), self.authority.pem(), identity)
            .explained_by(self.witness())
    }

    /// Who says what is to become of a request here, if anybody can.
    pub fn witness(&self) -> Option<Witness> {
        self.control_plane.as_ref().filter(|_| self.is_explained).map(ControlPlane::witness)
    }

    /// The backend domain.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The infrastructure domain.
    pub fn infrastructure(&self) -> String {
        format!("infra.{}", self.domain)
    }

    /// One of this backend's own services, which calls others through the egress.
    pub fn local(&self) -> Local {
        Local::new(self.envoy.egress()).explained_by(self.witness())
    }

    /// Announces this backend in a BIND: its federator, and the address of that.
    pub fn announce(&self, dns: &Bind) {
        let (domain, target, port) = (&self.domain, self.infrastructure(), self.envoy.address().port());
        dns.update(&[
            &format!("update add {} 600 SRV 10 5 {port} {target}.", service(domain)),
            &format!("update add {target}. 600 A {}", self.ip()),
        ]);
    }
}

// === impl WorldBuilder ===

impl WorldBuilder {
    /// DNS records, in the master format with absolute owner names.
    #[must_use]
    pub fn records<R: Into<String>>(mut self, records: impl IntoIterator<Item = R>) -> Self {
        self.records.extend(records.into_iter().map(Into::into));
        self
    }

    /// Backend domains on the allow list.
    #[must_use]
    pub fn allow(mut self, domains: &[&str]) -> Self {
        self.allowed.extend(domains.iter().map(ToString::to_string));
        self
    }

    /// Another strategy than `allowDynamic`.
    #[must_use]
    pub fn strategy(mut self, strategy: &str) -> Self {
        self.strategy = Some(strategy.to_owned());
        self
    }

    /// Lines for the section `[discovery]` of the control plane's configuration.
    #[must_use]
    pub fn discovery(mut self, lines: &str) -> Self {
        self.discovery.push_str(lines);
        self
    }

    /// A replacement in Envoy's configuration.
    #[must_use]
    pub fn edit(mut self, from: &str, to: &str) -> Self {
        self.envoy.edits.push((from.to_owned(), to.to_owned()));
        self
    }

    /// With Envoy's files as somebody deploys them.
    #[must_use]
    pub fn deployed(mut self, deployed: Deployed) -> Self {
        self.envoy.deployed = Some(deployed);
        self
    }

    /// More arguments for Envoy's command line.
    #[must_use]
    pub fn envoy_args(mut self, args: &[&str]) -> Self {
        self.envoy.args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Has Envoy read its listener from a file, for [`Envoy::edit_listener`].
    #[must_use]
    pub fn listener_from_file(mut self) -> Self {
        self.envoy.listener_from_file = true;
        self
    }

    /// Has Envoy ready for [`Envoy::hot_restart`].
    #[must_use]
    pub fn hot_restart(mut self) -> Self {
        self.envoy.hot_restart = true;
        self
    }

    /// Has `fedgate envoy` run Envoy, so that SIGTERM drains it.
    #[must_use]
    pub fn draining(mut self) -> Self {
        self.envoy.drains = true;
        self
    }

    /// A command that runs the control plane's, which is appended to it.
    #[must_use]
    pub fn launcher(mut self, launcher: Vec<String>) -> Self {
        self.launcher = launcher;
        self
    }

    /// Has Envoy and the control plane go by a wall clock of their own.
    #[must_use]
    pub fn clock(mut self, clock: &WallClock) -> Self {
        self.launcher = vec!["env".to_owned()];
        for (name, value) in clock.environment() {
            self.launcher.push(format!("{name}={}", value.display()));
            self.envoy.environment.push((name.to_owned(), value));
        }
        self
    }

    /// Another DNS server than BIND for the control plane to ask; said again, one more.
    #[must_use]
    pub fn ask(mut self, dns: SocketAddr) -> Self {
        self.dns.push(dns);
        self
    }

    /// Another backend domain than `b.com`.
    #[must_use]
    pub fn backend(mut self, domain: &str) -> Self {
        self.domain = Some(domain.to_owned());
        self
    }

    /// With an egress beside the ingress (`envoy/both.yaml`).
    #[must_use]
    pub fn egress(mut self) -> Self {
        self.egress = true;
        self
    }

    /// In the same federation as `other`: with its authority, and its BIND.
    #[must_use]
    pub fn joins(mut self, other: &World) -> Self {
        self.authority = Some(Arc::clone(&other.authority));
        self.dns = vec![other.dns.address()];
        self
    }

    /// Other zones than BIND has else, below a signed root that the control plane trusts.
    #[must_use]
    pub fn signed(mut self, zones: &[(&str, Signing)], anchor: Anchor) -> Self {
        let zones = zones.iter().map(|(zone, signing)| ((*zone).to_owned(), *signing)).collect();
        self.signed = Some((zones, anchor));
        self
    }

    /// No answer in this world is compared with what its control plane says, because …
    #[must_use]
    pub fn unexplained(mut self, _because: &str) -> Self {
        self.is_unexplained = true;
        self
    }

    /// Leaves the control plane's place empty.
    #[must_use]
    pub fn without_control_plane(mut self) -> Self {
        self.without_control_plane = true;
        self
    }

    /// At an address that was claimed before.
    #[must_use]
    pub fn at(mut self, address: Address) -> Self {
        self.address = Some(address);
        self
    }

    /// With this store, which others use as well.
    #[must_use]
    pub fn store(mut self, url: &str) -> Self {
        self.store = Some(url.to_owned());
        self
    }

    /// Has Envoy know several control planes, the first one to be asked first.
    #[must_use]
    pub fn control_planes(mut self, at: &[Ipv4Addr]) -> Self {
        self.envoy.control_planes = at.to_vec();
        self
    }

    /// Starts everything, and waits until it is ready.
    pub fn start(mut self) -> World {
        let address = self.address.take().unwrap_or_else(Address::claim);
        let ip = address.ip();
        let dir =
            tempfile::Builder::new().prefix("fedgate-").tempdir().expect("a folder for this world");
        let runtime = Runtime::new().expect("a runtime");
        let records: Vec<&str> = self.records.iter().map(String::as_str).collect();
        let dns = match &self.signed {
            None => Bind::start(address.dns(), dir.path(), &records),
            Some((zones, anchor)) => {
                let zones: Vec<_> = zones.iter().map(|(zone, how)| (zone.as_str(), *how)).collect();
                Bind::signed(address.dns(), dir.path(), &records, &zones, *anchor)
            }
        };
        let mut discovery = self.discovery;
        if let Some(file) = dns.trust_anchor() {
            let _ = write!(discovery, "\ntrust_anchor = \"{}\"", file.display());
        }
        let control_plane = (!self.without_control_plane).then(|| {
            let servers = if self.dns.is_empty() { vec![dns.address()] } else { self.dns };
            let store = self.store.take().map_or_else(Store::default, Store::Shared);
            ControlPlane::with_store(&self.launcher, ip, dir.path(), &servers, &discovery, store)
        });
        if let Some(control_plane) = &control_plane {
            if let Some(strategy) = &self.strategy {
                control_plane.cli(&["strategy", "set", strategy]).expect("a strategy can be set");
            }
            control_plane.add(&self.allowed.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let backend = Backend::start(&runtime, ip);
        let authority = self
            .authority
            .unwrap_or_else(|| Arc::new(Authority::root("the authority that all backends trust")));
        let domain = self.domain.unwrap_or_else(|| "b.com".to_owned());
        let identity = authority.issue(&Leaf::of([format!("infra.{domain}").as_str()]));
        let mut special = self.envoy;
        special.egress = self.egress.then(|| domain.clone());
        let envoy = Envoy::start(ip, dir.path(), &identity, authority.pem(), &special);
        let is_explained = !self.is_unexplained;
        World {
            envoy,
            control_plane,
            dns,
            backend,
            authority,
            domain,
            is_explained,
            runtime,
            dir,
            address,
        }
    }
}

/// Lets Envoy pass on certificates that do not lead to a trusted root, for the filter to refuse.
#[must_use]
pub fn accept_untrusted(builder: WorldBuilder) -> WorldBuilder {
    let trust_source = |indent: &str| {
        format!(
            "            {indent}validation_context_sds_secret_config:\n              {indent}name: client_trust\n\
             \x20             {indent}sds_config:\n                {indent}resource_api_version: V3\n\
             \x20               {indent}path_config_source: {{path: "
        )
    };
    let accepting = format!(
        "            combined_validation_context:\n\
         \x20             default_validation_context: {{trust_chain_verification: ACCEPT_UNTRUSTED}}\n{}",
        trust_source("  ")
    );
    builder.edit(&trust_source(""), &accepting)
}
