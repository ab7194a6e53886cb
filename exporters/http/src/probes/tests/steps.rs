//! Transactions of several steps: log in by a form with a token, look behind it, log out; and what goes wrong on the way.

use std::time::Duration;

use crate::testing::{LONG, Server, TempFile, Then, answer, probe};

/// A shop: the form has a token, the right password with it gives a cookie, the cookie opens the account.
async fn shop() -> Server {
    Server::http(|request| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let let_in = head.to_ascii_lowercase().contains("cookie: session=s1");
        match head.split(' ').take(2).collect::<Vec<_>>().join(" ").as_str() {
            "GET /login" => answer("200 OK", "", r#"<input name="csrf" value="t&0k">"#),
            "POST /login" if body == "csrf=t%260k&password=canary%2Bp&user=probe" => {
                answer("302 Found", "Location: /account\r\nSet-Cookie: session=s1; Path=/; HttpOnly\r\n", "")
            }
            "POST /login" => answer("403 Forbidden", "", "no"),
            "GET /account" if let_in => answer("200 OK", "", r#"{"user": {"name": "probe"}, "cart": [{"id": 7}]}"#),
            "POST /cart/7" if let_in && body == r#"{"count":2,"note":"for probe"}"# => answer("200 OK", "X-Total: 12\r\n", "added"),
            "GET /logout" => answer("204 No Content", "Set-Cookie: session=; Path=/; Max-Age=0\r\n", ""),
            "GET /slow" => (Vec::new(), Then::Hang),
            _ => answer("401 Unauthorized", "", "who are you?"),
        }
    })
    .await
}

fn module(password: &TempFile, middle: &str) -> String {
    format!(
        r#"
prober: http
allowed_targets: [127.0.0.0/8]
http:
  preferred_ip_protocol: ip4
  secrets: {{password: {}}}
  steps:
    - name: form
      url: /login
      capture: {{token: {{regexp: 'name="csrf" value="([^"]+)"'}}}}
    - name: login
      url: /login
      form: {{user: probe, password: '${{password}}', csrf: '${{token}}'}}
      capture: {{item: {{json: 'cart[0].id'}}, name: {{json: $.user.name}}}}
      expect: {{json: [{{path: user.name, regexp: '^probe$'}}]}}
    {middle}
    - name: logout
      url: /logout
      always: true
      expect: {{status: [204]}}
"#,
        password.shown()
    )
}

const CART: &str = r#"- name: cart
      url: /cart/${item}
      json: {note: 'for ${name}', count: 2}
      headers: {X-Probe: '${name}'}
      capture: {total: {header: x-total}}
      expect: {regexp: [added], not_regexp: [error]}"#;

#[tokio::test]
async fn all_steps_are_made_and_timed() {
    let (server, password) = (shop().await, TempFile::new("canary+p\n"));
    let page = probe(&module(&password, CART), &server.url("/"), LONG).await;
    assert!(page.outcome.success, "{}", page.error());
    for step in ["form", "login", "cart", "logout"] {
        assert_eq!(page.value(&format!("probe_step_success{{step=\"{step}\"}}")), Some(1.0), "{step}: {}", page.text);
        assert!(page.value(&format!("probe_step_duration_seconds{{step=\"{step}\"}}")).unwrap() > 0.0, "{step}");
    }
    assert_eq!((page.value("probe_http_redirects"), page.value("probe_http_status_code")), (Some(1.0), Some(204.0)));
    assert_eq!(server.requests().len(), 5);
    assert!(server.requests()[3].to_ascii_lowercase().contains("x-probe: probe\r\n"), "{:?}", server.requests());
    assert!(!page.text.contains("canary") && !page.text.contains("t&0k"));
}

#[tokio::test]
async fn the_step_that_failed_is_named_and_the_log_out_runs() {
    let server = shop().await;
    let wrong = TempFile::new("canary-wrong");
    let page = probe(&module(&wrong, CART), &server.url("/"), LONG).await;
    assert_eq!((page.why(), page.error().as_str()), ("http_status", "step login: the status is 403, wanted is 200 to 299"));
    for (series, want) in [
        ("probe_step_success{step=\"form\"}", Some(1.0)),
        ("probe_step_success{step=\"login\"}", Some(0.0)),
        ("probe_step_error_info{step=\"login\",reason=\"http_status\"}", Some(1.0)),
        ("probe_step_success{step=\"cart\"}", None),
        ("probe_step_success{step=\"logout\"}", Some(1.0)),
    ] {
        assert_eq!(page.value(series), want, "{series}: {}", page.text);
    }
    assert!(server.requests().pop().unwrap().starts_with("GET /logout "), "{:?}", server.requests());
    assert!(!page.text.contains("canary") && !page.error().contains("canary"));
}

#[tokio::test]
async fn time_is_kept_for_the_log_out() {
    let (server, password) = (shop().await, TempFile::new("canary+p"));
    let page = probe(&module(&password, "- {name: slow, url: /slow}"), &server.url("/"), Duration::from_secs(2)).await;
    assert_eq!((page.why(), page.reason()), ("first_byte_timeout", "timeout"), "{}", page.error());
    assert_eq!(page.value("probe_step_success{step=\"logout\"}"), Some(1.0), "{}", page.text);
}

#[tokio::test]
async fn what_is_missing_or_leads_away_is_a_failure() {
    let (server, password) = (shop().await, TempFile::new("canary+p"));
    for (middle, why) in [
        ("- {name: x, url: /account, capture: {a: {json: nothing.there}}}", "capture"),
        ("- {name: x, url: /account, expect: {json: [{path: user.name, regexp: '^other$'}]}}", "content"),
        ("- {name: x, url: /account, expect: {not_regexp: [probe]}}", "content"),
        ("- {name: x, url: 'http://127.0.0.9:1/${name}'}", "redirect_forbidden"),
        ("- {name: x, url: /account, headers: {X-A: \"${token}\"}, expect: {status: [500]}}", "http_status"),
    ] {
        let page = probe(&module(&password, middle), &server.url("/"), LONG).await;
        assert_eq!(page.why(), why, "{middle}: {}", page.error());
        assert_eq!(page.value(&format!("probe_step_error_info{{step=\"x\",reason=\"{why}\"}}")), Some(1.0), "{}", page.text);
    }
    let page = probe(&module(&TempFile::new(""), CART), &server.url("/"), LONG).await;
    assert_eq!(page.why(), "auth", "{}", page.error());
}
