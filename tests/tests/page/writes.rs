//! What is changed by the page: with scripts and without, and in the audit by the session's token.

use fedgate_tests::pki::{Authority, Leaf};
use fedgate_tests::process::eventually;
use serde_json::json;

use super::site::Site;

#[test]
fn an_entry_is_edited_blocked_allowed_again_and_removed() {
    let site = Site::start(&[]);
    for has_script in [true, false] {
        site.control_plane.add(&["a.com"]);
        let tab = site.admin(has_script);
        tab.go("/page/partners/a.com");
        tab.click("Edit the entry");
        tab.fill("Note", "contract 17 & <more>");
        tab.fill("Expires", "2040-01-31");
        tab.fill("Pinned hosts", "f.a.com\ng.a.com");
        tab.choose("Mode", "shadow");
        tab.click("Write the entry");
        tab.assert_reads("The entry of a.com is written.");
        tab.assert_reads("contract 17 & <more>");
        let (_, entry) = site.api("GET", "domains/a.com", None);
        assert_eq!(entry["note"], "contract 17 & <more>");
        assert_eq!(entry["expires_at"], "2040-01-31T00:00:00Z");
        assert_eq!(entry["pinned_hosts"], json!(["f.a.com", "g.a.com"]));
        assert_eq!(entry["mode"], "shadow");

        tab.click("Edit the entry");
        tab.fill("Expires", "tomorrow");
        tab.click("Write the entry");
        tab.assert_reads("is no moment in UTC");
        tab.fill("Expires", "");
        tab.click("Write the entry");
        // Out of shadow mode, too.
        tab.click("Block");
        tab.assert_reads("Lose access");
        tab.click("Block");
        tab.assert_reads("a.com is blocked.");
        let (_, entry) = site.api("GET", "domains/a.com", None);
        assert_eq!((&entry["action"], &entry["mode"]), (&json!("block"), &json!("enforce")));
        tab.click("Allow again");
        tab.click("Allow again");
        tab.click("Look up now");
        tab.assert_reads("a.com was looked up");
        tab.click("Try anew");
        tab.assert_reads("a.com was looked up");
        tab.click("Remove");
        tab.click("Remove");
        tab.assert_reads("a.com is off the list.");
        assert_eq!(site.api("GET", "domains/a.com", None).0, 404);
        let deeds = site.deeds();
        assert_eq!(deeds[0], ("admin".to_owned(), "domain-removed".to_owned()));
        assert_eq!(deeds[1], ("admin".to_owned(), "domain-changed".to_owned()));
        tab.assert_clean();
    }
}

#[test]
fn of_two_who_edit_one_entry_the_second_sees_both_versions_and_chooses() {
    let site = Site::start(&[]);
    for has_script in [true, false] {
        site.control_plane.add(&["a.com"]);
        let [alice, bob] = [site.admin(has_script), site.admin(has_script)];
        for tab in [&alice, &bob] {
            tab.go("/page/partners/a.com/edit");
        }
        alice.fill("Note", "of Alice");
        alice.click("Write the entry");
        bob.fill("Note", "of Bob <b>");
        bob.click("Write the entry");
        bob.assert_reads("a.com has changed meanwhile");
        bob.assert_reads("of Alice");
        bob.assert_reads("of Bob <b>");
        assert_eq!(site.api("GET", "domains/a.com", None).1["note"], "of Alice");
        if has_script {
            bob.assert_accessible();
            bob.keep("conflict");
        }
        bob.click("Write mine over it");
        assert_eq!(site.api("GET", "domains/a.com", None).1["note"], "of Bob <b>");

        alice.go("/page/partners/a.com/edit");
        site.control_plane.cli(&["domain", "remove", "a.com"]).unwrap();
        alice.fill("Note", "again");
        alice.click("Write the entry");
        alice.assert_reads("The entry was taken off the list");
        alice.click("Write mine over it");
        assert_eq!(site.api("GET", "domains/a.com", None).1["note"], "again");
        site.control_plane.cli(&["domain", "remove", "a.com"]).unwrap();
        alice.assert_clean();
        bob.assert_clean();
    }
}

