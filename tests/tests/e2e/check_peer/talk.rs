//! What they say to a harmless call, and the time that it is there.

use std::time::{Duration, SystemTime};

use super::site::{Ingress, Site, answering, dated};

#[test]
fn what_they_say_has_its_code() {
    let site = Site::new();
    for (status, body, expected) in [
        (400, r#"{"code":400,"label":"federation-denied","message":"m"}"#, "not-on-their-list"),
        (422, r#"{"code":422,"label":"invalid-domain","message":"m"}"#, "our-srv-unseen"),
        (403, r#"{"code":403,"label":"authentication-failure","message":"m"}"#, "certificate-refused"),
        (403, r#"{"code":403,"label":"invalid-endpoint","message":"m"}"#, "endpoint-missing"),
        (503, r#"{"code":503,"label":"verdict-unavailable","message":"m"}"#, "backend-fails"),
        (502, "<html>Bad Gateway</html>", "backend-fails"),
        (200, "<html>Welcome to nginx!</html>", "no-federator"),
        (404, "<html>Not Found</html>", "no-federator"),
        (409, r#"{"code":409,"label":"conflict","message":"m"}"#, "call-refused"),
    ] {
        let told = site.told_of(&Ingress { router: answering(status, body), ..site.good() });
        told.is(&[expected]);
    }
}

#[test]
fn a_clock_that_is_off_is_found() {
    let site = Site::new();
    for (seconds, expected) in [(30, &[][..]), (180, &["clock-differs"]), (600, &["clock-wrong"])] {
        let apart = Duration::from_secs(seconds);
        for router in
            [dated(move || SystemTime::now() + apart), dated(move || SystemTime::now() - apart)]
        {
            site.told_of(&Ingress { router, ..site.good() }).is(expected);
        }
    }
}

#[test]
fn what_they_say_does_not_reach_the_terminal_as_it_is() {
    let site = Site::new();
    let body = "{\"code\":403,\"label\":\"x\u{202e}\",\"message\":\"\\u001b[2Jgone\"}";
    let told = site.told_of(&Ingress { router: answering(403, body), ..site.good() });
    told.is(&["call-refused"]);
    let text = String::from_utf8(told.output.stdout).unwrap();
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
}
