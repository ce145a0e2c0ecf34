//! The way in, and out.

use fedgate_tests::control_plane::{ADMIN_TOKEN, VIEWER_TOKEN};
use fedgate_tests::process::http;

use super::site::{READERS, Site};

#[test]
fn whoever_has_a_token_gets_in_and_to_where_he_wanted_to() {
    let site = Site::start(&[]);
    for (role, token, has_script) in READERS {
        let tab = site.stranger(has_script);
        tab.go("/page/partners?state=ok");
        assert!(tab.path().starts_with("/page/login?to="), "{}", tab.path());
        tab.fill("Token", "none of ours");
        tab.click("Log in");
        tab.assert_reads("we do not know this token");
        tab.fill("Token", token);
        tab.click("Log in");
        assert_eq!(tab.path(), "/page/partners?state=ok");
        tab.assert_reads(role);
        tab.click("Log out");
        tab.go("/page/");
        assert_eq!(tab.path(), "/page/login");
        tab.assert_clean();
    }
}

#[test]
fn a_session_ends_with_its_token() {
    let site = Site::start(&[]);
    let (_, made) =
        site.api("POST", "tokens", Some(&serde_json::json!({"name": "eve", "role": "admin"})));
    let tab = site.tab(made["token"].as_str().unwrap(), true);
    tab.assert_reads("How we stand");
    assert_eq!(site.api("DELETE", "tokens/eve", None).0, 204);
    // The page that is open hears of it, and is at the door again.
    tab.wait_for("Log in");
    tab.go("/page/tokens");
    tab.assert_reads("Log in");
    assert!(!tab.text().contains("Make a token"));
}

#[test]
fn the_cookie_is_for_no_script_and_no_other_site() {
    let site = Site::start(&[]);
    let tab = site.tab(ADMIN_TOKEN, true);
    assert_eq!(tab.ask("document.cookie"), "");
    // A form of another site; and one of ours without the seal.
    let send = |path: &str, body: &str| {
        let body = serde_json::Value::from(body);
        let kind = "application/x-www-form-urlencoded";
        tab.ask(&format!(
            "fetch('{path}', {{method: 'POST', body: {body}, headers: {{'content-type': '{kind}'}}}}).then(it => it.status)"
        ))
    };
    for body in ["name=eve&role=admin", "name=eve&role=admin&seal=", "name=eve&role=admin&seal=0123"] {
        assert_eq!(send("/page/tokens", body), 403, "{body}");
    }
    let seal = tab.ask("document.querySelector('[name=seal]').value");
    let seal = seal.as_str().unwrap();
    assert_eq!(send("/page/tokens", &format!("name=eve&role=viewer&seal={seal}")), 200);
    assert_eq!(site.deeds()[0], ("admin".to_owned(), "token-made".to_owned()));
    let elsewhere = site.tab(ADMIN_TOKEN, true);
    let other = elsewhere.ask("document.querySelector('[name=seal]').value");
    let other = other.as_str().unwrap();
    assert_eq!(send("/page/tokens", &format!("name=eva&role=viewer&seal={other}")), 403);
}

#[test]
fn a_viewer_sees_all_and_changes_nothing() {
    let site = Site::start(&[]);
    site.control_plane.add(&["a.com"]);
    let tab = site.tab(VIEWER_TOKEN, true);
    for path in ["/page/add", "/page/partners/a.com/edit", "/page/partners/a.com/remove", "/page/list"] {
        tab.go(path);
        tab.assert_reads("Your role, viewer, changes nothing");
    }
    // Even with a seal, and whatever the page shows.
    let seal = tab.ask("document.querySelector('[name=seal]').value");
    let seal = seal.as_str().unwrap();
    for path in [
        "partners/a.com/remove",
        "partners/a.com/edit",
        "list/strategy",
        "list/import/apply",
        "tokens",
        "checks",
        "add/look",
        "add/terms?domain=b.com",
    ] {
        let status = tab.ask(&format!(
            "fetch('/page/{path}', {{method: 'POST', body: new URLSearchParams({{seal: '{seal}', domain: 'b.com', \
             name: 'eve', role: 'admin', text: 'b.com'}})}}).then(it => it.status)"
        ));
        assert_eq!(status, 403, "{path}");
    }
    let (_, list) = site.api("GET", "domains", None);
    assert_eq!(list["domains"].as_array().unwrap().len(), 1);
}

#[test]
fn a_link_from_elsewhere_leads_to_the_page_for_whoever_is_logged_in() {
    let site = Site::start(&[]);
    for has_script in [true, false] {
        let tab = site.admin(has_script);
        // Another host, though on the same machine, is another site.
        let url = format!("{}/page/explain?domain=a.com", site.control_plane.url());
        tab.open(&format!("data:text/html,<main><a href='{url}'>go</a></main>"));
        tab.click("go");
        tab.wait("the page", "document.title.startsWith('Explain')");
    }
}

#[test]
fn where_there_is_to_be_no_page_there_is_none() {
    let mut site = Site::start(&[]);
    site.control_plane.configure("[discovery]\n", "[page]\nenabled = false\n[discovery]\n");
    site.control_plane.restart();
    for path in ["/", "/page", "/page/", "/page/login", "/page/live"] {
        let answer = http().get(format!("{}{path}", site.control_plane.url())).call().unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
    }
}

#[test]
fn every_answer_of_the_page_has_what_keeps_it_safe() {
    let site = Site::start(&[]);
    let url = site.control_plane.url();
    for path in ["/page/login", "/page/", "/page/nowhere", "/page/assets/none", "/page/live"] {
        let answer = http().get(format!("{url}{path}")).call().unwrap();
        let headers = answer.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(headers[name], value, "{path}: {name}");
        }
    }
    // Over HTTP, a session is for what browsers say is our own page.
    let login = |name: &str, value: &str| {
        let form = [("token", ADMIN_TOKEN)];
        let agent: ureq::Agent =
            ureq::Agent::config_builder().max_redirects(0).http_status_as_error(false).build().into();
        agent.post(format!("{url}/page/login")).header(name, value).send_form(form).unwrap()
    };
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "null"), ("x-none", "x")] {
        let answer = login(name, value);
        assert_eq!(answer.status(), 403, "{name}: {value}");
        assert!(!answer.headers().contains_key("set-cookie"));
    }
    let origin = url.as_str();
    let cookie = login("origin", origin).headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");
    assert!(cookie.contains("; Path=/page") && !cookie.contains("Secure"), "{cookie}");
}

#[test]
fn what_no_page_of_ours_asks_for_is_told_as_a_page() {
    let site = Site::start(&[]);
    for (method, path, status) in
        [("DELETE", "/page/login", 405), ("PUT", "/page/assets/x", 405), ("GET", "/page/assets/x", 404)]
    {
        let url = format!("{}{path}", site.control_plane.url());
        let request = ureq::http::Request::builder().method(method).uri(url).body(()).unwrap();
        let answer = http().run(request).unwrap();
        let header = |name: &str| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
        assert!(header("content-type").starts_with("text/html"), "{method} {path}");
        assert!(header("content-security-policy").starts_with("default-src 'none'"), "{method} {path}");
    }
    let tab = site.tab(ADMIN_TOKEN, true);
    let asked = "fetch('/page/partners', {method: 'DELETE'}).then(it => it.text())";
    let text = tab.ask(asked);
    assert!(text.as_str().unwrap().contains("this page does not know this method"), "{text}");
}
