//! What can go wrong, to whom, and whom it may hurt.

use std::fmt;

use super::facts::{Concern, Door};
use fedgate_tests::rng::Rng;

/// Milliseconds since the campaign began.
pub(crate) type Ms = u64;

/// How old what the filter of b.com knows may become (`max_staleness_s`). That of a.com has the reference's
/// 15 minutes.
pub(crate) const SHORT_STALENESS_S: u64 = 20;

/// One of the two backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    A,
    B,
}

/// What a fault befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Component {
    ControlPlane,
    Envoy,
    Bind,
    /// The backend's own service behind the ingress.
    Service,
    Store,
    /// Between Envoy and control plane.
    NetworkFeed,
    /// Between one backend's egress and the other's ingress.
    NetworkPeer,
    /// Between control plane and DNS.
    NetworkDns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// kill -9, and started again.
    Kill,
    /// SIGSTOP, and SIGCONT.
    Stop,
    /// SIGTERM, and started again.
    Restart,
    /// What it says arrives late.
    Slow,
    /// What it says is nonsense.
    Garbage,
    /// Nothing arrives, until it does.
    Hang,
    /// Connections end, and new ones at once.
    Cut,
    /// As `Hang` or `Cut`, for longer than what a filter knows may be old.
    Away,
    /// The disk has no room.
    Full,
    /// The disk cannot be written, and the control plane is started on it.
    ReadOnly,
    /// The wall clock goes forward by an hour, and back.
    ClockForward,
    /// It goes back by an hour, and forward.
    ClockBack,
}

/// One fault of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) component: Component,
    pub(crate) kind: Kind,
    /// At which backend; BIND is that of both.
    pub(crate) side: Side,
}

// === impl Side ===

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(crate) fn domain(self) -> &'static str {
        match self {
            Self::A => "a.com",
            Self::B => "b.com",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// How long a filter here may go by what it knows.
    pub(crate) fn staleness(self) -> Ms {
        match self {
            Self::A => 900_000,
            Self::B => SHORT_STALENESS_S * 1000,
        }
    }
}

// === impl Component ===

impl Component {
    pub(crate) const ALL: [Self; 8] = [
        Self::ControlPlane,
        Self::Envoy,
        Self::Bind,
        Self::Service,
        Self::Store,
        Self::NetworkFeed,
        Self::NetworkPeer,
        Self::NetworkDns,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Envoy => "envoy",
            Self::Bind => "bind",
            Self::Service => "component",
            Self::Store => "store",
            Self::NetworkFeed => "net-feed",
            Self::NetworkPeer => "net-peer",
            Self::NetworkDns => "net-dns",
        }
    }

    pub(crate) fn kinds(self) -> &'static [Kind] {
        use Kind::{
            Away, ClockBack, ClockForward, Cut, Full, Garbage, Hang, Kill, ReadOnly, Restart, Slow, Stop,
        };
        match self {
            Self::ControlPlane => &[Kill, Stop, Restart, Slow, Garbage, ClockForward, ClockBack],
            Self::Envoy | Self::Bind | Self::Service => &[Kill, Stop, Restart, Slow, Garbage],
            Self::Store => &[Full, ReadOnly],
            Self::NetworkFeed => &[Hang, Cut, Away],
            Self::NetworkPeer | Self::NetworkDns => &[Hang, Cut],
        }
    }
}

// === impl Kind ===

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Kill,
        Self::Stop,
        Self::Restart,
        Self::Slow,
        Self::Garbage,
        Self::Hang,
        Self::Cut,
        Self::Away,
        Self::Full,
        Self::ReadOnly,
        Self::ClockForward,
        Self::ClockBack,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Slow => "slow",
            Self::Garbage => "garbage",
            Self::Hang => "hang",
            Self::Cut => "cut",
            Self::Away => "away",
            Self::Full => "full",
            Self::ReadOnly => "read-only",
            Self::ClockForward => "clock-forward",
            Self::ClockBack => "clock-back",
        }
    }
}

// === impl Fault ===

