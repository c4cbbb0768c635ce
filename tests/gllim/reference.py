"""The stored runs of other implementations: data, constants and comparison.

The references call the features Y and the targets X. Their hidden constant: 1e-8 is added to Γ and Σ at each M-step.
"""

import functools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deepgllim.gllim import Parameters, Rows, invert, predict

REFERENCES = [("committed", "xllim"), ("complete", "xllim"), ("complete", "synth")]
"""Sets of runs and data sets in them: parameters of `reference_dir` and of the data set."""

JITTER = 1e-8
STRUCTURES = {"i": "isotropic", "d": "diagonal", "": "full", "full": "full", "fulleq": "full", "*": "full"}


@functools.lru_cache
def table(folder: Path, name: str) -> Tensor:
    """Return a table of the data: a CSV file of the complete set, or an array of the committed one."""
    path = folder / "data" / f"{name}.csv"
    if not path.is_file():
        return archive(folder, "data")[name]
    return torch.from_numpy(np.loadtxt(path, delimiter=",", ndmin=2))


@functools.lru_cache
def archive(folder: Path, name: str) -> dict[str, Tensor]:
    """Read all arrays of a file."""
    stored = np.load(folder / f"{name}.npz")
    return {key: torch.from_numpy(stored[key]) for key in stored.files}


def values(folder: Path, name: str, case: str) -> dict[str, Tensor]:
    """Return the arrays of one run, by parameter."""
    return {key.split("/")[1]: value for key, value in archive(folder, name).items() if key.startswith(f"{case}/")}


def centred(x: Tensor, y: Tensor) -> Rows:
    """Return rows whose targets are not scaled, because the references add their constant in these units."""
    scaling = Rows(x, y).scaling
    return Rows(x, y, scaling=scaling._replace(target_scale=torch.ones_like(scaling.target_scale)))


def whole(rows: Rows) -> tuple[Tensor, Tensor]:
    """Return the centred and scaled features and targets of all blocks."""
    parts = [(x.clone(), y) for x, y, _ in rows]
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def jittered(p: Parameters) -> Parameters:
    """Add the constant of the references to the variances."""
    D, L = p.n_features, p.n_targets
    feature = torch.eye(D).double() if p.covariance_type == "full" else torch.ones(()).double()
    return p._replace(Gamma=p.Gamma + JITTER * torch.eye(L).double(), Sigma=p.Sigma + JITTER * feature)


def differences(p: Parameters, trace: list[float], stored: dict[str, Tensor], x_test: Tensor) -> dict[str, float]:
    """Return the maximum difference of each quantity, relative to its maximum; A_w is compared as A_w A_wᵀ."""
    L = p.n_targets
    answer = predict(x_test, invert(p))
    ours = {
        "pi": p.pi,
        "c": p.c,
        "Gamma": p.Gamma,
        "A": p.A[:, :, :L],
        "b": p.b,
        "Sigma": p.Sigma,
        "A_w": p.A[:, :, L:] @ p.A[:, :, L:].mT,
        "LL": torch.tensor(trace, dtype=torch.float64),
        "pred": answer.mean,
        "pred_alpha": answer.log_weights.exp(),
    }
    A_w = stored["A"][:, :, L:]
    theirs = stored | {
        "c": stored["c"][:, :L],
        "Gamma": stored["Gamma"][:, :L, :L],
        "A": stored["A"][:, :, :L],
        "A_w": A_w @ A_w.mT,
        "pred": stored["pred"][:, :L],
    }
    pairs = {name: (value, theirs[name][: len(value)]) for name, value in ours.items()}  # a tied Σ is stored K times
    return {name: float((a - b).abs().max() / (b.abs().max() + 1e-300)) for name, (a, b) in pairs.items()}
