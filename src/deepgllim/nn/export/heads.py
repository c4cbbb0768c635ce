"""Heads as nodes of an ONNX graph, in float64: products with constants, without decompositions at run time."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from deepgllim.gllim import Parameters, centre, invert
from deepgllim.nn.export.graph import Graph
from deepgllim.nn.head import Head, InverseRegressionHead, LeastSquaresHead, MixtureDensityHead


class HeadOutputs(NamedTuple):
    """Names of the outputs of a head, in float64; `log_density` is None if the head does not provide it."""

    log_weights: str
    means: str
    covariances: str
    log_density: str | None


def write_head(graph: Graph, head: Head, features: str) -> HeadOutputs:
    """Append the nodes of a head for features (N, D), float64, and return its outputs."""
    return WRITERS[type(head)](graph, head, features)


def _inverse_regression(graph: Graph, head: InverseRegressionHead, features: str) -> HeadOutputs:
    """Append y | x, k ~ N(A*_k x + b*_k, Σ*_k), and log p(x, k) by the Woodbury identity.

    δ_k(x) = ‖F e‖² − ‖e F'F A C‖² with e = x − A c − b, Σ⁻¹ = F'F and Σ* = C C'.
    """
    about = centre(head.mixture)
    p = about.parameters
    K, D, L = p.n_components, p.n_features, p.n_targets
    forward = invert(about)
    covariances = forward.covariances  # (K, L, L)
    residual = graph("Sub", features, graph.constant(about.feature_origin))  # (N, D)
    weighed = _precision(p) @ p.A if p.Sigma.ndim == 3 else _precision(p)[..., None] * p.A  # Σ⁻¹ A, (K, D, L)
    offset = torch.einsum("kdl,kl->kd", p.A, p.c) + p.b  # (K, D)
    gain = weighed @ covariances  # (K, D, L)
    shift = about.target_origin + (p.c - torch.einsum("kd,kdl->kl", offset, gain))
    means = _linear(graph, residual, gain, shift)
    noise = _distance(graph, p, residual, offset)  # (N, K)
    factor = weighed @ torch.linalg.cholesky(covariances)  # (K, D, L)
    explained = _linear(graph, residual, factor, -torch.einsum("kd,kdl->kl", offset, factor))
    explained = graph.total(graph.reshape(graph("Mul", explained, explained), -1, K, L), 2)
    distance = graph("Sub", noise, explained)
    constant = p.pi.log() - 0.5 * (forward.posterior.log_determinant[0] + D * math.log(2 * math.pi))
    log_joint = graph(
        "Sub", graph.constant(constant), graph("Mul", distance, graph.constant(torch.tensor(0.5).double()))
    )
    one = graph.constant([1])
    log_density = graph("ReduceLogSumExp", log_joint, one, keepdims=1)
    scale = covariances * head.covariance_scale
    return HeadOutputs(
        graph("Sub", log_joint, log_density),
        graph.reshape(means, -1, K, L),
        graph.constant(scale[None]),
        graph("Squeeze", log_density, one),
    )


def _precision(p: Parameters) -> Tensor:
    """Return Σ⁻¹: (K, D, D) for a full Σ, else (K, D); the first axis is 1 if a full Σ is tied."""
    if p.Sigma.ndim == 3:
        return torch.cholesky_inverse(torch.linalg.cholesky(p.Sigma))
    return (1.0 / p.Sigma).reshape(len(p.Sigma), -1).expand(len(p.Sigma), p.n_features)


def _distance(graph: Graph, p: Parameters, residual: str, centre: Tensor) -> str:
    """‖F (x − A c − b)‖², (N, K)."""
    if p.Sigma.ndim < 3:
        root = _precision(p).sqrt()  # (K or 1, D)
        offset = graph("Sub", graph("Unsqueeze", residual, graph.constant([1])), graph.constant(centre[None]))
        scaled = graph("Mul", offset, graph.constant(root[None]))
        return graph.total(graph("Mul", scaled, scaled), 2)
    factors = torch.linalg.cholesky(p.Sigma)
    inverse = torch.linalg.solve_triangular(factors, torch.eye(p.n_features).double(), upper=False)  # F, (K or 1, D, D)
    if len(inverse) == 1:
        white = graph("Unsqueeze", graph("MatMul", residual, graph.constant(inverse[0].T)), graph.constant([1]))
        offset = graph("Sub", white, graph.constant((centre @ inverse[0].T)[None]))  # (N, K, D)
        return graph.total(graph("Mul", offset, offset), 2)
    offset = graph("Sub", graph("Unsqueeze", residual, graph.constant([0])), graph.constant(centre[:, None]))
    white = graph("MatMul", offset, graph.constant(inverse.mT))  # (K, N, D)
    return graph("Transpose", graph.total(graph("Mul", white, white), 2), perm=[1, 0])


def _least_squares(graph: Graph, head: LeastSquaresHead, features: str) -> HeadOutputs:
    """Append one Gaussian with the mean V x + v and a constant covariance."""
    scale = head.target_scale.double()
    weight = head.linear.weight.double() * scale[:, None]
    offset = head.linear.bias.double() * scale + head.target_mean.double()
    means = graph("Add", graph("MatMul", features, graph.constant(weight.T)), graph.constant(offset))
    L = len(scale)
    zero = graph("Mul", graph.total(means, 1), graph.constant(torch.zeros(1).double()))
    return HeadOutputs(
        graph.reshape(zero, -1, 1),
        graph.reshape(means, -1, 1, L),
        graph.constant((head.covariance * head.covariance_scale)[None, None]),
        None,
    )


def _mixture_density(graph: Graph, head: MixtureDensityHead, features: str) -> HeadOutputs:
    """Append the linear layer that gives weights, means and Cholesky factors."""
    K, L = head.n_components, head.n_targets
    T = L * (L + 1) // 2
    linear = graph(
        "Add",
        graph("MatMul", features, graph.constant(head.linear.weight.double().T)),
        graph.constant(head.linear.bias.double()),
    )
    logits, means, entries = _split(graph, linear, (K, K * L, K * T))
    scale = head.target_scale.double()
    rows, columns = torch.tril_indices(L, L)
    place = torch.zeros(T, L, L, dtype=torch.float64)
    place[torch.arange(T), rows, columns] = scale[rows]
    diagonal = (rows == columns).double()
    entries = graph.reshape(entries, -1, K, T)
    positive = graph("Add", _softplus(graph, entries), _number(graph, head.LEAST_DEVIATION))
    mixed = graph(
        "Add",
        graph("Mul", positive, graph.constant(diagonal)),
        graph("Mul", entries, graph.constant(1.0 - diagonal)),
    )
    factors = graph.reshape(graph("MatMul", mixed, graph.constant(place.reshape(T, L * L))), -1, K, L, L)
    covariances = graph("MatMul", factors, graph("Transpose", factors, perm=[0, 1, 3, 2]))
    means = graph("Mul", graph.reshape(means, -1, K, L), graph.constant(scale))
    return HeadOutputs(
        graph("LogSoftmax", logits, axis=1),
        graph("Add", means, graph.constant(head.target_mean.double())),
        graph("Mul", covariances, graph.constant(head.covariance_scale)),
        None,
    )


def _softplus(graph: Graph, value: str) -> str:
    """Append log(1 + exp(x)) = max(x, 0) + log(1 + exp(−|x|)); the operator of onnxruntime has float32 only."""
    small = graph("Exp", graph("Neg", graph("Abs", value)))
    above = graph("Max", value, _number(graph, 0.0))
    return graph("Add", above, graph("Log", graph("Add", small, _number(graph, 1.0))))


def _number(graph: Graph, value: float) -> str:
    return graph.constant(torch.tensor(value, dtype=torch.float64))


def _linear(graph: Graph, value: str, weight: Tensor, offset: Tensor) -> str:
    """Append value · weight + offset, (N, K L), for weights (K, D, L) and offsets (K, L)."""
    K, D, L = weight.shape
    product = graph("MatMul", value, graph.constant(weight.permute(1, 0, 2).reshape(D, K * L)))
    return graph("Add", product, graph.constant(offset.reshape(K * L)))


def _split(graph: Graph, value: str, sizes: tuple[int, ...]) -> list[str]:
    """Append slices of the given sizes along the second axis."""
    parts, start = [], 0
    for size in sizes:
        bounds = (graph.constant([start]), graph.constant([start + size]), graph.constant([1]))
        parts.append(graph("Slice", value, *bounds))
        start += size
    return parts


WRITERS: dict[type, Callable[..., HeadOutputs]] = {
    InverseRegressionHead: _inverse_regression,
    LeastSquaresHead: _least_squares,
    MixtureDensityHead: _mixture_density,
}
