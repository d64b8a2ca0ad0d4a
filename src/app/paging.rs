//! Lists in pages. [`App::page`] answers every list: it reads rows in their order, leaves out those that the caller may
//! not see, and goes on behind the last row that it examined, so that no page size loses a row.
//!
//! A page ends when it is full by count or by bytes, or when so many rows were examined that the caller should ask again.
//! A page can therefore be short, or empty, and be followed by another; only an empty token is the end.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use super::{App, Ctx, Reason, Violation};
use crate::crypto::page_token;

/// The most rows that are read at once: what a page does not have room for is in memory no longer than a batch is.
const BATCH_MAX: u64 = 100;
/// The most bytes of items on a page of more than one: half of what gRPC clients accept by default (4 MiB).
const PAGE_BYTES_MAX: usize = 2 << 20;
/// A repeated field's tag and length, at most, for items of less than 2 MiB.
const ITEM_FRAME_BYTES: usize = 5;

/// A page of a list.
#[derive(Clone, PartialEq, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Empty at the end.
    pub next: String,
}

/// How much of a list to answer at once, and from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paging {
    /// At least 1.
    pub size: u64,
    pub token: String,
    /// What the token is bound to: everything in the request but the page's own fields.
    pub query: Vec<u8>,
}

/// What a page holds, once it is in the form that is sent.
pub trait Weighed {
    /// Its size in that form, in bytes.
    fn bytes(&self) -> usize;
}

/// A list: rows in a stable order, of which the caller may see some.
pub(super) trait Listing: Send {
    /// Where a row is in the order. A row keeps its place for as long as it is there.
    type At: Serialize + DeserializeOwned + Send + Sync;
    type Row: Send + Sync;
    /// A row as the caller may see it.
    type Item: Send;

    /// The most rows that are examined for one page; the caller asks for the next one to go on.
    const EXAMINED_MAX: u64 = 1_000;

    /// The next `limit` rows behind a place, in order; fewer only where the list ends.
    fn read(&mut self, after: Option<&Self::At>, limit: u64) -> impl Future<Output = Result<Vec<Self::Row>>> + Send;

    fn at(row: &Self::Row) -> Self::At;

    /// Has what is asked of each of these rows loaded at once.
    fn prepare(&mut self, _rows: &[Self::Row]) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Whether the caller may see the row. A list whose query says so already sees each.
    fn is_seen(&mut self, _row: &Self::Row) -> impl Future<Output = Result<bool>> + Send {
        std::future::ready(Ok(true))
    }

    /// These rows as the caller may see them, each in its place.
    fn view(&mut self, rows: Vec<Self::Row>) -> impl Future<Output = Result<Vec<Self::Item>>> + Send;
}

impl App {
    /// A page of a list, each item as `print` has it.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; those of the list.
    pub(super) async fn page<L: Listing, T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        paging: &Paging,
        mut list: L,
        print: &(impl Fn(L::Item) -> T + Sync),
    ) -> Result<Page<T>> {
        let from = self.cursor(ctx, paging)?;
        let Filled { items, more, last } = fill(&mut list, from, paging.size, print).await?;
        let next = match last.filter(|_| more) {
            Some(last) => self.next_token(ctx, paging, &last)?,
            None => String::new(),
        };
        Ok(Page { items, next })
    }

    /// A page of a list that is never at its end, but at `end` for now: there is always a token.
    ///
    /// # Errors
    /// As [`App::page`].
    pub(super) async fn page_until<L: Listing, T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        paging: &Paging,
        mut list: L,
        end: L::At,
        print: &(impl Fn(L::Item) -> T + Sync),
    ) -> Result<Page<T>> {
        let from = self.cursor(ctx, paging)?;
        let Filled { items, more, last } = fill(&mut list, from, paging.size, print).await?;
        let next = self.next_token(ctx, paging, &last.filter(|_| more).unwrap_or(end))?;
        Ok(Page { items, next })
    }

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

    /// The token of the next page.
    fn next_token<T: Serialize>(&self, ctx: &Ctx, page: &Paging, cursor: &T) -> Result<String> {
        let binding =
            page_token::Binding { realm: ctx.realm, caller: ctx.actor_id()?, rpc: ctx.rpc, query: &page.query };
        binding.seal(&self.keys, cursor).map_err(Error::internal)
    }
}

/// The refusal of a page token.
pub(super) fn token_invalid(why: &str) -> Error {
    let reason = Some(Reason::PageTokenInvalid);
    Error::Invalid(vec![Violation { reason, ..Violation::new("page_token", why) }])
}

/// A page, and where it ended.
struct Filled<A, T> {
    items: Vec<T>,
    /// Whether there is anything behind `last`.
    more: bool,
    /// The last row that was examined and is on the page, if it is to be seen.
    last: Option<A>,
}

