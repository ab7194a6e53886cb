//! Many small questions about keys in one round trip.

use sage_common::error::CollectError;

use crate::resp::Value;
use crate::session::Redis;

/// Keys asked for at once. Each question takes the server microseconds, and between two bundles it serves others.
pub const BUNDLE: usize = 50;

/// A command as ACLs name it, and its words.
pub type Question<'a> = (&'static str, Vec<&'a [u8]>);

/// Asks them all. `None` where the key is not the server's (another node's of a cluster) or has another type by now.
///
/// # Errors
/// The first refusal: `Permission` with what to grant, else as the server says.
pub async fn each(session: &Redis, questions: &[Question<'_>]) -> Result<Vec<Option<Value>>, CollectError> {
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let words: Vec<Vec<&[u8]>> = questions.iter().map(|(_, words)| words.clone()).collect();
    let replies = session.exchange("look at keys", &words).await?;
    let mut answers = Vec::with_capacity(replies.len());
    for ((command, _), reply) in questions.iter().zip(replies) {
        answers.push(match reply {
            Ok(value) => Some(value),
            // The key or the group is gone; XINFO has no code of its own for that.
            Err(error) if error.code == "ERR" && command.starts_with("xinfo|") => None,
            Err(error) if matches!(error.code.as_str(), "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "WRONGTYPE") => None,
            Err(error) => return Err(session.refused(command, error)),
        });
    }
    Ok(answers)
}
