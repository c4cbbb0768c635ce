"""The optimizer of the network step and its learning rate."""

import math

import torch

from deepgllim.nn.config import ScheduleConfig
from deepgllim.nn.model import DeepRegression


def learning_rate(schedule: ScheduleConfig, step: int, total: int, epoch: int) -> float:
    """Return the learning rate of a network step.

    It depends on the position of the step alone, so that a resumed training needs no scheduler state.

    Args:
        schedule: the peak learning rate and how it changes.
        step: index of the step among all steps of the training.
        total: number of steps of the training.
        epoch: index of the epoch among all epochs of the training.

    Example:
        >>> learning_rate(ScheduleConfig(learning_rate_schedule="halving", learning_rate=8.0, halve_every=2), 0, 1, 5)
        2.0
    """
    peak = schedule.learning_rate
    if schedule.learning_rate_schedule == "constant":
        return peak
    if schedule.learning_rate_schedule == "halving":
        return peak * 0.5 ** (epoch // schedule.halve_every)
    rising = schedule.warm_up * total
    if step < rising:
        return peak * (step + 1) / (rising + 1)
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - rising) / max(1.0, total - rising)))


def make_optimizer(model: DeepRegression, schedule: ScheduleConfig) -> torch.optim.Optimizer:
    """Return the optimizer of a schedule over all weights; frozen weights have no gradient and do not change.

    Weights on the CPU become contiguous: torch's fused AdamW ignores the strides there, also those of a loaded state.
    """
    weights = list(model.parameters())
    if schedule.optimizer == "adamw":
        fused = all(weight.device.type == "cpu" for weight in weights)  # a fifth of the time of the default there
        if fused:
            for weight in weights:
                weight.data = weight.data.contiguous()
        return torch.optim.AdamW(
            weights, schedule.learning_rate, weight_decay=schedule.weight_decay, fused=fused or None
        )
    return torch.optim.SGD(
        weights,
        schedule.learning_rate,
        momentum=schedule.momentum,
        nesterov=schedule.momentum > 0,
        weight_decay=schedule.weight_decay,
    )
