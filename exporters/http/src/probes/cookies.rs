//! The cookies of one probe: kept from step to step, given back to the host that set them and to no other.

use std::time::SystemTime;

use hyper::header::{HeaderMap, HeaderValue, SET_COOKIE};
use url::Url;

/// Most cookies that are kept, and the longest.
const MOST: usize = 64;
const LONGEST: usize = 4096;

#[derive(Clone)]
struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
    secure: bool,
}

/// The cookies. A Domain attribute is not honoured: a cookie is its host's own.
#[derive(Clone, Default)]
pub struct Jar(Vec<Cookie>);

impl std::fmt::Debug for Jar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{} cookies>", self.0.len())
    }
}

impl Jar {
    /// Keeps what an answer of `url` sets, and drops what it takes back.
    pub fn keep(&mut self, url: &Url, headers: &HeaderMap) {
        let Some(host) = url.host_str() else { return };
        for text in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let Some((cookie, over)) = read(text, host, url.path()) else { continue };
            self.0.retain(|kept| (&kept.host, &kept.path, &kept.name) != (&cookie.host, &cookie.path, &cookie.name));
            if !over && self.0.len() < MOST {
                self.0.push(cookie);
            }
        }
    }

    /// What `url` is sent.
    pub fn header(&self, url: &Url) -> Option<HeaderValue> {
        let fits = |cookie: &&Cookie| {
            let below = url.path().strip_prefix(cookie.path.as_str());
            let below = below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || cookie.path.ends_with('/'));
            url.host_str() == Some(&cookie.host) && below && (!cookie.secure || url.scheme() == "https")
        };
        let pairs: Vec<_> = self.0.iter().filter(fits).map(|c| format!("{}={}", c.name, c.value)).collect();
        let mut value = HeaderValue::from_str(&pairs.join("; ")).ok().filter(|_| !pairs.is_empty())?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// A cookie, and whether it is over already.
fn read(text: &str, host: &str, path: &str) -> Option<(Cookie, bool)> {
    let mut parts = text.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    let folder = path.rsplit_once('/').map_or("/", |(folder, _)| if folder.is_empty() { "/" } else { folder });
    let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
    let mut cookie = Cookie { host: host.to_owned(), path: folder.to_owned(), name, value, secure: false };
    let (mut age, mut expires) = (None, None);
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match key.trim().to_ascii_lowercase().as_str() {
            "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
            "secure" => cookie.secure = true,
            "max-age" => age = value.trim().parse::<i64>().ok(),
            "expires" => expires = httpdate::parse_http_date(value.trim()).ok(),
            _ => {}
        }
    }
    let over = age.map_or_else(|| expires.is_some_and(|end| end <= SystemTime::now()), |seconds| seconds <= 0);
    (!cookie.name.is_empty() && text.len() <= LONGEST).then_some((cookie, over))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn set(jar: &mut Jar, from: &str, cookies: &[&str]) {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(SET_COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        jar.keep(&url(from), &headers);
    }

    fn sent(jar: &Jar, to: &str) -> String {
        jar.header(&url(to)).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn cookies_go_to_their_host_and_path_until_they_are_over() {
        let mut jar = Jar::default();
        set(&mut jar, "https://a.example/shop/login", &["id=1; Path=/; HttpOnly", "part=2", "safe=3; Path=/; Secure", "noname"]);
        assert_eq!(sent(&jar, "https://a.example/shop/cart"), "id=1; part=2; safe=3");
        assert_eq!(sent(&jar, "http://a.example/shopping"), "id=1");
        assert_eq!(sent(&jar, "https://b.example/shop/cart"), "");
        set(&mut jar, "https://a.example/", &["id=9; Path=/", "safe=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]);
        assert_eq!(sent(&jar, "https://a.example/x"), "id=9");
        set(&mut jar, "https://a.example/", &["id=; Path=/; Max-Age=0"]);
        assert_eq!(sent(&jar, "https://a.example/x"), "");
    }

    #[test]
    fn a_jar_is_bounded() {
        let mut jar = Jar::default();
        for i in 0..100 {
            set(&mut jar, "http://a.example/", &[&format!("n{i}=v")]);
        }
        set(&mut jar, "http://a.example/", &[&format!("n0={}", "x".repeat(5000))]);
        assert_eq!(jar.0.len(), MOST);
        assert!(sent(&jar, "http://a.example/").starts_with("n0=v; n1=v"));
    }
}
