"""The network in its training step: precision, compilation, and a batch that several processes share.

Each process computes the features of its rows. Batch normalisation uses the statistics of the whole batch, and
DistributedDataParallel averages the gradients, so that the step is that of one process up to rounding.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from deepgllim.nn.config import ScheduleConfig
from deepgllim.nn.distributed import Processes
from deepgllim.nn.model import DeepRegression


class Network(nn.Module):
    """The layers before the head, as one module with one input.

    Args:
        model: the model whose layers these are.
        depth: number of backbone stages whose output the inputs are; None for pixels.
        schedule: precision and compilation.
    """

    def __init__(self, model: DeepRegression, depth: int | None, schedule: ScheduleConfig) -> None:
        super().__init__()
        self.backbone, self.projection, self.normalisation = model.backbone, model.projection, model.normalisation
        self.depth, self.reduced = depth, schedule.precision == "bf16"
        self.project = torch.compile(model.project) if schedule.compile else model.project

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features x, (N, D)."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.reduced):
            projected = self.project(inputs, self.depth)
        normalised: Tensor = self.normalisation(projected.float() if self.reduced else projected)
        return normalised


def distribute(network: nn.Module, processes: Processes) -> nn.Module:
    """Return a network whose backward pass averages the gradients; buffers are the same in all processes already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # newer versions of torch rename the option
        return DistributedDataParallel(
            network, process_group=processes.group, broadcast_buffers=False, gradient_as_bucket_view=True
        )


