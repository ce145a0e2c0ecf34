//! Where traces go.

use reqwest::Url;

use super::{File, Reader, Settings, either, url};

/// The collector's base, if there is one.
pub(super) fn read(settings: &mut Settings, file: &mut File, reader: &mut Reader) -> Option<Url> {
    let endpoint = either(&mut settings.telemetry_otlp_endpoint, &mut file.otlp_endpoint)?;
    reader.accept("telemetry.otlp_endpoint", url::base(&endpoint, "http://collector:4318"))
}
