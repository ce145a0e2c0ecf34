//! Every screen: for everybody, in both themes, at any width, and with nothing on it that acts.

use serde_json::json;

use super::site::{READERS, Site, line, presenting};

/// Text that would act, if it could.
const HOSTILE: &str =
    "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script>{{7*7}}\u{202e}evil";

/// A site on which there is something of everything.
fn full() -> Site {
    let site = Site::start(&[
        "_wire-server-federator._tcp.a.com. 3600 IN SRV 10 10 443 infra.a.com.",
        "infra.a.com. 3600 IN A 127.0.0.1",
    ]);
    site.control_plane.add(&["a.com", "b.com", "c.com"]);
    let terms =
        json!({"note": HOSTILE, "expires_at": "2030-01-31T12:00:00Z", "pinned_hosts": ["infra.a.com"]});
    assert_eq!(site.api("PUT", "domains/a.com", Some(&terms)).0, 200);
    assert_eq!(site.api("PUT", "domains/blocked.com", Some(&json!({"action": "block"}))).0, 201);
    let names = "DNS:<b>bold</b>,DNS:\"><script>alert(3)</script>";
    site.report("ingress", &[presenting("a.com", "permitted", names)]);
    site.report(
        "ingress",
        &[
            presenting("a.com", "authentication-failure", names),
            line("b.com", "permitted"),
            presenting("z.com", "federation-denied", names),
        ],
    );
    site.report(
        "egress",
        &[
            line("c.com", "federation-remote-error/federation-denied"),
            line("a.com", "federation-connection-refused"),
        ],
    );
    assert_eq!(site.api("POST", "tokens", Some(&json!({"name": "bob", "role": "viewer"}))).0, 201);
    site
}

/// The screens, and what is to be read on each.
const SCREENS: [(&str, &str, &str); 19] = [
    ("home", "/page/", "What needs somebody"),
    ("partners", "/page/partners", "a.com"),
    ("partners-in-trouble", "/page/partners?sort=trouble&state=refused", "refused"),
    ("partner", "/page/partners/a.com", "Certificate last seen"),
    ("partner-unlisted", "/page/partners/z.com", "No entry allows it"),
    ("entry", "/page/partners/a.com/edit", "Entry of a.com"),
    ("block", "/page/partners/a.com/block", "Lose access"),
    ("remove", "/page/partners/a.com/remove", "Lose access"),
    ("add", "/page/add", "What is found"),
    ("terms", "/page/add/terms?domain=d.com", "Terms"),
    ("send", "/page/add/send?domain=a.com", "For a.com"),
    ("watch", "/page/add/watch?domain=b.com", "b.com"),
    ("refusals", "/page/refusals", "z.com"),
    ("explain", "/page/explain?domain=a.com", "The decision, step by step"),
    ("checks", "/page/checks", "Lately"),
    ("list", "/page/list", "Strategy"),
    ("import", "/page/list/import", "Import"),
    ("tokens", "/page/tokens", "bob"),
    ("audit", "/page/audit", "domain-added"),
];

#[test]
fn every_screen_is_for_everybody_and_no_text_on_it_acts() {
    let site = full();
    for (role, token, has_script) in READERS {
        let tab = site.tab(token, has_script);
        for (name, path, words) in SCREENS {
            tab.go(path);
            tab.assert_reads(words);
            assert_eq!(tab.ask("document.querySelectorAll('main h1').length"), 1, "{path}");
            assert_eq!(
                tab.ask("document.querySelectorAll('main img, main script, main b').length"),
                0,
                "{path}"
            );
            let unseen = tab.ask("document.documentElement.outerHTML.includes('\\u202e')");
            assert_eq!(unseen, false, "{path}");
            tab.assert_clean();
            if has_script {
                tab.assert_accessible();
            }
            if has_script && role == "admin" {
                tab.keep(name);
            }
        }
    }
}

