//! Lists in pages: how much, from where, and a token that goes on for this caller and this query alone.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use super::{App, Ctx, Reason, Violation};
use crate::crypto::page_token;

/// A page of a list.
#[derive(Clone, PartialEq, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Empty at the end.
    pub next: String,
}

/// What to list, and how much of it at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paging {
    pub size: u64,
    pub token: String,
    /// What the token is bound to: everything in the request but the page's own fields.
    pub query: Vec<u8>,
}

impl App {
    /// Where a list goes on.
    pub(super) fn cursor<T: DeserializeOwned>(&self, ctx: &Ctx, page: &Paging) -> Result<Option<T>> {
        if page.token.is_empty() {
            return Ok(None);
        }
        let binding =
            page_token::Binding { realm: ctx.realm, caller: ctx.actor_id()?, rpc: ctx.rpc, query: &page.query };
        let cursor = binding.open(&self.keys, &page.token);
        cursor.map(Some).map_err(|_| token_invalid("was not made for this caller and this query"))
    }

    /// What was found, one more than the page holds, as the page and the token of the next one.
    pub(super) fn cut<T, C: Serialize>(
        &self,
        ctx: &Ctx,
        page: &Paging,
        mut found: Vec<T>,
        cursor: impl Fn(&T) -> C,
    ) -> Result<(Vec<T>, String)> {
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        let more = found.len() > size;
        found.truncate(size);
        match found.last().filter(|_| more) {
            Some(last) => {
                let next = self.next_token(ctx, page, &cursor(last))?;
                Ok((found, next))
            }
            None => Ok((found, String::new())),
        }
    }

    /// The token of the next page.
    pub(super) fn next_token<T: Serialize>(&self, ctx: &Ctx, page: &Paging, cursor: &T) -> Result<String> {
        let binding =
            page_token::Binding { realm: ctx.realm, caller: ctx.actor_id()?, rpc: ctx.rpc, query: &page.query };
        binding.seal(&self.keys, cursor).map_err(Error::internal)
    }
}

/// The refusal of a page token.
pub(super) fn token_invalid(why: &str) -> Error {
    let reason = Some(Reason::PageTokenInvalid);
    Error::Invalid(vec![Violation { field: "page_token".to_owned(), description: why.to_owned(), reason }])
}
