//! How messages get on the wire: prost, with small buffers.
//!
//! tonic sets 8 KiB aside twice for each call, before it has seen the message; most messages here are a tenth of that.
//! A buffer grows where a message is larger. The build script names this codec to the generated code.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// Bytes set aside for a message. Up to 1032, glibc hands memory out without a look at its heap.
const BUFFER_BYTES: usize = 512;
/// A buffer of so many bytes is passed on before more is put into it: tonic's own limit.
const YIELD_BYTES: usize = 32 << 10;

/// Encodes `T`, decodes `U`.
#[derive(Clone, Copy, Debug)]
pub struct SmallProst<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallProst<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallProst<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }
}