#[test]
fn a_partner_is_added_step_by_step() {
    let site = Site::start(&[
        "_wire-server-federator._tcp.a.com. 3600 IN SRV 10 10 1 infra.a.com.",
        "infra.a.com. 3600 IN A 127.0.0.1",
        "_wire-server-federator._tcp.c.com. 3600 IN SRV 10 10 1 infra.a.com.",
        "_wire-server-federator._tcp.b.com. 3600 IN SRV 7 10 443 infra.b.com.",
        "infra.b.com. 3600 IN A 127.0.0.1",
    ]);
    for (has_script, domain) in [(true, "a.com"), (false, "c.com")] {
        let tab = site.admin(has_script);
        tab.go("/page/add");
        tab.fill("Their backend domain", &format!("https://{domain}/"));
        tab.click("See what is found");
        tab.assert_reads(&format!("write {domain}"));
        tab.fill("Their backend domain", domain);
        tab.click("See what is found");
        tab.wait_for("not looked at");
        tab.wait_for("errors,");
        tab.assert_reads("infra.a.com");
        if has_script {
            tab.assert_accessible();
            tab.keep("add-look");
        }
        tab.click("Go on to the terms");
        tab.fill("Note", "our friends");
        tab.click(&format!("Put {domain} on the list"));
        tab.assert_reads(&format!("{domain} is on the list."));
        tab.fill("Our own backend domain", "b.com");
        tab.click("Write the text");
        let letter = tab.value("Send them this, by a way that nobody can change");
        assert!(
            letter.contains("_wire-server-federator._tcp.b.com. IN SRV 7 10 443 infra.b.com."),
            "{letter}"
        );
        tab.click("Watch for the first request");
        tab.assert_reads(&format!("No request of {domain} has passed yet"));
        site.report("ingress", &[super::site::presenting(domain, "permitted", "DNS:infra.a.com")]);
        tab.wait_for("It showed a certificate for DNS:infra.a.com");
        tab.assert_clean();
        site.control_plane.cli(&["domain", "remove", domain]).unwrap();
    }
}

#[test]
fn the_border_is_opened_by_whoever_types_that_he_wants_to_and_by_nobody_else() {
    let site = Site::start(&[]);
    let strategy = || site.api("GET", "strategy", None).1["strategy"].clone();
    for has_script in [true, false] {
        let tab = site.admin(has_script);
        tab.go("/page/list");
        tab.press("document.querySelector('[value=allowAll]')");
        tab.click("See what that comes to");
        tab.assert_reads("This opens the border.");
        tab.assert_reads("every domain that is not listed gains access");
        for typed in ["yes", "allowall"] {
            tab.fill("To confirm, type allowAll", typed);
            tab.click("Set allowAll");
            tab.assert_reads("Nothing was set");
            assert_eq!(strategy(), "allowDynamic");
        }
        if has_script {
            tab.assert_accessible();
            tab.keep("allow-all");
        }
        tab.fill("To confirm, type allowAll", "allowAll");
        tab.click("Set allowAll");
        assert_eq!(strategy(), "allowAll");
        tab.press("document.querySelector('[value=allowDynamic]')");
        tab.click("See what that comes to");
        tab.click("Set allowDynamic");
        assert_eq!(strategy(), "allowDynamic");
        assert_eq!(site.deeds()[0], ("admin".to_owned(), "strategy-set".to_owned()));
        tab.assert_clean();
    }
}

