//! How our list is kept in step with brig's, and where it can be reached as brig's can.

use std::net::SocketAddr;
use std::time::Duration;

use super::{File, Reader, Settings, either, url};
use crate::brig::{self, Address, Authorities, Mode};

/// Between these is the time that one call may take.
const TIMES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// None where no URL is set.
pub(super) fn read(
    settings: &mut Settings,
    file: &mut File,
    reader: &mut Reader,
) -> Option<brig::Settings> {
    let url = either(&mut settings.brig_url, &mut file.brig.url);
    let mode = either(&mut settings.brig_mode, &mut file.brig.mode);
    let timeout = either(&mut settings.brig_timeout, &mut file.brig.timeout);
    let ca = either(&mut settings.brig_ca, &mut file.brig.ca);
    let overwrite = either(&mut settings.brig_overwrite, &mut file.brig.overwrite);
    let Some(url) = url else {
        let others = [("mode", &mode), ("timeout", &timeout), ("ca", &ca), ("overwrite", &overwrite)];
        for (key, _) in others.iter().filter(|(_, given)| given.is_some()) {
            reader.errors.push(format!("brig.{key}: is set, and brig.url is not"));
        }
        return None;
    };
    let url = reader.accept("brig.url", url::base(&url, "http://brig:8080"));
    let mode = reader.parse("brig.mode", mode.as_deref().unwrap_or("push"), Mode::Push);
    let timeout = reader.time("brig.timeout", timeout.as_deref().unwrap_or("5s"));
    reader.check("brig.timeout", (TIMES.0..=TIMES.1).contains(&timeout), "is not between 100ms and 60s");
    let overwrite = reader.parse("brig.overwrite", overwrite.as_deref().unwrap_or("false"), false);
    let ca = ca.and_then(|file| reader.accept("brig.ca", Authorities::load(file.into())));
    Some(brig::Settings { address: Address { url: url?, timeout, ca }, mode, overwrite })
}

/// The address of Wire's list API, where it has one, and whether it needs no token.
pub(super) fn read_wire(
    settings: &mut Settings,
    file: &mut File,
    reader: &mut Reader,
) -> (Option<SocketAddr>, bool) {
    let wire = either(&mut settings.listen_wire, &mut file.listen_wire);
    let wire =
        wire.map(|wire| reader.parse("listen.wire", &wire, SocketAddr::from(([127, 0, 0, 1], 0))));
    let open = either(&mut settings.wire_list_open, &mut file.wire_list_open);
    (wire, reader.parse("wire_list.open", open.as_deref().unwrap_or("false"), false))
}
