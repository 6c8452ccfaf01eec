//! Whose pages may connect (G24, T17).

use futures_lite::future::block_on;
use unsync_websocket::{HandshakeError, NoTimer, Server};

use crate::wire::{Reply, UPGRADE, Wire};

/// Whether a page of `origin` may connect to `host` under the policy that `policy` sets.
fn connects(host: &str, origin: Option<&str>, policy: impl FnOnce(Server<Wire>) -> Server<Wire>) -> bool {
    let origin_line = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
    let lines = UPGRADE.replace("Host: example.com", &format!("Host: {host}"));
    let (wire, seen) = Wire::of(format!("GET / HTTP/1.1\r\n{lines}{origin_line}\r\n").as_bytes());
    let accepted = block_on(policy(Server::with_timer(wire, NoTimer)).accept());
    let seen = seen.lock().unwrap();
    match accepted {
        Ok(_) => {
            assert!(seen.written.starts_with(b"HTTP/1.1 101 "));
            true
        }
        Err(error) => {
            assert!(
                matches!(&error, HandshakeError::ForeignOrigin { origin: told } if told.as_deref() == origin)
            );
            assert_eq!(error.status(), Some(403));
            assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::PermissionDenied);
            let reply = Reply::parse(&seen.written);
            assert_eq!(reply.status, 403);
            reply.assert_last();
            assert!(seen.closed);
            false
        }
    }
}

#[test]
fn pages_of_the_same_host_connect_and_others_do_not() {
    let table = [
        // The same host.
        ("example.com", "http://example.com", true),
        ("example.com", "https://example.com", true),
        ("EXAMPLE.com", "https://example.COM", true),
        ("example.com", "HTTPS://EXAMPLE.COM", true),
        ("example.com:8080", "http://example.com:8080", true),
        ("example.com:8443", "https://example.com:8443", true),
        ("localhost:8080", "http://localhost:8080", true),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
        ("[::1]:8080", "http://[::1]:8080", true),
        ("[2001:DB8::1]", "https://[2001:db8::1]", true),
        ("[0:0:0:0:0:0:0:1]", "http://[::1]", true),
        ("my_box", "http://my_box", true),
        // Default ports.
        ("example.com", "http://example.com:80", true),
        ("example.com:80", "http://example.com", true),
        ("example.com:80", "http://example.com:80", true),
        ("example.com", "https://example.com:443", true),
        ("example.com:443", "https://example.com", true),
        ("example.com:", "https://example.com", true),
        ("example.com:0443", "https://example.com", true),
        // Another port.
        ("example.com", "http://example.com:8080", false),
        ("example.com:8080", "http://example.com", false),
        ("example.com:8080", "http://example.com:8081", false),
        ("example.com:443", "http://example.com", false),
        ("example.com:80", "https://example.com", false),
        ("example.com", "http://example.com:443", false),
        ("example.com", "https://example.com:80", false),
        ("[::1]", "http://[::1]:8080", false),
        // Another host.
        ("example.com", "http://example.org", false),
        ("example.com", "http://www.example.com", false),
        ("www.example.com", "http://example.com", false),
        ("example.com", "http://example.com.evil.org", false),
        ("example.com", "http://evilexample.com", false),
        ("example.com", "http://evil-example.com", false),
        ("example.com", "http://example.co", false),
        ("example.com", "http://example.com.", false),
        ("example.com", "http://example-com", false),
        ("example.com", "http://evil.org:80", false),
        ("localhost", "http://127.0.0.1", false),
        ("127.0.0.1", "http://[::1]", false),
        ("[::1]", "http://[::2]", false),
        ("127.0.0.1", "http://127.0.0.10", false),
        // What looks like the host and is not.
        ("example.com", "http://example.com@evil.org", false),
        ("example.com", "http://evil.org/example.com", false),
        ("example.com", "http://evil.org?example.com", false),
        ("example.com", "http://evil.org#example.com", false),
        ("example.com", "http://evil.org\\example.com", false),
        ("example.com", "http://evil.org,http://example.com", false),
        ("example.com", "http://example.com http://evil.org", false),
        ("example.com", "http://evil.org http://example.com", false),
        ("example.com", "http://example.com/", false),
        ("example.com", "http://user:pass@example.com", false),
        ("example.com", "http://example%2ecom", false),
        // What is no origin of a page.
        ("example.com", "null", false),
        ("null", "null", false),
        ("example.com", "NULL", false),
        ("example.com", "", false),
        ("example.com", "example.com", false),
        ("example.com", "//example.com", false),
        ("example.com", "http:example.com", false),
        ("example.com", "http:/example.com", false),
        ("example.com", "http://", false),
        ("example.com", "://example.com", false),
        ("example.com", "http://:80", false),
        ("example.com", "http://example.com:", true),
        ("example.com", "http://example.com:port", false),
        ("example.com", "http://example.com:65616", false),
        ("example.com", "http://example.com:80:80", false),
        ("example.com", "file://", false),
        ("example.com", "file://example.com", false),
        ("example.com", "ftp://example.com", false),
        ("example.com", "ws://example.com", false),
        ("example.com", "chrome-extension://example.com", false),
        ("example.com", "javascript://example.com", false),
        ("example.com", "*", false),
    ];
    assert!(table.len() >= 60);
    for (host, origin, expected) in table {
        assert_eq!(connects(host, Some(origin), Server::same_origin), expected, "{origin} to {host}");
    }
}

