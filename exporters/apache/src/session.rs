//! One scrape: the connection, and the status page that its first answer holds.

use sage_common::error::CollectError;
use sage_common::page::{self, PageSession};

use crate::options::Apache;
use crate::status::Page;

/// One scrape.
pub struct Session {
    /// The connection.
    pub http: PageSession<Apache>,
    page: Result<Page, CollectError>,
}

impl Session {
    /// Reads the first answer.
    pub fn new(http: PageSession<Apache>) -> Self {
        let at = http.at();
        let text = page::text::<Apache>(http.first(), &at);
        let page = text.and_then(|text| Page::parse(&text).ok_or_else(|| page::no_status_page::<Apache>(&text, &at)));
        Self { http, page }
    }

    /// The page.
    ///
    /// # Errors
    /// Why there is none.
    pub fn page(&self) -> Result<&Page, CollectError> {
        self.page.as_ref().map_err(CollectError::again)
    }
}
