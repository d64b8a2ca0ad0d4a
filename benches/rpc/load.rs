//! The client: a closed loop over a few connections, the same for every call that is measured.
//!
//! A request is encoded anew for each call but built once, so that what is compared is servers and not how fast a client
//! fills its strings. Any answer but OK ends the benchmark.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstDecoder;

/// Which RPC, asked as whom.
#[derive(Clone)]
pub(crate) struct Rpc {
    path: PathAndQuery,
    bearer: Option<AsciiMetadataValue>,
}

impl Rpc {
    pub(crate) fn new(path: &'static str, key: Option<&str>) -> Self {
        let bearer = key.map(|key| format!("Bearer {key}").parse().unwrap());
        Self { path: PathAndQuery::from_static(path), bearer }
    }
}

/// The connections of a client, and how many calls each has under way.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) calls: usize,
}

/// A client that is connected.
pub(crate) struct Client {
    channels: Vec<Channel>,
    shape: Shape,
}

/// What a loop saw.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) took: Duration,
    /// Nanoseconds of each call, in ascending order.
    pub(crate) latencies: Vec<u32>,
}

impl Seen {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// Microseconds that so many of a hundred calls did not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(at).map_or(f64::NAN, |nanos| f64::from(*nanos) / 1e3)
    }
}

impl Client {
    pub(crate) async fn connect(address: &str, shape: Shape) -> Self {
        let mut channels = Vec::new();
        for _ in 0..shape.connections {
            channels.push(Channel::from_shared(address.to_owned()).unwrap().connect().await.unwrap());
        }
        Self { channels, shape }
    }

    /// Calls once.
    pub(crate) async fn once<M, R>(&self, rpc: &Rpc, message: M) -> Result<R, Status>
    where
        M: Message + 'static,
        R: Message + Default + 'static,
    {
        call(&mut Grpc::new(self.channels[0].clone()), rpc, Arc::new(message)).await
    }

    /// Calls over and over until the time is over, going round the messages.
    pub(crate) async fn cycle<M, R>(&self, rpc: &Rpc, messages: &Arc<[Arc<M>]>, time: Duration) -> Seen
    where
        M: Message + 'static,
        R: Message + Default + 'static,
    {
        let until = Instant::now() + time;
        self.run::<M, R>(rpc, messages, move |_| Instant::now() < until).await
    }

    /// Calls once for each message.
    pub(crate) async fn each<M, R>(&self, rpc: &Rpc, messages: &Arc<[Arc<M>]>) -> Seen
    where
        M: Message + 'static,
        R: Message + Default + 'static,
    {
        let count = messages.len();
        self.run::<M, R>(rpc, messages, move |number| number < count).await
    }

    /// Each of the loops takes every `connections × calls`-th message, for as long as `more` says of its number.
    async fn run<M, R>(
        &self,
        rpc: &Rpc,
        messages: &Arc<[Arc<M>]>,
        more: impl Fn(usize) -> bool + Clone + Send + 'static,
    ) -> Seen
    where
        M: Message + 'static,
        R: Message + Default + 'static,
    {
        let began = Instant::now();
        let loops = self.shape.connections * self.shape.calls;
        let mut running = tokio::task::JoinSet::new();
        for number in 0..loops {
            let mut grpc = Grpc::new(self.channels[number % self.channels.len()].clone());
            let (rpc, messages, more) = (rpc.clone(), Arc::clone(messages), more.clone());
            running.spawn(async move {
                let mut latencies = Vec::with_capacity(1 << 16);
                let mut at = number;
                while more(at) {
                    let asked = Instant::now();
                    let message = Arc::clone(&messages[at % messages.len()]);
                    call::<M, R>(&mut grpc, &rpc, message).await.unwrap();
                    latencies.push(u32::try_from(asked.elapsed().as_nanos()).unwrap_or(u32::MAX));
                    at += loops;
                }
                latencies
            });
        }
        let mut latencies = running.join_all().await.concat();
        let took = began.elapsed();
        latencies.sort_unstable();
        Seen { took, latencies }
    }
}

async fn call<M, R>(grpc: &mut Grpc<Channel>, rpc: &Rpc, message: Arc<M>) -> Result<R, Status>
where
    M: Message + 'static,
    R: Message + Default + 'static,
{
    grpc.ready().await.map_err(|error| panic!("{error}")).unwrap();
    let mut request = Request::new(message);
    if let Some(bearer) = &rpc.bearer {
        request.metadata_mut().insert("authorization", bearer.clone());
    }
    Ok(grpc.unary(request, rpc.path.clone(), Prebuilt(PhantomData)).await?.into_inner())
}

/// As tonic's codec for prost, of messages that several calls share.
struct Prebuilt<M, R>(PhantomData<(M, R)>);

impl<M: Message + 'static, R: Message + Default + 'static> Codec for Prebuilt<M, R> {
    type Encode = Arc<M>;
    type Decode = R;
    type Encoder = Self;
    type Decoder = ProstDecoder<R>;

    fn encoder(&mut self) -> Self::Encoder {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::default()
    }
}

impl<M: Message, R> Encoder for Prebuilt<M, R> {
    type Item = Arc<M>;
    type Error = Status;

    fn encode(&mut self, message: Arc<M>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(into).unwrap();
        Ok(())
    }
}
