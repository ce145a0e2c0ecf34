//! TLS alerts by their names.

use std::io;

use rustls::{AlertDescription, Error};

/// The alert with which the other side ended it, as RFC 8446 §6 names it: `certificate_required`.
pub(super) fn alert(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    if let Error::AlertReceived(alert) = error { Some(name(*alert)) } else { None }
}

fn name(alert: AlertDescription) -> String {
    let Some(name) = alert.as_str() else { return format!("alert {}", u8::from(alert)) };
    let (mut snake, mut before) = (String::new(), 'A');
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
        before = letter;
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_has_the_name_that_the_rfc_gives_it() {
        for (alert, expected) in [
            (AlertDescription::CertificateRequired, "certificate_required"),
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::ProtocolVersion, "protocol_version"),
            (AlertDescription::Unknown(77), "alert 77"),
        ] {
            let error = io::Error::new(io::ErrorKind::InvalidData, Error::AlertReceived(alert));
            assert_eq!(super::alert(&error).as_deref(), Some(expected));
        }
        assert_eq!(super::alert(&io::Error::other("no alert")), None);
    }
}
