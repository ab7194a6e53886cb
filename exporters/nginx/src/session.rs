//! What the address of the status page answers with: the text of stub_status, the JSON of the traffic status module (VTS), or
//! the list of versions of the API of NGINX Plus. The answer itself tells which; nothing has to be configured.

use sage_common::error::{CollectError, ErrorKind};
use sage_common::page::{self, PageSession};
use serde_json::Value;

use crate::options::Nginx;
use crate::stub::Stub;

/// The newest version of the API that we know; a server with a newer one has this one as well.
const NEWEST_API: u64 = 9;

/// One scrape.
pub struct Session {
    /// The connection.
    pub http: PageSession<Nginx>,
    /// What the server has to say.
    pub page: Result<Page, CollectError>,
}

/// The kinds of status pages.
#[derive(Debug)]
pub enum Page {
    /// Text of the module that every package has.
    Stub(Stub),
    /// The whole JSON of VTS.
    Traffic(Box<Value>),
    /// The path of the API in the version to ask, without a slash at the end.
    Plus(String),
}

impl Session {
    /// Reads the first answer.
    pub fn new(http: PageSession<Nginx>) -> Self {
        let at = http.at();
        let page = page::text::<Nginx>(http.first(), &at).and_then(|text| read(&text, http.path(), &at));
        Self { http, page }
    }

    /// The page.
    ///
    /// # Errors
    /// Why there is none.
    pub fn page(&self) -> Result<&Page, CollectError> {
        self.page.as_ref().map_err(CollectError::again)
    }

    /// A part of the API; `None` where the server has not got it.
    ///
    /// # Errors
    /// It cannot be had or read.
    pub async fn part(&self, api: &str, path: &str) -> Result<Option<Value>, CollectError> {
        let whole = format!("{api}/{path}");
        let answer = self.http.get(&whole).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let text = page::text::<Nginx>(&answer, &whole)?;
        let wrong = |e: serde_json::Error| CollectError::new(ErrorKind::Decode, format!("GET {whole}: the answer is no JSON")).caused_by(e);
        serde_json::from_str(&text).map(Some).map_err(wrong)
    }
}

fn read(text: &str, path: &str, at: &str) -> Result<Page, CollectError> {
    let start = text.trim_start();
    if !start.starts_with(['{', '[']) {
        return Stub::parse(text).map(Page::Stub).ok_or_else(|| page::no_status_page::<Nginx>(text, at));
    }
    // JSON of any depth: the parser has a limit of its own.
    let json: Value = serde_json::from_str(start).map_err(|e| page::no_status_page::<Nginx>(text, at).caused_by(e))?;
    if let Some(versions) = json.as_array() {
        let known = versions.iter().filter_map(Value::as_u64).filter(|version| *version <= NEWEST_API).max();
        let api = known.map(|version| Page::Plus(format!("{}/{version}", path.trim_end_matches('/'))));
        return api.ok_or_else(|| page::no_status_page::<Nginx>(text, at));
    }
    if json.get("connections").is_some() && json.get("serverZones").is_some() {
        return Ok(Page::Traffic(Box::new(json)));
    }
    Err(page::no_status_page::<Nginx>(text, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_tells_the_kind() {
        let stub = "Active connections: 1 \nserver accepts handled requests\n 1 1 1 \nReading: 0 Writing: 1 Waiting: 0 \n";
        assert!(matches!(read(stub, "/s", "x").unwrap(), Page::Stub(_)));
        assert!(matches!(read("[1,2,9,10]", "/api/", "x").unwrap(), Page::Plus(api) if api == "/api/9"));
        assert!(matches!(read("[4]", "/api", "x").unwrap(), Page::Plus(api) if api == "/api/4"));
        assert!(matches!(read("{\"connections\":{},\"serverZones\":{}}", "/", "x").unwrap(), Page::Traffic(_)));
        for text in ["{}", "[]", "[10]", "{\"connections\":1}", "{nonsense", "<html>", ""] {
            let error = read(text, "/s", "http://h/s").unwrap_err();
            assert_eq!(error.kind, ErrorKind::Decode, "{text}");
            assert!(error.hint.unwrap().contains("stub_status"), "{text}");
        }
        assert_eq!(read(&"[".repeat(100_000), "/", "x").unwrap_err().kind, ErrorKind::Decode);
    }
}
