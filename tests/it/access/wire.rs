//! Any RPC by its path, with a message that is encoded already.

use std::net::SocketAddr;

use bytes::{Buf as _, BufMut as _};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// What a call carries beside its message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Carried {
    /// Each a value of `authorization`.
    pub(crate) credentials: Vec<String>,
    /// Id or name; absent = none is named.
    pub(crate) realm: Option<String>,
}

/// A connection to a server.
#[derive(Clone, Debug)]
pub(crate) struct Wire(Channel);

impl Wire {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self(Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy())
    }

    /// Calls the RPC of a path. Answers the encoded response; of a stream, the first.
    pub(crate) async fn call(&self, carried: &Carried, path: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        let mut request = Request::new(message);
        for credential in &carried.credentials {
            request.metadata_mut().append("authorization", credential.parse().unwrap());
        }
        if let Some(realm) = &carried.realm {
            request.metadata_mut().insert("countersign-realm", realm.parse().unwrap());
        }
        let mut client = Grpc::new(self.0.clone());
        client.ready().await.unwrap();
        let mut answers = client.server_streaming(request, path.parse().unwrap(), Encoded).await?.into_inner();
        Ok(answers.message().await?.unwrap())
    }
}

/// Messages as they are on the wire.
#[derive(Clone, Copy, Debug)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; from.remaining()];
        from.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}
