//! From an empty database to a federation that works, by the page alone, on both sides. The pictures of docs/page.md are
//! made on the way; `FEDGATE_PAGE_PICTURES=1` puts them there.

use std::fs;

use fedgate_tests::World;
use fedgate_tests::artifacts;
use fedgate_tests::control_plane::ADMIN_TOKEN;
use fedgate_tests::process::eventually;

use super::browser::shared;
use super::tab::Tab;

/// The width of the pictures, in pixels.
const WIDTH: i64 = 900;

/// A backend of its own kind, with its page.
struct Backend {
    tab: Tab,
    world: World,
}

impl Backend {
    /// Not announced yet, and with nobody on its list.
    fn start(domain: &str, has_script: bool, other: Option<&World>) -> Self {
        let builder = World::builder().backend(domain).egress();
        let builder = builder.discovery("allow_private_addresses = true\n");
        let mut world = match other {
            Some(other) => builder.joins(other).start(),
            None => builder.start(),
        };
        // What an operator writes into the configuration, so that the page knows us.
        let ca = world.dir().join("authority.pem");
        fs::write(&ca, world.authority.pem()).expect("a file");
        let page = format!(
            "[page]\nown_domain = \"{domain}\"\nown_ca = \"{0}\"\ntrust = \"{0}\"\n[discovery]\n",
            ca.display()
        );
        world.control_plane().configure("[discovery]\n", &page);
        world.control_plane().restart();
        let tab = shared().tab(&world.control_plane().url());
        let tab = if has_script { tab } else { tab.without_script() };
        tab.log_in(ADMIN_TOKEN);
        Self { tab, world }
    }

    /// Adds the other side, step by step; what is to be sent to it.
    fn add(&self, domain: &str, pictures: Option<&Pictures>) -> String {
        let tab = &self.tab;
        let keep = |name| {
            if let Some(pictures) = pictures {
                pictures.take(tab, name);
            }
        };
        tab.go("/page/");
        tab.click("Add a partner");
        tab.fill("Their backend domain", domain);
        keep("add");
        tab.click("See what is found");
        tab.wait_for("errors,");
        tab.assert_reads(&format!("infra.{domain}"));
        keep("look");
        tab.click("Go on to the terms");
        tab.fill("Note", "contract 17");
        keep("terms");
        tab.click(&format!("Put {domain} on the list"));
        let letter = tab.value("Send them this, by a way that nobody can change");
        keep("send");
        tab.click("Watch for the first request");
        letter
    }
}

/// Where pictures go.
struct Pictures {
    is_wanted: bool,
}

impl Pictures {
    /// A picture of the page as it is, for the documents where they are wanted there, else for whoever looks at tests.
    fn take(&self, tab: &Tab, name: &str) {
        let folder = if self.is_wanted { "docs/page" } else { "target/page" };
        let folder = artifacts::repository().join(folder);
        fs::create_dir_all(&folder).expect("a folder for pictures");
        tab.resize(WIDTH, 600);
        let file = folder.join(format!("{name}.webp"));
        fs::write(file, tab.small_picture()).expect("a picture");
        tab.resize(1280, 900);
    }
}

fn federation(has_script: bool) {
    let is_wanted = std::env::var("FEDGATE_PAGE_PICTURES").is_ok() && has_script;
    let pictures = Pictures { is_wanted };
    let shot = has_script.then_some(&pictures);
    let a = Backend::start("a.com", has_script, None);
    let b = Backend::start("b.com", has_script, Some(&a.world));
    a.world.announce(&a.world.dns);
    b.world.announce(&a.world.dns);

    // Before anything is on a list, a call is refused on this side already.
    let refused = a.world.local().call("b.com", "search-users").unwrap();
    assert_ne!(refused.status, 200);
    if let Some(pictures) = shot {
        a.tab.go("/page/");
        pictures.take(&a.tab, "home-empty");
    }

    let letter = a.add("b.com", shot);
    for words in ["Our backend domain: a.com", "SRV 10 5", "infra.a.com", "BEGIN CERTIFICATE"] {
        assert!(letter.contains(words), "{words}: {letter}");
    }
    a.tab.assert_reads("No request of b.com has passed yet");
    if let Some(pictures) = shot {
        pictures.take(&a.tab, "watch-waiting");
    }

    // They try, and are told why not: we are not on their list. They see us knock, and add us from there.
    let answer = a.world.local().call("b.com", "search-users").unwrap();
    assert_eq!(answer.label(), "federation-remote-error", "{}", answer.json());
    eventually("b.com sees who knocked", || {
        b.tab.go("/page/refusals");
        b.tab.text().contains("federation-denied").then_some(())
    });
    b.tab.assert_reads("DNS:infra.a.com");
    if let Some(pictures) = shot {
        pictures.take(&b.tab, "refusals");
    }
    b.tab.click("Add");
    assert_eq!(b.tab.value("Their backend domain"), "a.com");
    b.add("a.com", None);

    // Both call; and both see it.
    for (from, to) in [(&a, &b), (&b, &a)] {
        eventually("a call is answered", || {
            let answer = from.world.local().call(to.world.domain(), "search-users").ok()?;
            (answer.status == 200).then_some(())
        });
    }
    for side in [&a, &b] {
        side.tab.wait_for("It showed a certificate for DNS:infra.");
        side.tab.wait_for("A call of ours was answered");
    }
    if let Some(pictures) = shot {
        pictures.take(&a.tab, "watch");
    }
    for (side, other) in [(&a, "b.com"), (&b, "a.com")] {
        eventually("all is well", || {
            side.tab.go(&format!("/page/partners/{other}"));
            side.tab.ask("!!document.querySelector('main .mark.ok')").as_bool().filter(|ok| *ok)
        });
        side.tab.assert_clean();
    }
    if let Some(pictures) = shot {
        pictures.take(&a.tab, "partner");
        eventually("nothing is in trouble", || {
            a.tab.go("/page/");
            a.tab.ask("!document.querySelector('main .box.trouble')").as_bool().filter(|it| *it)
        });
        pictures.take(&a.tab, "home");
    }
}

#[test]
fn two_backends_federate_by_the_page_alone() {
    federation(true);
}

#[test]
fn two_backends_federate_by_the_page_alone_without_a_script() {
    federation(false);
}
