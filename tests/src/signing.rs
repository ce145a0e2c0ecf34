//! DNSSEC: a signed root, and zones below it that are signed rightly, wrongly or not at all.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::run;

/// How a zone is signed. All but the first two have a DS record in the zone above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Not at all, as the zone above proves.
    Unsigned,
    /// Rightly, but the zone above does not know: its own key is a trust anchor.
    Island,
    /// Rightly; what there is not, NSEC records deny.
    Nsec,
    /// Rightly; what there is not, NSEC3 records deny.
    Nsec3,
    /// The same, and zones below that are not signed are left out (opt-out), as registries do.
    OptOut,
    /// With another key than the DS record says.
    OtherKey,
    /// Years ago, for a month.
    Expired,
    /// Rightly; and then the target of its SRV records was changed from `infra` to `other`.
    Altered,
}

/// How a file of trust anchors names a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// By itself.
    Dnskey,
    /// By its digest.
    Ds,
}

/// A key that signs a zone, as files in a folder.
pub(crate) struct Key<'a> {
    zone: &'a str,
    dir: &'a Path,
    file: String,
}

/// Signs the zone `zone` in `file`, which stays its file; gives the key that it is known by.
pub(crate) fn sign<'a>(zone: &'a str, file: &Path, signing: Signing, keys: &'a Path) -> Option<Key<'a>> {
    let key = Key::new(zone, keys);
    let options: &[&str] = match signing {
        Signing::Unsigned => return None,
        Signing::Nsec3 => &["-3", "-"],
        Signing::OptOut => &["-3", "-", "-A"],
        Signing::Expired => &["-s", "20200101000000", "-e", "20200201000000", "-P"],
        Signing::Island | Signing::Nsec | Signing::OtherKey | Signing::Altered => &[],
    };
    key.sign(file, options);
    if signing == Signing::Altered {
        spoil(file, " 443 infra.", " 443 other.");
    }
    Some(if signing == Signing::OtherKey { Key::new(zone, keys) } else { key })
}

/// Changes a signed zone.
pub(crate) fn spoil(file: &Path, from: &str, to: &str) {
    let signed = fs::read_to_string(file).expect("the signed zone");
    let spoilt = signed.replace(from, to);
    assert_ne!(signed, spoilt, "there is something to change");
    fs::write(file, spoilt).expect("the zone can be changed");
}

// === impl Key ===

impl<'a> Key<'a> {
    fn new(zone: &'a str, dir: &'a Path) -> Self {
        fs::create_dir_all(dir).expect("a folder for keys");
        let mut command = Command::new("dnssec-keygen");
        command.args(["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "-K"]).arg(dir).arg(zone);
        let file = run(&mut command).expect("a key").trim().to_owned();
        Self { zone, dir, file }
    }

    /// A line for a file of trust anchors.
    pub(crate) fn anchor(&self, anchor: Anchor) -> String {
        match anchor {
            Anchor::Dnskey => self.record(),
            Anchor::Ds => self.digest(),
        }
    }

    /// Its DNSKEY record, with comments around it.
    fn record(&self) -> String {
        fs::read_to_string(self.dir.join(format!("{}.key", self.file))).expect("the key's file")
    }

    /// Its DS record.
    pub(crate) fn digest(&self) -> String {
        let mut command = Command::new("dnssec-dsfromkey");
        run(command.arg(self.dir.join(&self.file))).expect("a digest")
    }

    /// Signs a zone with this key alone.
    fn sign(&self, file: &Path, options: &[&str]) {
        let unsigned = fs::read_to_string(file).expect("the zone") + &self.record();
        fs::write(file, unsigned).expect("the zone with its key");
        let mut command = Command::new("dnssec-signzone");
        command.args(["-q", "-z", "-O", "full", "-d"]).arg(self.dir).args(options);
        command.arg("-o").arg(self.zone).arg("-f").arg(file).arg(file);
        run(command.arg(self.dir.join(&self.file))).expect("the zone can be signed");
    }
}
