//! A tensor's values on their way to the host: asked for at once, waited for later, so that a GPU has
//! other work to do meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::{fmt, future};

use burn::backend::flex::FlexTensor;
#[cfg(feature = "fusion")]
use burn::backend::fusion::{Fusion, FusionBackend};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, autodiff, backend_extension};
#[cfg(not(target_arch = "wasm32"))]
use burn::cubecl::future::block_on;
use burn::cubecl::server::CopyDescriptor;
use burn::tensor::{DType, Tensor};

use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::shader::slices;

/// Float32 values that were asked for. They are what the tensor held then, whatever the device is given
/// to do before they are waited for.
pub struct Reading(Option<Values>);

type Values = Pin<Box<dyn Future<Output = Result<Vec<f32>>> + Send>>;

impl Reading {
    /// Asks for a tensor's values.
    pub fn begin<const D: usize>(tensor: Tensor<D>) -> Self {
        #[cfg(not(target_arch = "wasm32"))]
        slices::finish(&tensor.device());
        Dispatch::begin_reading(tensor.into_dispatch())
    }

    /// What a future brings that asks when it is polled first: now.
    fn new(values: impl Future<Output = Result<Vec<f32>>> + Send + 'static) -> Self {
        let mut values: Values = Box::pin(values);
        let polled = values
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        Self(Some(match polled {
            Poll::Ready(values) => Box::pin(future::ready(values)),
            Poll::Pending => values,
        }))
    }
}

impl Future for Reading {
    type Output = Result<Vec<f32>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let values = self.0.as_mut().expect("it is not polled after its end");
        let polled = values.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Drop for Reading {
    /// The runtime lends a buffer for each reading and has no use for one that ends before the values are
    /// in it: the next reading that gets this buffer would fail.
    fn drop(&mut self) {
        let Some(values) = self.0.take() else {
            return;
        };
        #[cfg(not(target_arch = "wasm32"))]
        if !std::thread::panicking() {
            let _ = block_on(values);
            return;
        }
        // Nobody can wait in a browser, nor while a panic is on its way: the buffer is lost instead.
        std::mem::forget(values);
    }
}

/// What a backend does to bring values to the host.
#[backend_extension(Cube, Flex, Autodiff)]
pub trait ReadingBackend: Backend {
    /// Asks for the values of a float32 tensor.
    fn begin_reading(tensor: FloatTensor<Self>) -> Reading;
}

impl ReadingBackend for CubeBackend {
    /// burn's own reading asks when the values are looked at, and waits there.
    fn begin_reading(tensor: CubeTensor) -> Reading {
        assert_eq!(tensor.dtype, DType::F32, "only float32 tensors are read");
        let tensor = into_contiguous(tensor);
        let whole = CopyDescriptor::new(
            tensor.handle.clone().binding(),
            tensor.meta.shape().clone(),
            tensor.meta.strides().clone(),
            size_of::<f32>(),
        );
        Reading::new(async move {
            let bytes = tensor.client.read_one_tensor_async(whole).await;
            let bytes = bytes.map_err(|error| fault(&error))?;
            Ok(bytemuck::pod_collect_to_vec(&bytes))
        })
    }
}

impl ReadingBackend for Flex {
    fn begin_reading(tensor: FlexTensor) -> Reading {
        Reading::new(async {
            let data = Self::float_into_data(tensor).await;
            let values = data.map_err(|error| fault(&error))?.try_to_vec();
            values.map_err(|error| fault(&error))
        })
    }
}

#[cfg(feature = "fusion")]
impl<B: FusionBackend + ReadingBackend> ReadingBackend for Fusion<B> {
    fn begin_reading(tensor: FloatTensor<Self>) -> Reading {
        let client = tensor.client.clone();
        B::begin_reading(client.resolve_tensor_float::<B>(tensor))
    }
}

impl<B: ReadingBackend, C: autodiff::checkpoint::strategy::CheckpointStrategy> ReadingBackend
    for Autodiff<B, C>
{
    fn begin_reading(tensor: FloatTensor<Self>) -> Reading {
        B::begin_reading(tensor.into_primitive())
    }
}

fn fault(error: &dyn fmt::Display) -> Error {
    let error = error.to_string();
    // The runtime adds where in itself it noticed, or that it does not know.
    let reason = error.split("\nBacktrace:").next().unwrap_or_default();
    Error::Device {
        message: format!("the device failed while results were read: {reason}"),
    }
}
