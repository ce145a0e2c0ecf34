//! OpenTelemetry's own variables, before anybody goes by them: the SDK passes over what it cannot use, and samples all,
//! or sends no key. Errors name the variable, and never what it holds: that may be a secret.

use std::ffi::OsString;

use axum::http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"];
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const COUNTS: [&str; 2] = ["OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"];
/// The samplers that there are; whether they take a ratio.
const SAMPLERS: [(&str, bool); 6] = [
    ("always_on", false),
    ("always_off", false),
    ("traceidratio", true),
    ("parentbased_always_on", false),
    ("parentbased_always_off", false),
    ("parentbased_traceidratio", true),
];
/// Spans that wait at most, where nothing else is said.
const PLACES: usize = 2048;

/// Spans that may wait; or what is wrong with the variables, which `variable` has by their names.
pub(crate) fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<usize, Vec<String>> {
    let mut errors = Vec::new();
    let mut text = |name: &str| {
        let text = variable(name)?.into_string();
        text.map_err(|_| errors.push(format!("{name}: is no UTF-8"))).ok()
    };
    let (sampler, ratio, places) = (text(SAMPLER), text(SAMPLER_ARG), text(QUEUE));
    let headers = HEADERS.map(|name| (name, text(name)));
    let counts = COUNTS.map(|name| (name, text(name)));
    if let Some(sampler) = sampler {
        match SAMPLERS.iter().find(|(name, _)| *name == sampler) {
            None => errors
                .push(format!("{SAMPLER}: is none of {}", SAMPLERS.map(|(name, _)| name).join(", "))),
            Some((_, true)) if ratio.is_some_and(|ratio| !is_ratio(&ratio)) => {
                errors.push(format!("{SAMPLER_ARG}: is no number from 0 to 1"));
            }
            Some(_) => {}
        }
    }
    for (name, text) in headers {
        let parts = text.iter().flat_map(|text| text.split_terminator(','));
        for (number, _) in (1..).zip(parts).filter(|(_, part)| !is_header(part)) {
            errors.push(format!(
                "{name}: its part {number} (by commas) is no header as NAME=VALUE, with a comma in a value as %2C"
            ));
        }
    }
    for (name, _) in
        counts.iter().filter(|(_, text)| text.as_ref().is_some_and(|it| count(it).is_none()))
    {
        errors.push(format!("{name}: is no number above 0"));
    }
    let places = places.map_or(Some(PLACES), |places| count(&places));
    if places.is_none() {
        errors.push(format!("{QUEUE}: is no number above 0"));
    }
    places.filter(|_| errors.is_empty()).ok_or(errors)
}

fn count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|count| *count > 0)
}

fn is_ratio(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio))
}

fn is_header(part: &str) -> bool {
    let Some((name, value)) = part.split_once('=') else { return false };
    let value = percent_decode_str(value.trim()).decode_utf8();
    let is_value = |value: &str| !value.is_empty() && HeaderValue::try_from(value).is_ok();
    HeaderName::try_from(name.trim()).is_ok() && value.is_ok_and(|value| is_value(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(variables: &[(&str, &str)]) -> Result<usize, String> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        read(|name| find(name).map(|(_, value)| value.into())).map_err(|errors| errors.join("; "))
    }

    #[test]
    fn variables_that_can_be_used_are() {
        for (variables, places) in [
            (&[][..], 2048),
            (&[(QUEUE, "7"), (COUNTS[0], "100")], 7),
            (&[(SAMPLER, "always_off"), (SAMPLER_ARG, "unused")], 2048),
            (&[(SAMPLER, "traceidratio")], 2048),
            (&[(SAMPLER, "parentbased_traceidratio"), (SAMPLER_ARG, "0.1")], 2048),
            (&[(HEADERS[0], "authorization=Bearer%20key, x-tenant = a=b ,")], 2048),
        ] {
            assert_eq!(read_of(variables), Ok(places), "{variables:?}");
        }
    }

    #[test]
    fn those_that_cannot_are_told_by_name_and_never_by_what_they_hold() {
        let ratio = (SAMPLER, "traceidratio");
        for (variables, expected) in [
            (&[(SAMPLER, "s3cret")][..], "OTEL_TRACES_SAMPLER: is none of always_on, "),
            (&[(SAMPLER, "xray")], "OTEL_TRACES_SAMPLER: is none of"),
            (&[ratio, (SAMPLER_ARG, "s3cret")], "OTEL_TRACES_SAMPLER_ARG: is no number from 0 to 1"),
            (&[ratio, (SAMPLER_ARG, "1.1")], "OTEL_TRACES_SAMPLER_ARG: is no number"),
            (&[ratio, (SAMPLER_ARG, "NaN")], "OTEL_TRACES_SAMPLER_ARG: is no number"),
            (&[(HEADERS[0], "a=b,Bearer s3cret")], "OTEL_EXPORTER_OTLP_HEADERS: its part 2 "),
            (&[(HEADERS[0], "authori zation=s3cret")], "OTEL_EXPORTER_OTLP_HEADERS: its part 1 "),
            (&[(HEADERS[1], "a=s3cret%0a")], "OTEL_EXPORTER_OTLP_TRACES_HEADERS: its part 1 "),
            (&[(HEADERS[0], "a=")], "OTEL_EXPORTER_OTLP_HEADERS: its part 1 "),
            (&[(QUEUE, "0")], "OTEL_BSP_MAX_QUEUE_SIZE: is no number above 0"),
            (&[(COUNTS[0], "5s")], "OTEL_BSP_SCHEDULE_DELAY: is no number above 0"),
        ] {
            let errors = read_of(variables).unwrap_err();
            assert!(
                errors.starts_with(expected) && !errors.contains("s3cret"),
                "{variables:?}: {errors}"
            );
        }
        let both = read_of(&[(SAMPLER, "x"), (HEADERS[0], "x")]).unwrap_err();
        assert!(both.contains(SAMPLER) && both.contains(HEADERS[0]), "all at once: {both}");
    }
}
