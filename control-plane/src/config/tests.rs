use fedgate_discovery::dnssec::Demand;

use super::*;

const DIGEST: &str = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";

fn read(settings: Settings, file: &str) -> Result<Config, String> {
    Config::read(settings, Ok(file.to_owned())).map_err(|errors| errors.to_string())
}

#[test]
fn nothing_is_required() {
    let config = read(Settings::default(), "").unwrap();
    assert_eq!(config.store.url, StoreUrl::Sqlite("fedgate.db".into()));
    assert_eq!(config.admin.to_string(), "127.0.0.1:8600");
    assert_eq!(config.verdicts.to_string(), "127.0.0.1:8601");
    assert_eq!(config.xds.to_string(), "127.0.0.1:8602");
    assert_eq!(config.egress.connect_timeout.as_secs(), 2);
    assert_eq!(config.egress.client_certificate_sds, "/etc/fedgate/secrets/federation-client.yaml");
    assert_eq!(config.egress.trust_sds, "/etc/fedgate/secrets/federation-trust.yaml");
    assert!(config.servers.is_empty() && config.tokens.is_empty());
    assert!(config.bootstrap_token_file.is_none());
    assert_eq!((config.audit.age.as_secs(), config.audit.count), (400 * 86_400, 100_000));
    assert_eq!((config.ttl.min.as_secs(), config.ttl.max.as_secs()), (5, 86_400));
    assert_eq!((config.timeout.as_secs(), config.log_format), (3, LogFormat::Text));
    assert!(!config.private_addresses && config.dnssec.demand.is_none());
}

#[test]
fn every_key_of_the_file_counts() {
    let file = format!(
        r#"
        [store]
        url = "sqlite:///var/lib/fedgate.db"
        [listen]
        admin = "[::1]:1"
        verdicts = "0.0.0.0:2"
        xds = "127.0.0.1:3"
        [discovery]
        servers = ["192.0.2.53", "[2001:db8::1]:5353", "2001:db8::2"]
        min_ttl = "10s"
        max_ttl = "1h"
        timeout = "500ms"
        allow_private_addresses = true
        dnssec = "require"
        [egress]
        connect_timeout = "300ms"
        client_certificate_sds = "/run/client.yaml"
        trust_sds = "/run/trust.yaml"
        [api]
        bootstrap_token_file = "/run/token"
        [audit]
        max_age = "30d"
        max_records = 5000
        [[token]]
        name = "alice"
        role = "admin"
        sha256 = "{DIGEST}"
        "#
    );
    let config = read(Settings::default(), &file).unwrap();
    assert_eq!(config.store.url, StoreUrl::Sqlite("/var/lib/fedgate.db".into()));
    assert_eq!(config.admin.to_string(), "[::1]:1");
    assert_eq!(config.verdicts.to_string(), "0.0.0.0:2");
    let servers: Vec<_> = config.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["192.0.2.53:53", "[2001:db8::1]:5353", "[2001:db8::2]:53"]);
    assert_eq!((config.ttl.min.as_secs(), config.ttl.max.as_secs()), (10, 3600));
    assert_eq!(config.timeout.as_millis(), 500);
    assert!(config.private_addresses);
    assert!(config.dnssec.demand == Some(Demand::Require));
    assert_eq!(config.xds.to_string(), "127.0.0.1:3");
    let Egress { connect_timeout, client_certificate_sds, trust_sds } = config.egress;
    assert_eq!(connect_timeout.as_millis(), 300);
    assert_eq!((&*client_certificate_sds, &*trust_sds), ("/run/client.yaml", "/run/trust.yaml"));
    assert!(!config.tokens.is_empty());
    assert_eq!(config.bootstrap_token_file, Some(PathBuf::from("/run/token")));
    assert_eq!((config.audit.age.as_secs(), config.audit.count), (30 * 86_400, 5000));
}

#[test]
fn a_flag_or_variable_wins_over_the_file_and_an_empty_one_does_not() {
    let file = "[discovery]\nmin_ttl = \"10s\"\nservers = [\"192.0.2.1\"]\n";
    let settings = Settings {
        discovery_min_ttl: Some("20s".into()),
        discovery_servers: Some("192.0.2.2, 192.0.2.3:5353".into()),
        ..Settings::default()
    };
    let config = read(settings, file).unwrap();
    assert_eq!(config.ttl.min.as_secs(), 20);
    assert_eq!(config.servers.len(), 2);
    let settings = Settings {
        discovery_min_ttl: Some(String::new()),
        discovery_servers: Some(" ".into()),
        ..Settings::default()
    };
    let config = read(settings, file).unwrap();
    assert_eq!(config.ttl.min.as_secs(), 10);
    assert_eq!(config.servers.len(), 1);
}

