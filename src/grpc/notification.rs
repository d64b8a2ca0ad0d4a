//! `NotificationService`.

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, instant, principal};
use super::pb::{self, notification_service_server::NotificationService};
use crate::app::{Error, ListMessages, MessageView};
use crate::domain::handle::Named;
use crate::domain::ids::MessageId;
use crate::domain::message::{Message, MessageState, Template};

/// The most mails that one call puts back.
const RETRIED_MAX: usize = 100;

#[tonic::async_trait]
impl NotificationService for Api {
    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(list(request))?;
        let page = called.answer(self.app.list_messages(&called.ctx, &query, message).await)?;
        Ok(Response::new(pb::ListMessagesResponse { messages: page.items, next_page_token: page.next }))
    }

    async fn retry_message(
        &self,
        request: Request<pb::RetryMessageRequest>,
    ) -> Result<Response<pb::RetryMessageResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::RetryMessageRequest { message: first, request_id: _, messages: further } = request;
        fields.count("messages", further.len(), 0..=RETRIED_MAX);
        let mut ids: Vec<MessageId> = vec![];
        if further.is_empty() || !first.is_empty() {
            ids.push(fields.id("message", &first).into());
        }
        for (at, id) in further.iter().enumerate() {
            ids.push(fields.id(&format!("messages[{at}]"), id).into());
        }
        let ids = called.parsed(fields.finish(ids))?;
        let done = called.answer(self.app.retry_messages(&called.ctx, &ids).await)?;
        let messages: Vec<_> = done.value.into_iter().map(message).collect();
        Ok(Response::new(pb::RetryMessageResponse { message: messages.first().cloned(), messages }))
    }
}

fn list(request: pb::ListMessagesRequest) -> Result<ListMessages, Error> {
    let mut fields = Fields::default();
    let query = pb::ListMessagesRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListMessagesRequest { state, recipient, template, page_size, page_token } = request;
    let query = ListMessages {
        state: state_filter(&mut fields, state),
        recipient: fields.optional_handle(Named::User, "recipient", &recipient),
        template: template_filter(&mut fields, &template),
        page: fields.page(page_size, page_token, &query),
    };
    fields.finish(query)
}

fn state_filter(fields: &mut Fields, state: i32) -> Option<MessageState> {
    match pb::MessageState::try_from(state) {
        Ok(pb::MessageState::Unspecified) => None,
        Ok(pb::MessageState::Waiting) => Some(MessageState::Waiting),
        Ok(pb::MessageState::Delivered) => Some(MessageState::Delivered),
        Ok(pb::MessageState::Dead) => Some(MessageState::Dead),
        Err(_) => {
            fields.wrong("state", format!("is {state}, which is no state"));
            None
        }
    }
}

fn template_filter(fields: &mut Fields, name: &str) -> Option<Template> {
    let template = Template::parse(name);
    if template.is_none() && !name.is_empty() {
        let known = Template::ALL.iter().map(|template| template.name()).collect::<Vec<_>>().join(", ");
        fields.wrong("template", format!("is {name:?}, allowed are {known}"));
    }
    template
}

/// A mail on the wire.
fn message(MessageView { message, user: name }: MessageView) -> pb::Message {
    let Message { id, template, to, user, state, created_at, attempts, next_attempt_at, delivered_at, last_error } =
        message;
    let state = match state {
        MessageState::Waiting => pb::MessageState::Waiting,
        MessageState::Delivered => pb::MessageState::Delivered,
        MessageState::Dead => pb::MessageState::Dead,
    };
    pb::Message {
        id: id.to_string(),
        template,
        state: state.into(),
        recipient: to,
        user: user.map(|id| principal(id.into(), name.as_ref())),
        create_time: Some(instant(created_at)),
        attempts,
        next_attempt_time: next_attempt_at.map(instant),
        delivery_time: delivered_at.map(instant),
        last_error: last_error.unwrap_or_default(),
    }
}
