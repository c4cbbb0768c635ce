"""The network in its training step: precision, compilation, and a batch that several processes share.

Each process computes the features of its rows. Batch normalisation uses the statistics of the whole batch, and
DistributedDataParallel averages the gradients, so that the step is that of one process up to rounding.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

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
        return DistributedDataParallel(network, process_group=processes.group, broadcast_buffers=False)


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


class _Sum(torch.autograd.Function):
    """The sum over processes, whose gradient is the sum of the processes' gradients."""

    @staticmethod
    def forward(ctx: "torch.autograd.function.FunctionCtx", values: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group  # type: ignore[attr-defined]
        total = values.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: "torch.autograd.function.FunctionCtx", *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone()
        dist.all_reduce(total, group=ctx.group)  # type: ignore[attr-defined]
        return total, None


def shared_norm(norm: _BatchNorm, group: dist.ProcessGroup | None, values: Tensor) -> Tensor:
    """Return values normalised by the mean and variance over the batches of all processes.

    The running statistics of the layer are updated as torch does. torch's own SyncBatchNorm needs CUDA.

    Args:
        norm: a layer in training mode.
        group: the processes.
        values: of this process, (n, D, …).
    """
    axes = [axis for axis in range(values.ndim) if axis != 1]
    shape = [1, -1] + [1] * (values.ndim - 2)
    count = values.new_tensor([values.numel() / values.shape[1]], dtype=torch.float64)
    sums = _add(torch.cat([values.sum(axes, dtype=torch.float64), count]), group)
    mean, n = sums[:-1] / sums[-1], sums[-1]
    centred = values - mean.to(values.dtype).view(shape)
    variance = _add(centred.square().sum(axes, dtype=torch.float64), group) / n
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        _track(norm, mean.detach(), (variance * n / (n - 1)).detach())
    scaled: Tensor = centred * torch.rsqrt(variance + norm.eps).to(values.dtype).view(shape)
    return scaled if not norm.affine else scaled * norm.weight.view(shape) + norm.bias.view(shape)


def _add(values: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    total: Tensor = _Sum.apply(values, group)  # type: ignore[no-untyped-call]
    return total


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