class NetworkStep:
    """The network step of one process.

    Args:
        model: the model that is trained.
        depth: number of backbone stages whose output the inputs are; None for pixels.
        schedule: precision and compilation.
        processes: the processes of the training.
    """

    def __init__(
        self, model: DeepRegression, depth: int | None, schedule: ScheduleConfig, processes: Processes
    ) -> None:
        self.model, self.processes, self.key = model, processes, (depth, model.backbone.depth)
        network: nn.Module = Network(model, depth, schedule)
        if processes.size > 1 and any(p.requires_grad for p in network.parameters()):
            network = distribute(network, processes)
        self.network = network

    def features(self, inputs: Tensor) -> Tensor:
        """Return the features of this process's rows, (n, D), on the CPU, where the head is."""
        features: Tensor = self.network(inputs.to(self.processes.device, non_blocking=True))
        return features.cpu()

    def weighted(self, loss: Tensor, rows: int, total: int) -> Tensor:
        """Return the mean loss of this process's rows, weighted so that its mean over processes is that of the batch.

        Args:
            loss: mean loss over the rows of this process.
            rows: number of rows of this process.
            total: number of rows in the batch.
        """
        size = self.processes.size
        return loss if size == 1 else loss * (size * rows / total)

    def average_head_gradients(self) -> None:
        """Replace the gradients of the head, which is no part of the distributed network, by their means."""
        gradients = [p.grad for p in self.model.head.parameters() if p.grad is not None]
        if self.processes.size == 1 or not gradients:
            return
        mean = self.processes.sum(torch.cat([each.flatten() for each in gradients])) / self.processes.size
        for gradient, part in zip(gradients, torch.split(mean, [each.numel() for each in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    @contextmanager
    def shared_statistics(self) -> Iterator[None]:
        """Let the batch normalisations use the mean and variance of the whole batch within the context."""
        used = [each for each in self.model.modules() if isinstance(each, _BatchNorm) and each.training]
        if self.processes.size == 1:
            used = []
        for norm in used:
            norm.forward = partial(shared_norm, norm, self.processes.group)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for norm in used:
                del norm.forward


class _SharedNorm(torch.autograd.Function):
    """Normalisation by the statistics over the batches of all processes, with one sum over them in each direction.

    With x̂ = (x − m) / √(v + ε) and z = w x̂ + c, the gradient with respect to x is
    w / √(v + ε) · (∂L/∂z − mean(∂L/∂z) − x̂ mean(x̂ ∂L/∂z)), where L is the sum of the losses of all processes and the
    means are over the batches of all.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        group: dist.ProcessGroup | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the normalised values, the mean, the variance and the number of values of a channel."""
        axes, shape = _channels(values)
        variance, mean = (each.double() for each in torch.var_mean(_single(values), axes, correction=0))
        count = values.numel() // values.shape[1]
        sums = torch.cat([count * mean, count * (variance + mean.square()), mean.new_tensor([count])])
        dist.all_reduce(sums, group=group)
        n = sums[-1]
        mean, second = (sums[:-1] / n).chunk(2)
        variance = (second - mean.square()).clamp_min(0.0)
        inverse = torch.rsqrt(variance + eps)
        scale = inverse if weight is None else inverse * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        ctx.save_for_backward(values, mean, inverse, scale, n)
        ctx.group, ctx.affine = group, weight is not None
        ctx.mark_non_differentiable(mean, variance, n)
        return _affine(values, scale, shift, shape).to(values.dtype), mean, variance, n

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None, None]:
        """Return the gradients with respect to values, weight and bias."""
        gradient, (values, mean, inverse, scale, n) = gradients[0], ctx.saved_tensors
        axes, shape = _channels(values)
        total = _single(gradient).sum(axes).double()
        product = (_single(gradient) * values).sum(axes).double()
        product = (product - mean * total) * inverse  # with the normalised values
        sums = torch.cat([total, product])
        dist.all_reduce(sums, group=ctx.group)
        mean_total, mean_product = (sums / n).chunk(2)
        slope = -scale * inverse * mean_product
        answer = _affine(values, slope, -scale * mean_total - slope * mean, shape)
        answer.addcmul_(_single(gradient), scale.to(answer.dtype).view(shape))
        own = (product, total) if ctx.affine else (None, None)
        return answer.to(values.dtype), *own, None, None


def _channels(values: Tensor) -> tuple[list[int], list[int]]:
    """Return the axes other than that of the channels, and the shape in which channels are broadcast."""
    return [axis for axis in range(values.ndim) if axis != 1], [1, -1] + [1] * (values.ndim - 2)


def _single(values: Tensor) -> Tensor:
    """Return values in single precision, if they have less."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _affine(values: Tensor, scale: Tensor, shift: Tensor, shape: list[int]) -> Tensor:
    """Return scale · values + shift, for each channel, at least in single precision."""
    values = _single(values)
    scale, shift = (each.to(values.dtype).view(shape) for each in (scale, shift))
    return torch.addcmul(shift, values, scale)


def shared_norm(norm: _BatchNorm, group: dist.ProcessGroup | None, values: Tensor) -> Tensor:
    """Return values normalised by the mean and variance over the batches of all processes.

    The running statistics of the layer are updated as torch does. torch's own SyncBatchNorm needs CUDA.

    Args:
        norm: a layer in training mode.
        group: the processes.
        values: of this process, (n, D, …).
    """
    found = _SharedNorm.apply(values, norm.weight, norm.bias, norm.eps, group)  # type: ignore[no-untyped-call]
    normalised, mean, variance, n = cast("tuple[Tensor, Tensor, Tensor, Tensor]", found)
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        _track(norm, mean, variance * n / (n - 1))
    return normalised


@torch.no_grad()
def _track(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics towards those of a batch."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
    momentum = 1.0 / float(norm.num_batches_tracked or 1) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), momentum)


def place(model: DeepRegression, processes: Processes, precision: str = "float32") -> None:
    """Move the layers before the head to the device of the processes; the head stays on the CPU.

    Convolutions in half precision on CUDA use the memory format channels-last, which is faster there.
    """
    device = processes.device
    for part in (model.backbone, model.projection, model.normalisation):
        part.to(device)
    if device.type == "cuda" and precision == "bf16":
        model.backbone.channels_last = True
        model.backbone.stages.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
