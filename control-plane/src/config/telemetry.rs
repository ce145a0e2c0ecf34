//! Where traces go.

use std::env;

use reqwest::Url;

use super::{File, Reader, Settings, either, url};
use crate::traces;

/// The collector's base, if there is one, and how many spans may wait for their way there.
pub(super) fn read(
    settings: &mut Settings,
    file: &mut File,
    reader: &mut Reader,
) -> (Option<Url>, usize) {
    let endpoint = either(&mut settings.telemetry_otlp_endpoint, &mut file.otlp_endpoint);
    let Some(endpoint) = endpoint else { return (None, 0) };
    let endpoint =
        reader.accept("telemetry.otlp_endpoint", url::base(&endpoint, "http://collector:4318"));
    // The rest is OpenTelemetry's own, and in the environment alone.
    let places = traces::read_variables(|name| env::var_os(name)).unwrap_or_else(|errors| {
        reader.errors.extend(errors);
        0
    });
    (endpoint, places)
}