#[test]
fn problems_are_pages_too() {
    let site = full();
    let tab = site.admin(true);
    for (path, words) in [
        ("/page/nowhere", "there is no such page"),
        ("/page/partners/a_b.com", "is not a backend domain"),
        ("/page/partners/d.com/edit", "is not on the allow list"),
        ("/page/partners/d.com", "No entry allows it"),
        ("/page/checks/none", "not kept any more"),
        ("/page/docs/none", "there is no such page"),
        ("/page/audit?since=x", "is no moment in UTC"),
        ("/page/explain?domain=https://a.com/", "write a.com"),
        ("/page/partners?page=x", "is not one that this page makes"),
    ] {
        tab.go(path);
        tab.assert_reads(words);
        tab.assert_clean();
        tab.assert_accessible();
    }
}

#[test]
fn the_documents_are_there_to_read_on() {
    let site = full();
    let tab = site.admin(true);
    for (path, words) in [
        ("/page/docs/errors#authentication-failure", "authentication-failure"),
        ("/page/docs/page", "The page"),
        ("/page/docs/partners", "never-seen"),
        ("/page/docs/check", "srv-missing"),
    ] {
        tab.go(path);
        tab.assert_reads(words);
        tab.assert_clean();
    }
    tab.go("/page/docs/errors#authentication-failure");
    assert_eq!(tab.ask("!!document.querySelector(':target')"), true);
    tab.assert_accessible();
}

#[test]
fn what_changes_is_shown_where_one_looks_and_not_where_one_writes() {
    let site = full();
    let tab = site.admin(true);
    tab.go("/page/partners?text=new");
    tab.assert_reads("None.");
    tab.wait("it listens", "performance.getEntriesByType('resource').some(it => it.name.endsWith('/page/live')) || !!document.body.dataset.live");
    site.control_plane.add(&["new.com"]);
    tab.wait_for("new.com");
    // While somebody types, nothing moves.
    tab.fill("Search domain or note", "half a wor");
    let seen = tab.ask("document.body.dataset.seen");
    site.control_plane.add(&["newer.com"]);
    tab.wait("it was time to look", "Number(document.body.dataset.held ?? 0) >= 2");
    assert_eq!(tab.value("Search domain or note"), "half a wor");
    assert_eq!(tab.ask("document.body.dataset.seen"), seen);
    tab.go("/page/");
    let own = tab.ask("[...document.querySelectorAll('time')].every(it => !!it.querySelector('span'))");
    assert_eq!(own, true, "the reader's own time stands beside");
    tab.assert_clean();
}

#[test]
fn the_home_page_is_small() {
    let site = full();
    let tab = site.admin(true);
    tab.go("/page/");
    let octets = tab.ask(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
           .reduce((sum, it) => sum + it.decodedBodySize, 0)",
    );
    assert!(octets.as_f64().unwrap() < 60_000.0, "{octets}");
    assert!(octets.as_f64().unwrap() > 5_000.0, "{octets}");
}

#[test]
fn the_keyboard_alone_is_enough() {
    let site = full();
    let tab = site.stranger(false);
    tab.go("/page/login");
    let reach = |what: &str| {
        for _ in 0..80 {
            tab.key("Tab");
            let name =
                tab.ask("(document.activeElement.labels?.[0] ?? document.activeElement).innerText");
            if name.as_str().map(str::trim) == Some(what) {
                assert_ne!(
                    tab.ask("getComputedStyle(document.activeElement).outlineStyle"),
                    "none",
                    "{what}"
                );
                return;
            }
        }
        panic!("{what} is not reached by the keyboard");
    };
    reach("Token");
    tab.type_in(fedgate_tests::control_plane::ADMIN_TOKEN);
    reach("Log in");
    tab.enter();
    reach("Skip to the content");
    reach("Partners");
    tab.enter();
    reach("a.com");
    tab.enter();
    reach("Block");
    tab.enter();
    reach("Block");
    tab.enter();
    tab.assert_reads("a.com is blocked.");
}
