//! Wire's own list API, on its listener.

use std::net::TcpStream;

use fedgate_tests::brig::row;
use fedgate_tests::control_plane::{ADMIN_TOKEN, FILTER_TOKEN, VIEWER_TOKEN};
use fedgate_tests::process::eventually;
use serde_json::json;

use super::{Site, WIRE_PORT};
use crate::ask::call;

#[test]
fn scripts_that_know_brigs_api_find_it_where_it_is_turned_on_and_brig_hears_of_what_they_write() {
    let mut site = Site::start("", |_| {});
    let ip = site.address.ip();
    assert!(TcpStream::connect((ip, WIRE_PORT)).is_err(), "it is off by default");
    site.control_plane.configure("[listen]\n", &format!("[listen]\nwire = \"{ip}:{WIRE_PORT}\"\n"));
    site.control_plane.terminate();
    site.control_plane.restart();

    let remotes = format!("http://{ip}:{WIRE_PORT}/i/federation/remotes");
    let mut a = row("full_search", None);
    a["domain"] = json!("a.com");
    for (token, read, write) in
        [("", 401, 401), (FILTER_TOKEN, 403, 403), (VIEWER_TOKEN, 200, 403), (ADMIN_TOKEN, 200, 200)]
    {
        assert_eq!(call(&remotes, token, "GET", None).0, read);
        assert_eq!(call(&remotes, token, "POST", Some(&a)).0, write);
    }
    let expected = json!({"remotes": [a], "strategy": "allowDynamic", "update_interval": 10});
    assert_eq!(call(&remotes, VIEWER_TOKEN, "GET", None), (200, expected));
    assert!(!site.is_denied("a.com"));
    eventually("brig has it", || (site.row("a.com")? == row("full_search", None)).then_some(()));
    let (status, error) = call(&format!("{remotes}/b.com"), ADMIN_TOKEN, "PUT", Some(&a));
    assert_eq!((status, &error["label"]), (533, &json!("federation-unexpected-wai-error")));
    assert_eq!(call(&format!("{remotes}/a.com"), ADMIN_TOKEN, "DELETE", None), (200, json!([])));
    assert!(site.is_denied("a.com"));
    let (_, openapi) = call(&format!("http://{ip}:{WIRE_PORT}/openapi.json"), "", "GET", None);
    assert!(openapi["paths"]["/i/federation/remotes/{domain}/teams/{team_id}"].is_object());

    let open = "[wire_list]\nopen = true\n[brig]\n";
    site.control_plane.configure("[brig]\n", open);
    site.control_plane.terminate();
    site.control_plane.restart();
    assert_eq!(call(&remotes, "", "POST", Some(&a)), (200, json!([])));
    let (_, entry) = site.call("GET", "domains/a.com", None);
    assert_eq!(entry["created_by"], "wire-api");
}