#[test]
fn all_errors_are_shown_at_once() {
    let file = r#"
        colour = "red"
        store = "fedgate.db"
        [listen]
        admin = "localhost"
        ads = "127.0.0.1:8602"
        xds = "127.0.0.1"
        [log]
        filter = 1
        [api]
        require_match = 1
        [egress]
        connect_timeout = "1ms"
        trust_sds = "trust.yaml"
        secrets = "/run"
        [discovery]
        servers = ["dns.example.com", 53]
        min_ttl = 5
        max_ttl = "a day"
        dnssec = "on"
        trust_anchor = "/nowhere/root.key"
        allow_private_addresses = "true"
        [[token]]
        name = "alice"
        role = "root"
        sha256 = "x"
        color = "red"
        [[token]]
        name = "bob"
    "#;
    let settings = Settings {
        store_url: Some("http://h1:2379".into()),
        discovery_timeout: Some("1h".into()),
        tokens: Some(format!("a:admin:{DIGEST},a:viewer:{DIGEST},c:viewer:{DIGEST},b:admin:short")),
        log_format: Some("xml".into()),
        ..Settings::default()
    };
    let errors = read(settings, file).unwrap_err();
    for expected in [
        "colour: there is no such key",
        "store: is not a table",
        "store.url: 'http://h1:2379': only sqlite://, etcd:// and etcds:// are supported",
        "listen.admin: 'localhost'",
        "listen.ads: there is no such key",
        "listen.xds: '127.0.0.1'",
        "egress.connect_timeout: is not between 100ms and 60s",
        "egress.trust_sds: is no absolute path",
        "egress.secrets: there is no such key",
        "discovery.servers: is not a list of strings",
        "discovery.min_ttl: is not a string",
        "discovery.max_ttl: 'a day'",
        "discovery.dnssec: 'on': is neither",
        "discovery.trust_anchor: /nowhere/root.key: cannot be read",
        "discovery.timeout: is not between 100ms and 20s",
        "discovery.allow_private_addresses: is neither true nor false",
        "token[1].color: there is no such key",
        "token[2].role: is missing",
        "token[2].sha256: is missing",
        "token: the name 'a' stands there twice",
        "token: 'a' and 'c' have the same sha256",
        "log.filter: is not a string",
        "api.require_match: is neither true nor false",
        "token: a token's sha256 has 64 hexadecimal digits",
        "log.format: 'xml'",
    ] {
        assert!(errors.contains(expected), "{expected}\n{errors}");
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    for (file, expected) in [
        (
            "[discovery]\nmin_ttl = \"2h\"\nmax_ttl = \"1h\"",
            "discovery.min_ttl: is above discovery.max_ttl",
        ),
        (
            "[listen]\nadmin = \"127.0.0.1:1\"\nverdicts = \"127.0.0.1:1\"",
            "listen.verdicts: is the same",
        ),
        ("[listen]\nxds = \"127.0.0.1:8601\"", "listen.xds: is the same"),
        ("[discovery]\ntimeout = \"1ms\"", "discovery.timeout: is not between"),
        ("[audit]\nmax_records = 0", "audit.max_records: is not 1 or more"),
        ("[audit]\nmax_records = -1", "audit.max_records: '-1'"),
        ("[audit]\nmax_records = \"many\"", "audit.max_records: is no whole number"),
        ("[audit]\nmax_age = \"0s\"", "audit.max_age: is no time"),
        ("[store]\nurl = \"sqlite://\"", "names no file"),
        ("[store]\nurl = \"fedgate.db\"", "is no URL"),
        ("[store", "config: is not TOML"),
    ] {
        let errors = read(Settings::default(), file).unwrap_err();
        assert!(errors.contains(expected), "{expected}\n{errors}");
    }
    let both = "[listen]\nadmin = \"127.0.0.1:0\"\nverdicts = \"127.0.0.1:0\"";
    assert!(read(Settings::default(), both).is_ok(), "port 0 is another port each time");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let settings = Settings { config: Some("/nowhere/fedgate.toml".into()), ..Settings::default() };
    let errors = Config::load(&settings).unwrap_err().to_string();
    assert!(errors.contains("cannot read /nowhere/fedgate.toml"), "{errors}");
}

#[test]
fn a_certificate_and_its_key_go_together_and_are_read_at_once() {
    for (file, error) in [
        ("admin_key = \"/k\"", "tls.admin_certificate: is missing, where tls.admin_key is set"),
        ("xds_certificate = \"/c\"", "tls.xds_key: is missing, where tls.xds_certificate is set"),
        (
            "verdicts_certificate = \"/no/tls.crt\"\nverdicts_key = \"/k\"",
            "tls.verdicts_certificate: cannot read /no/tls.crt: No such file or directory",
        ),
        ("xds = \"/c\"", "tls.xds: there is no such key"),
    ] {
        let said = read(Settings::default(), &format!("[tls]\n{file}")).unwrap_err();
        assert!(said.contains(error), "{said}");
    }
    let settings = Settings {
        tls_admin_certificate: Some("/flag".to_owned()),
        tls_admin_key: Some(" ".to_owned()),
        ..Settings::default()
    };
    let said = read(settings, "[tls]\nadmin_certificate = \"/file\"\nadmin_key = \"/k\"").unwrap_err();
    assert!(said.contains("cannot read /flag"), "{said}");
    assert!(read(Settings::default(), "").unwrap().tls.of(crate::listener::Listener::Admin).is_none());
}

#[test]
fn every_key_but_tokens_and_filter_is_named_where_it_takes_a_restart() {
    let of = |file: &str| read(Settings::default(), file).unwrap();
    let before = of("");
    assert!(before.needs_restart(&of("")).is_empty());
    let token = format!("[[token]]\nname = \"a\"\nrole = \"admin\"\nsha256 = \"{DIGEST}\"\n");
    let next = of(&format!("[log]\nfilter = \"debug\"\n{token}"));
    assert!(before.needs_restart(&next).is_empty());
    for (key, value) in [
        ("store.url", "\"sqlite://other.db\""),
        ("listen.admin", "\"127.0.0.1:1\""),
        ("listen.verdicts", "\"127.0.0.1:1\""),
        ("listen.xds", "\"127.0.0.1:1\""),
        ("discovery.servers", "[\"192.0.2.1\"]"),
        ("discovery.min_ttl", "\"6s\""),
        ("discovery.max_ttl", "\"2d\""),
        ("discovery.timeout", "\"2s\""),
        ("discovery.allow_private_addresses", "true"),
        ("discovery.dnssec", "\"require\""),
        ("egress.connect_timeout", "\"3s\""),
        ("egress.client_certificate_sds", "\"/c\""),
        ("egress.trust_sds", "\"/t\""),
        ("api.bootstrap_token_file", "\"/t\""),
        ("audit.max_age", "\"1d\""),
        ("audit.max_records", "7"),
        ("log.format", "\"json\""),
    ] {
        assert_eq!(before.needs_restart(&of(&format!("{key} = {value}"))), [key]);
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("anchors");
    let ds = ". DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n";
    std::fs::write(&file, ds).unwrap();
    let next = of(&format!("discovery.dnssec = \"require\"\ndiscovery.trust_anchor = {file:?}"));
    let before = of("discovery.dnssec = \"require\"");
    assert_eq!(before.needs_restart(&next), ["discovery.trust_anchor"]);
}

#[test]
fn brig_is_off_until_a_url_is_set_and_then_we_are_the_master() {
    assert_eq!(read(Settings::default(), "").unwrap().brig, None);
    let brig = |file: &str| read(Settings::default(), file).unwrap().brig.unwrap();
    let plain = brig("[brig]\nurl = \"http://brig:8080\"");
    assert_eq!(plain.to_string(), "push, http://brig:8080/");
    assert_eq!((plain.address.timeout.as_secs(), plain.overwrite), (5, false));
    let all = "[brig]\nurl = \"https://brig/x\"\nmode = \"follow\"\ntimeout = \"1s\"\noverwrite = true";
    assert_eq!(brig(all).to_string(), "follow, https://brig/x, overwriting others' rows");
    let flags = Settings { brig_url: Some("http://other".to_owned()), ..Settings::default() };
    assert_eq!(read(flags, all).unwrap().brig.unwrap().address.url.as_str(), "http://other/");
    // As `FEDGATE_BRIG_URL=` in a unit file.
    let empty = Settings { brig_url: Some(String::new()), ..Settings::default() };
    assert_eq!(read(empty, "").unwrap().brig, None);
}

#[test]
fn what_is_wrong_about_brig_is_told() {
    for (file, expected) in [
        ("url = \"brig:8080\"", "brig.url: is neither http:// nor https://"),
        ("url = \"brig\"", "brig.url: is no URL"),
        ("url = \"http://a:s3cret@brig\"", "brig.url: has a user's name"),
        ("url = \"http://brig/?x\"", "brig.url: has a query"),
        ("url = \"http://brig\"\nmode = \"both\"", "brig.mode: 'both': is neither `push` nor `follow`"),
        ("url = \"http://brig\"\ntimeout = \"2m\"", "brig.timeout: is not between 100ms and 60s"),
        ("url = \"http://brig\"\nca = \"/nowhere/ca.pem\"", "brig.ca: cannot use /nowhere/ca.pem"),
        ("url = \"http://brig\"\noverwrite = \"yes\"", "brig.overwrite: is neither true nor false"),
        ("mode = \"push\"", "brig.mode: is set, and brig.url is not"),
        ("colour = \"red\"", "brig.colour: there is no such key"),
    ] {
        let errors = read(Settings::default(), &format!("[brig]\n{file}")).unwrap_err();
        assert!(errors.contains(expected) && !errors.contains("s3cret"), "{file}: {errors}");
    }
}

#[test]
fn traces_are_off_until_they_have_a_collector() {
    assert_eq!(read(Settings::default(), "").unwrap().otlp_endpoint, None);
    let file = "[telemetry]\notlp_endpoint = \"http://collector:4318\"";
    let config = read(Settings::default(), file).unwrap();
    assert_eq!(config.otlp_endpoint.unwrap().as_str(), "http://collector:4318/");
    let other = Some("https://other/otlp".to_owned());
    let flags = Settings { telemetry_otlp_endpoint: other, ..Settings::default() };
    assert_eq!(read(flags, file).unwrap().otlp_endpoint.unwrap().as_str(), "https://other/otlp");
    for (value, expected) in [
        ("collector:4318", "is neither http:// nor https://; write e.g. http://collector:4318"),
        ("http://a:s3cret@collector", "has a user's name or password"),
    ] {
        let file = format!("telemetry.otlp_endpoint = \"{value}\"");
        let errors = read(Settings::default(), &file).unwrap_err();
        assert!(errors.contains(&format!("telemetry.otlp_endpoint: {expected}")), "{errors}");
        assert!(!errors.contains("s3cret"), "{errors}");
    }
}

#[test]
fn wires_list_api_is_off_until_it_has_an_address_of_its_own() {
    let config = read(Settings::default(), "").unwrap();
    assert_eq!((config.wire, config.wire_open), (None, false));
    let file = "[listen]\nwire = \"127.0.0.1:8603\"\n[wire_list]\nopen = true";
    let config = read(Settings::default(), file).unwrap();
    assert_eq!(config.wire.unwrap().to_string(), "127.0.0.1:8603");
    assert!(config.wire_open);
    let errors = read(Settings::default(), "[listen]\nwire = \"127.0.0.1:8600\"").unwrap_err();
    assert!(
        errors.contains(
            "listen.wire: is the same address as listen.admin or listen.verdicts or listen.xds"
        ),
        "{errors}"
    );
}

#[test]
fn a_configuration_is_told_key_by_key_and_of_tokens_the_names_alone() {
    let token = format!("[[token]]\nname = \"a\"\nrole = \"admin\"\nsha256 = \"{DIGEST}\"\n");
    let config = read(Settings::default(), &format!("discovery.timeout = \"2s\"\n{token}")).unwrap();
    let told = config.told();
    let value = |wanted: &str| told.iter().find(|(key, _)| *key == wanted).unwrap().1.as_deref();
    assert_eq!(value("discovery.timeout"), Some("2s"));
    assert_eq!(value("store.url"), Some("sqlite://fedgate.db"));
    assert_eq!(value("brig.url"), None);
    assert_eq!(value("token"), Some("a (admin)"));
    assert!(!format!("{told:?}").contains(DIGEST));
}