async fn fill<L: Listing, T: Weighed>(
    list: &mut L,
    from: Option<L::At>,
    size: u64,
    print: &impl Fn(L::Item) -> T,
) -> Result<Filled<L::At, T>> {
    let (mut items, mut bytes, mut examined, mut last) = (vec![], 0, 0, from);
    loop {
        let room = size - items.len() as u64;
        // The more rows were left out so far, the more are read at once.
        let batch = room.max(examined).min(BATCH_MAX);
        let mut rows = list.read(last.as_ref(), batch + 1).await?;
        let more = rows.len() as u64 > batch;
        rows.truncate(usize::try_from(batch).unwrap_or(usize::MAX));
        examined += batch;
        list.prepare(&rows).await?;
        let (mut places, mut seen) = (vec![], vec![]);
        for row in rows {
            let is_seen = list.is_seen(&row).await?;
            places.push((L::at(&row), is_seen));
            seen.extend(is_seen.then_some(row));
        }
        let mut views = list.view(seen).await?.into_iter();
        for (place, is_seen) in places {
            if is_seen {
                let view = views.next().ok_or_else(|| Error::internal("a list lost a row that it was to show"))?;
                let item = print(view);
                bytes += item.bytes() + ITEM_FRAME_BYTES;
                let full = items.len() as u64 == size || (bytes > PAGE_BYTES_MAX && !items.is_empty());
                if full {
                    return Ok(Filled { items, more: true, last });
                }
                items.push(item);
            }
            last = Some(place);
        }
        if !more || items.len() as u64 == size || examined >= L::EXAMINED_MAX {
            return Ok(Filled { items, more, last });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What stands in the list of the tests: a place, whether the caller sees it, and how large it is.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Line {
        at: u32,
        seen: bool,
        bytes: usize,
    }

    impl Weighed for Line {
        fn bytes(&self) -> usize {
            self.bytes
        }
    }

    struct Lines<'a>(&'a BTreeMap<u32, Line>);

    impl Listing for Lines<'_> {
        type At = u32;
        type Row = Line;
        type Item = Line;

        async fn read(&mut self, after: Option<&u32>, limit: u64) -> Result<Vec<Line>> {
            let from = after.map_or(0, |after| after + 1);
            Ok(self.0.range(from..).take(usize::try_from(limit).unwrap()).map(|(_, line)| *line).collect())
        }

        fn at(row: &Line) -> u32 {
            row.at
        }

        async fn is_seen(&mut self, row: &Line) -> Result<bool> {
            Ok(row.seen)
        }

        async fn view(&mut self, rows: Vec<Line>) -> Result<Vec<Line>> {
            Ok(rows)
        }
    }

    /// Every page of the list; `between` happens after each.
    fn pages(
        lines: &mut BTreeMap<u32, Line>,
        size: u64,
        mut between: impl FnMut(&mut BTreeMap<u32, Line>),
    ) -> Vec<Vec<Line>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut pages, mut from) = (vec![], None);
        loop {
            let filled = runtime.block_on(fill(&mut Lines(lines), from, size, &|line| line)).unwrap();
            pages.push(filled.items);
            if !filled.more {
                return pages;
            }
            from = filled.last;
            between(lines);
        }
    }

    fn lines() -> impl Strategy<Value = BTreeMap<u32, Line>> {
        let line = (0..1_000_u32, any::<bool>(), prop_oneof![9 => Just(10), 1 => Just(PAGE_BYTES_MAX / 3)]);
        proptest::collection::vec(line, 0..150)
            .prop_map(|all| all.into_iter().map(|(at, seen, bytes)| (at, Line { at, seen, bytes })).collect())
    }

    proptest! {
        #[test]
        fn a_list_keeps_every_readable_row_whatever_the_page_size(mut lines in lines(), size in 1..=60_u64) {
            let readable: Vec<_> = lines.values().filter(|line| line.seen).copied().collect();
            let pages = pages(&mut lines, size, |_| {});
            prop_assert!(pages.iter().all(|page| page.len() as u64 <= size));
            prop_assert_eq!(pages.concat(), readable);
        }

        #[test]
        fn a_page_is_cut_by_bytes(mut lines in lines(), size in 1..=60_u64) {
            for page in pages(&mut lines, size, |_| {}) {
                let bytes: usize = page.iter().map(Line::bytes).sum();
                prop_assert!(page.len() == 1 || bytes <= PAGE_BYTES_MAX);
            }
        }

        #[test]
        fn what_stands_throughout_is_listed_once_while_rows_come_and_go(
            mut lines in lines(),
            size in 1..=60_u64,
            changes in proptest::collection::vec((0..1_000_u32, any::<bool>()), 0..300),
        ) {
            let before = lines.clone();
            let mut changes = changes.chunks(3);
            let mut touched = std::collections::BTreeSet::new();
            let listed = pages(&mut lines, size, |lines| for (at, comes) in changes.next().unwrap_or_default() {
                touched.insert(*at);
                match comes {
                    true => lines.insert(*at, Line { at: *at, seen: true, bytes: 10 }),
                    false => lines.remove(at),
                };
            })
            .concat();
            prop_assert!(listed.windows(2).all(|two| two[0].at < two[1].at), "each once, in order");
            let stood: Vec<_> = before.values().filter(|line| line.seen && !touched.contains(&line.at)).collect();
            prop_assert!(stood.iter().all(|line| listed.contains(line)));
        }
    }

    #[test]
    fn who_may_see_next_to_nothing_is_answered_a_short_page_and_goes_on() {
        let line = |at| Line { at, seen: at == 4_999, bytes: 10 };
        let mut lines: BTreeMap<u32, Line> = (0..5_000).map(|at| (at, line(at))).collect();
        let pages = pages(&mut lines, 50, |_| {});
        assert!((5..=10).contains(&pages.len()), "{} pages", pages.len());
        assert_eq!(pages.concat(), [line(4_999)]);
    }
}
