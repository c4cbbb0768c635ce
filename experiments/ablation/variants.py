"""The variants, and the table of their differences from the base, paired by seed."""

from typing import Any

import pandas as pd

from experiments.steps import conditional

BASE = "base"
VARIANTS: dict[str, dict[str, Any]] = {
    BASE: {},
    "responsibilities from the targets": {"objective.responsibilities": "targets"},
    "one component sampled": {"objective.assignment": "sampled"},
    "network noise, diagonal": {"objective.network_noise": "diagonal"},
    "network noise, mixture": {"objective.network_noise": "mixture"},
    "network noise, signal": {"objective.network_noise": "signal"},
    "EM from the last parameters": {"objective.em_start": "parameters"},
    "r never frozen": {"objective.frozen_rounds": 0},
    "normalisation with scale and shift": {"network.affine_norm": True},
    "backbone normalised by batches": {"network.backbone_norm": "batch"},
    "1 round of 8 epochs": {"schedule.rounds": 1, "schedule.epochs_per_round": 8},
    "2 rounds of 4 epochs": {"schedule.rounds": 2, "schedule.epochs_per_round": 4},
    "8 rounds of 1 epoch": {"schedule.rounds": 8, "schedule.epochs_per_round": 1},
    "K = 1": {"objective.n_components": 1},
    "K = 2": {"objective.n_components": 2},
    "K = 10": {"objective.n_components": 10},
    **{f"K = {K}, beta = 1": conditional(K) for K in (1, 2, 5, 10)},
}
"""Changes of the recipe by variant; those with β = 1 have the network step of the default recipe.

K = 1 has no responsibilities, and is the reference for the variants with β = 0. The variants of K and the base are the
rows of table 2 for photographs.
"""

COLUMNS = {"test_mae": "mean", "test_mae_pitch": "pitch", "test_mae_yaw": "yaw", "test_nll": "NLL"}
DIFFERENCES = {"test_mae": "mean − base", "test_nll": "NLL − base"}


def differences(results: pd.DataFrame, base: str = BASE) -> pd.DataFrame:
    """Return each metric minus that of the base with the same seed; rows without such a base are left out.

    Args:
        results: columns method, seed and the keys of `DIFFERENCES`.
        base: the method that is subtracted.

    Example:
        >>> rows = [("base", 0, 5.0, 7.0), ("base", 1, 6.0, 7.0), ("other", 0, 5.5, 7.0), ("other", 1, 6.25, 6.5)]
        >>> frame = pd.DataFrame(rows, columns=["method", "seed", "test_mae", "test_nll"])
        >>> differences(frame)[["method", "mean − base"]].values.tolist()
        [['base', 0.0], ['base', 0.0], ['other', 0.5], ['other', 0.25]]
    """
    columns = list(DIFFERENCES)
    reference = results[results["method"] == base].set_index("seed")[columns]
    rows = results[results["seed"].isin(reference.index)]
    taken_off = rows[columns].to_numpy() - reference.loc[rows["seed"]].to_numpy()
    frame = pd.DataFrame(taken_off, columns=list(DIFFERENCES.values()), index=rows.index)
    return rows[["method", "seed"]].join(frame)


def summary(results: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row per variant, in the order of `VARIANTS`: metrics and differences from the base, mean ± deviation.

    Args:
        results: rows of `protocol.judge`.
        runs: rows of `protocol.run_job`, with the number of components in the best round.
    """
    from experiments.protocol import mean_and_deviation

    figures = mean_and_deviation(results, ["method"], list(COLUMNS)).rename(columns=COLUMNS)
    paired = mean_and_deviation(differences(results), ["method"], list(DIFFERENCES.values()))
    left = runs.groupby("method")["components"].mean().round(1).rename("components left").reset_index()
    table = figures.merge(paired, on="method").merge(left, on="method").set_index("method")
    return table.loc[[name for name in VARIANTS if name in table.index]].reset_index()