#[test]
fn a_list_lets_in_who_is_on_it() {
    let list =
        ["https://app.example.com", "http://localhost:3000", "chrome-extension://abcdef", "https://b:443"];
    for (origin, expected) in [
        ("https://app.example.com", true),
        ("https://APP.example.com:443", true),
        ("https://b", true),
        ("http://localhost:3000", true),
        ("chrome-extension://abcdef", true),
        ("http://app.example.com", false),
        ("https://app.example.com:444", false),
        ("http://localhost", false),
        ("https://localhost:3000", false),
        ("https://example.com", false),
        ("https://app.example.com.evil.org", false),
        ("https://app.example.com/", false),
        ("chrome-extension://abcdeg", false),
        ("null", false),
        ("", false),
    ] {
        let allowed = connects("example.com", Some(origin), |server| server.allow_origins(list));
        assert_eq!(allowed, expected, "{origin}");
    }
}

#[test]
fn null_is_let_in_by_name_only() {
    assert!(connects("a", Some("null"), |server| server.allow_origins(["null"])));
    assert!(!connects("a", Some("NULL"), |server| server.allow_origins(["null"])));
    assert!(!connects("a", Some("http://null"), |server| server.allow_origins(["null"])));
    assert!(connects("a", Some("null"), |server| server), "the bare handshake takes any");
}

#[test]
fn a_missing_origin_is_no_page_and_let_in_unless_one_is_required() {
    assert!(connects("a", None, |server| server));
    assert!(connects("a", None, Server::same_origin));
    assert!(connects("a", None, |server| server.allow_origins(["http://b"])));
    assert!(!connects("a", None, Server::require_origin));
    assert!(!connects("a", None, |server| server.same_origin().require_origin()));
    assert!(connects("a", Some("http://a"), |server| server.same_origin().require_origin()));
    assert!(connects("a", Some("http://b"), Server::require_origin), "any, but one");
}

#[test]
fn either_policy_suffices_and_an_empty_list_lets_nobody_in() {
    let both = |server: Server<Wire>| server.allow_origins(["http://b"]).same_origin();
    assert!(connects("a", Some("http://a"), both));
    assert!(connects("a", Some("http://b"), both));
    assert!(!connects("a", Some("http://c"), both));
    assert!(!connects("a", Some("http://a"), |server| server.allow_origins([""; 0])));
    assert!(connects("a", Some("http://c"), |server| server
        .allow_origins(["http://b"])
        .allow_origins(["http://c"])));
}

#[test]
fn an_entry_that_is_no_origin_is_a_fault_of_ours() {
    for entry in [
        "example.com",
        "https://a/",
        "https://a/path",
        "*",
        "https://*.a",
        "",
        "https://",
        "Null",
        "7z://a",
        "x_y://a",
    ] {
        let (wire, seen) = Wire::of(&crate::wire::upgrade("/", ""));
        let server = Server::with_timer(wire, NoTimer).allow_origins(["https://good", entry, "bad"]);

        let error = block_on(server.accept()).map(drop).unwrap_err();

        assert!(
            matches!(&error, HandshakeError::InvalidAllowedOrigin { origin } if origin == entry),
            "{entry}"
        );
        assert_eq!(Reply::parse(&seen.lock().unwrap().written).status, 500);
    }
}

#[test]
fn a_request_tells_whether_it_is_of_a_page_of_its_host() {
    for (origin, expected) in [("http://a", true), ("http://b", false)] {
        let (wire, _) = Wire::of(&crate::wire::upgrade("http://a/", &format!("Origin: {origin}\r\n")));
        let request = block_on(Server::with_timer(wire, NoTimer).receive_request()).unwrap();
        assert_eq!(request.is_same_origin(), expected, "{origin}");
    }
}

#[test]
fn plain_requests_are_not_judged() {
    let (wire, _) = Wire::of(b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n");
    let request = block_on(Server::with_timer(wire, NoTimer).same_origin().receive_request()).unwrap();
    assert!(!request.is_same_origin());
}

#[test]
fn the_host_of_an_absolute_target_is_the_one_that_counts() {
    let head = format!("GET http://a.example/ HTTP/1.1\r\n{UPGRADE}Origin: http://a.example\r\n\r\n");
    let (wire, _) = Wire::of(head.as_bytes());
    assert!(block_on(Server::with_timer(wire, NoTimer).same_origin().accept()).is_ok());

    let head = format!("GET http://a.example/ HTTP/1.1\r\n{UPGRADE}Origin: http://example.com\r\n\r\n");
    let (wire, _) = Wire::of(head.as_bytes());
    assert!(block_on(Server::with_timer(wire, NoTimer).same_origin().accept()).is_err());
}

#[test]
fn an_error_shows_an_origin_without_its_control_characters() {
    let error = HandshakeError::ForeignOrigin { origin: Some("http://a\r\n\u{1b}[31m".to_owned()) };
    assert_eq!(error.to_string(), "the origin \"http://a\\r\\n\\u{1b}[31m\" is not allowed");
}