#[test]
fn many_domains_are_imported_after_their_difference_was_seen() {
    let site = Site::start(&[]);
    for has_script in [true, false] {
        site.control_plane.add(&["old.com"]);
        let tab = site.admin(has_script);
        tab.go("/page/list/import");
        tab.fill("Domains", "new.com\nnot a domain");
        tab.click("See what would change");
        tab.assert_reads("'not a domain' is not a backend domain");
        tab.fill("Domains", "new.com\nold.com\n");
        tab.click("See what would change");
        tab.assert_reads("1 added, 0 changed, 0 removed, 1 as they are.");
        assert_eq!(site.api("GET", "domains/new.com", None).0, 404);
        // The list changes meanwhile, so it is compared anew.
        site.control_plane.cli(&["domain", "set", "old.com", "--note", "x"]).unwrap();
        tab.click("Change the list");
        tab.assert_reads("The list has changed since this was compared.");
        tab.click("Change the list");
        tab.assert_reads("The list is changed: 1 added");
        let toml = "[[domains]]\ndomain = \"new.com\"\nnote = \"<i>\"\n";
        tab.go("/page/list/import");
        tab.fill("Domains", toml);
        tab.press("document.querySelector('[name=prune]')");
        tab.click("See what would change");
        tab.assert_reads("0 added, 1 changed, 1 removed");
        if has_script {
            tab.assert_accessible();
            tab.keep("import-preview");
        }
        tab.click("Change the list");
        assert_eq!(site.api("GET", "domains/old.com", None).0, 404);
        assert_eq!(site.api("GET", "domains/new.com", None).1["note"], "<i>");
        tab.go("/page/list/import");
        tab.fill("Domains", "strategy = \"allowAll\"\n");
        tab.click("See what would change");
        tab.assert_reads("set by itself");
        assert!(!tab.has("Change the list"));
        tab.assert_clean();
        site.control_plane.cli(&["domain", "remove", "new.com"]).unwrap();
    }
}

#[test]
fn a_token_is_made_shown_once_and_revoked() {
    let site = Site::start(&[]);
    for has_script in [true, false] {
        let tab = site.admin(has_script);
        tab.go("/page/tokens");
        tab.fill("Name", "a b");
        tab.click("Make it");
        tab.assert_reads("a token's name has");
        tab.fill("Name", "carol");
        tab.press("document.querySelector('[name=role][value=viewer]')");
        tab.fill("Expires", "2040-01-31");
        tab.click("Make it");
        tab.assert_reads("The token 'carol' is made.");
        let secret = tab.ask("document.querySelector('.secret').innerText");
        let secret = secret.as_str().unwrap().to_owned();
        tab.go("/page/tokens");
        assert!(!tab.text().contains(&secret));
        let carol = site.tab(&secret, has_script);
        carol.assert_reads("viewer");
        tab.click_at("document.querySelector('a[href=\"/page/tokens/carol/revoke\"]')");
        tab.click("Revoke carol");
        tab.assert_reads("The token 'carol' is revoked.");
        carol.go("/page/audit");
        carol.assert_reads("Log in");
        tab.assert_clean();
    }
}

#[test]
fn the_audit_is_filtered_and_taken_along() {
    let site = Site::start(&[]);
    let many: Vec<_> = (0..60).map(|n| json!({"domain": format!("d{n:02}.com")})).collect();
    assert_eq!(site.api("PUT", "domains", Some(&json!({"domains": many}))).0, 200);
    for has_script in [true, false] {
        let tab = site.admin(has_script);
        tab.go("/page/audit");
        tab.click("Earlier");
        tab.assert_reads("d00.com");
        tab.fill("Domain", "d07.com");
        tab.choose("Action", "domain-added");
        tab.click("Show");
        tab.assert_reads("d07.com");
        assert!(!tab.text().contains("d08.com"));
        let link = tab.ask("document.querySelector('a[download]').href");
        let lines = tab.ask(&format!("fetch({link}).then(it => it.text())"));
        assert_eq!(lines.as_str().unwrap().lines().count(), 1, "{lines}");
        tab.assert_clean();
    }
}

