//! The mails that were written: which have left, and putting back those that nobody tries any more.
//!
//! A mail is reached like the account that it is about, for nothing in it says which organization it concerns; its
//! address is told to who may read that account. Words, codes and links never come up here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::paging::{Listing, Page, Paging, Weighed};
use super::reachable::reachable_people;
use super::read::{Reader, again};
use super::user::find_user;
use super::write::{Change, Done};
use super::{App, Ctx, Name, Reason};
use crate::cache::Freshness;
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::{MessageId, PrincipalId, UserId};
use crate::domain::message::{Message, MessageState, Template};
use crate::store::{Connection, MessageFilter, ReadRows, Rows};

/// Which mails to list. Empty fields do not narrow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListMessages {
    pub state: Option<MessageState>,
    pub recipient: Option<Handle>,
    pub template: Option<Template>,
    pub page: Paging,
}

/// A mail as a caller may see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MessageView {
    /// Its address is empty, and its user absent, for who may not read the user.
    pub message: Message,
    pub user: Option<Name>,
}

/// How far a caller reaches a mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reached {
    NotAtAll,
    /// All but whose it is.
    WithoutAddress,
    Whole,
}

impl App {
    /// A page of the mails that the caller reaches, newest first.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID.
    pub async fn list_messages<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListMessages,
        print: impl Fn(MessageView) -> T + Sync,
    ) -> Result<Page<T>> {
        again(|| self.list_messages_once(ctx, cmd, &print)).await
    }

    async fn list_messages_once<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListMessages,
        print: &(impl Fn(MessageView) -> T + Sync),
    ) -> Result<Page<T>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let rows = self.store.rows(ctx.realm);
        let mut filter = MessageFilter {
            state: cmd.state,
            template: cmd.template,
            user: None,
            address: None,
            reach: reachable_people(&mut guard, &[permissions::MANAGE_MAIL]).await?,
            before: None,
        };
        match &cmd.recipient {
            Some(Handle::Id(id)) => filter.user = Some(UserId(*id)),
            Some(natural @ Handle::Natural(address)) => {
                filter.user = find_user(rows, natural).await?.map(|user| user.id);
                filter.address = Some(address.clone());
            }
            None => {}
        }
        self.page(ctx, &cmd.page, Messages { rows, guard: &mut guard, filter, reached: BTreeMap::new() }, print).await
    }

    /// Puts dead letters back, due at once: all of them or none.
    ///
    /// # Errors
    /// NOT_FOUND, ALREADY_DELIVERED.
    pub async fn retry_messages(&self, ctx: &Ctx, ids: &[MessageId]) -> Result<Done<Vec<MessageView>>> {
        let done = self
            .write(ctx, async |change: &mut Change<'_>| {
                let mut retried = vec![];
                for id in ids {
                    retried.push(change.retry(*id).await?);
                }
                views(change.rows(), retried).await
            })
            .await?;
        self.mail_waits.notify_one();
        Ok(done)
    }
}

/// Mails, the newest first.
struct Messages<'a, 'v> {
    rows: ReadRows<'a>,
    guard: &'a mut Reader<'v>,
    filter: MessageFilter,
    /// How far the caller reaches those that it sees.
    reached: BTreeMap<MessageId, Reached>,
}

impl Listing for Messages<'_, '_> {
    type At = MessageId;
    type Row = Message;
    type Item = MessageView;

    async fn read(&mut self, before: Option<&MessageId>, limit: u64) -> Result<Vec<Message>> {
        self.filter.before = before.copied();
        Ok(self.rows.list_messages(&self.filter, limit).await?)
    }

    fn at(message: &Message) -> MessageId {
        message.id
    }

    /// What one may not see of a mail, one can't find it by either.
    async fn is_seen(&mut self, message: &Message) -> Result<bool> {
        let by_address = self.filter.user.is_some() || self.filter.address.is_some();
        let reached = reached(self.guard, message.user).await?;
        self.reached.insert(message.id, reached);
        Ok(match reached {
            Reached::NotAtAll => false,
            Reached::WithoutAddress => !by_address,
            Reached::Whole => true,
        })
    }

    async fn view(&mut self, messages: Vec<Message>) -> Result<Vec<MessageView>> {
        let reached = std::mem::take(&mut self.reached);
        let with_reach = |message: Message| {
            let reached = reached.get(&message.id).copied().unwrap_or(Reached::WithoutAddress);
            (message, reached)
        };
        views(self.rows, messages.into_iter().map(with_reach).collect()).await
    }
}

impl Change<'_> {
    async fn retry(&mut self, id: MessageId) -> Result<(Message, Reached)> {
        let not_found = || Error::not_found("message");
        let message = self.rows().message(id).await?.ok_or_else(not_found)?;
        let reached = reached(&mut self.guard().await?, message.user).await?;
        if reached == Reached::NotAtAll {
            return Err(not_found());
        }
        match message.state {
            MessageState::Waiting => Ok((message, reached)),
            MessageState::Delivered => Err(Error::refused(Reason::AlreadyDelivered, "the mail has left")),
            MessageState::Dead => Ok((self.put_back(message).await?, reached)),
        }
    }

    async fn put_back(&mut self, message: Message) -> Result<Message> {
        let (user, template) = (message.user, message.template.clone());
        self.rows().put_back(message.id, self.ctx.now).await?;
        let organization = match user {
            Some(user) => self.organization_of_record(user).await?,
            None => None,
        };
        self.record(Event::MessageRetried { message: message.id, template, user, organization });
        let (state, next_attempt_at) = (MessageState::Waiting, Some(self.ctx.now));
        Ok(Message { state, attempts: 0, next_attempt_at, ..message })
    }
}

/// How far the actor reaches a mail of this user's account; `None` = of nobody's.
async fn reached<F: Facts>(guard: &mut Guard<'_, F>, user: Option<UserId>) -> Result<Reached>
where
    Error: From<F::Fault>,
{
    let realm_wide = guard.allows(permissions::MANAGE_MAIL, None, None).await?;
    let subject = match user {
        Some(user) => guard.facts.principal(user.into()).await?,
        None => None,
    };
    let Some(subject) = subject else {
        return Ok(if realm_wide { Reached::Whole } else { Reached::NotAtAll });
    };
    let reads = guard.reads_user(subject.principal()).await?;
    Ok(match (realm_wide, reads) {
        (true, false) => Reached::WithoutAddress,
        (true, true) => Reached::Whole,
        (false, true) if guard.allows_over_account(permissions::MANAGE_MAIL, subject.principal()).await? => {
            Reached::Whole
        }
        (false, _) => Reached::NotAtAll,
    })
}

/// The mails as the caller may see them.
async fn views<C: Connection>(rows: Rows<'_, C>, reached: Vec<(Message, Reached)>) -> Result<Vec<MessageView>> {
    let shown: Vec<_> = reached
        .into_iter()
        .map(|(message, reached)| match reached {
            Reached::Whole => message,
            Reached::WithoutAddress | Reached::NotAtAll => Message { to: String::new(), user: None, ..message },
        })
        .collect();
    let users = shown.iter().filter_map(|message| message.user.map(PrincipalId::from)).collect::<BTreeSet<_>>();
    let names = rows.names(&users.into_iter().collect::<Vec<_>>()).await?;
    let names: BTreeMap<_, _> = names.into_iter().map(|(id, person, handle)| (id, Name { person, handle })).collect();
    let view = |message: Message| {
        let user = message.user.and_then(|user| names.get(&PrincipalId::from(user)).cloned());
        MessageView { message, user }
    };
    Ok(shown.into_iter().map(view).collect())
}