impl Fault {
    /// All that there are.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![];
        for component in Component::ALL {
            for &kind in component.kinds() {
                for side in Side::BOTH {
                    let once = component == Component::Bind && side == Side::B;
                    // What a.com's filter knows may be 15 minutes old.
                    let too_long = kind == Kind::Away && side == Side::A;
                    if !once && !too_long {
                        all.push(Self { component, kind, side });
                    }
                }
            }
        }
        all
    }

    /// For how long it stays: shorter than a call may take, so that what waits for its end ends in time.
    pub(crate) fn duration(self, rng: &mut Rng) -> Ms {
        match self.kind {
            Kind::Away => SHORT_STALENESS_S * 1000 + rng.between(4000, 6000),
            Kind::Kill | Kind::Restart => rng.between(0, 3000),
            Kind::Stop
            | Kind::Slow
            | Kind::Garbage
            | Kind::Hang
            | Kind::Cut
            | Kind::Full
            | Kind::ReadOnly
            | Kind::ClockForward
            | Kind::ClockBack => rng.between(1000, 4000),
        }
    }

    /// Whether a program has to be started to lift it.
    pub(crate) fn ends_a_program(self) -> bool {
        matches!(self.kind, Kind::Kill | Kind::Restart | Kind::ReadOnly)
    }

    /// Whether both can be there at the same time: they befall different programs and links.
    pub(crate) fn goes_with(self, other: Self) -> bool {
        let place = |fault: Self| match fault.component {
            Component::ControlPlane | Component::Store | Component::NetworkFeed => (0, Some(fault.side)),
            Component::Envoy | Component::NetworkPeer => (1, Some(fault.side)),
            Component::Service => (2, Some(fault.side)),
            Component::Bind | Component::NetworkDns => (3, None),
        };
        place(self) != place(other) && self.kind != Kind::Away && other.kind != Kind::Away
    }

    /// What it may hurt, and from how long after its beginning on. All else goes on as if there were nothing.
    pub(crate) fn hurts(self) -> Vec<(Concern, Ms)> {
        let (side, other) = (self.side, self.side.other());
        let ingress = Concern::Door(side, Door::Ingress);
        let egress = Concern::Door(side, Door::Egress);
        let others_egress = Concern::Door(other, Door::Egress);
        let (feed, names) = (Concern::Feed(side), Concern::Names(side));
        let from = |after: Ms, concerns: &[Concern]| concerns.iter().map(|c| (*c, after)).collect();
        match (self.component, self.kind) {
            // Whoever steps the clock, or fills the disk, is to hurt nobody.
            (Component::ControlPlane, Kind::ClockForward | Kind::ClockBack)
            | (Component::Store, Kind::Full) => vec![],
            (Component::NetworkFeed, Kind::Away) => {
                let mut hurts: Vec<_> = from(0, &[feed, names]);
                // A filter may have heard last half of that time ago.
                hurts.extend(from(side.staleness() / 2 - 1000, &[ingress, egress, others_egress]));
                hurts
            }
            (Component::ControlPlane | Component::Store | Component::NetworkFeed, _) => {
                from(0, &[feed, names])
            }
            (Component::Envoy, Kind::Slow | Kind::Garbage) | (Component::NetworkPeer, _) => {
                from(0, &[others_egress])
            }
            (Component::Envoy, _) => from(0, &[ingress, egress, others_egress, feed, names]),
            (Component::Bind, _) => from(0, &[names, Concern::Names(other)]),
            (Component::NetworkDns, _) => from(0, &[names]),
            (Component::Service, _) => from(0, &[ingress, others_egress]),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} at {}", self.component.name(), self.kind.name(), self.side.domain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_that_is_away_closes_no_door() {
        for kind in [Kind::Kill, Kind::Stop, Kind::Restart, Kind::Slow, Kind::Garbage] {
            let fault = Fault { component: Component::ControlPlane, kind, side: Side::B };
            assert!(!fault.hurts().iter().any(|(concern, _)| matches!(concern, Concern::Door(..))));
        }
    }
}