#[test]
fn what_is_explained_and_checked_can_be_linked() {
    let site = Site::start(&[
        "_wire-server-federator._tcp.a.com. 3600 IN SRV 10 10 1 infra.a.com.",
        "infra.a.com. 3600 IN A 127.0.0.1",
    ]);
    site.control_plane.add(&["a.com"]);
    for has_script in [true, false] {
        let tab = site.admin(has_script);
        tab.go("/page/explain");
        tab.fill("Backend domain", "a.com");
        tab.click("Explain");
        tab.assert_reads("The certificate decides, and none was given.");
        let link = tab.path();
        let other = site.tab(fedgate_tests::control_plane::VIEWER_TOKEN, has_script);
        other.go(&link);
        other.assert_reads("The certificate decides, and none was given.");
        tab.press("document.querySelector('[value=outgoing]')");
        tab.click_at("document.querySelector('main form button')");
        tab.assert_reads("It passes.");
        tab.go("/page/checks");
        tab.fill("Backend domain", "a.com");
        tab.click_at("document.querySelector('main form button')");
        eventually("the check is over", || tab.text().contains("passed,").then_some(()));
        let link = tab.path();
        other.go(&link);
        other.assert_reads("passed,");
        if has_script {
            other.assert_accessible();
            other.keep("check");
        }
        other.go("/page/checks");
        other.assert_reads("the role admin is needed");
        tab.assert_clean();
        other.assert_clean();
    }
}

#[test]
fn a_certificate_is_explained_to_viewers_and_stands_in_no_address_and_a_key_is_not_sent_back() {
    let site = Site::start(&["_wire-server-federator._tcp.a.com. 3600 IN SRV 10 10 1 infra.a.com."]);
    site.control_plane.add(&["a.com"]);
    let identity = Authority::root("an authority").issue(&Leaf::of(["infra.a.com"]));
    for has_script in [true, false] {
        let tab = site.tab(fedgate_tests::control_plane::VIEWER_TOKEN, has_script);
        tab.go("/page/explain");
        tab.fill("Backend domain", "a.com");
        tab.fill("Their client certificate", &identity.chain);
        tab.click_at("document.querySelector('main form button')");
        tab.assert_reads("It passes.");
        assert_eq!(tab.path(), "/page/explain");
        tab.press("document.querySelector('[name=unclaimed]')");
        tab.click_at("document.querySelector('main form button')");
        tab.assert_reads("no-origin-domain");
        tab.fill("Their client certificate", &identity.key);
        tab.click_at("document.querySelector('main form button')");
        tab.assert_reads("there is a private key in it");
        let secret = identity.key.lines().nth(1).unwrap();
        let page = tab.ask("document.documentElement.outerHTML");
        assert!(!page.as_str().unwrap().contains(secret) && tab.path() == "/page/explain");
    }
}

#[test]
fn an_entry_of_the_lists_file_is_shown_as_such_and_changed_there_alone() {
    let site = Site::configured(&[], |dir| {
        let file = dir.join("domains.toml");
        std::fs::write(&file, "[[domains]]\ndomain = \"a.com\"\nnote = \"ours\"\n").unwrap();
        format!("[list]\nfile = {file:?}\n")
    });
    site.control_plane.add(&["b.com"]);
    let tab = site.admin(true);
    tab.go("/page/partners");
    tab.assert_reads("of the file");
    tab.go("/page/list");
    tab.assert_reads("owns 1 entries");
    tab.go("/page/partners/b.com");
    tab.assert_reads("Edit the entry");
    tab.go("/page/partners/a.com");
    tab.assert_reads("The list's file owns this entry");
    assert!(!tab.text().contains("Edit the entry"), "{}", tab.text());
    // Whoever goes there all the same is told, and nothing is done.
    tab.go("/page/partners/a.com/remove");
    tab.assert_reads("change it there");
    assert_eq!(site.api("GET", "domains/a.com", None).1["note"], "ours");
}
