"""Invalid options are errors whose message gives the option and its range."""

import re

import pytest
import torch

from deepgllim.errors import ConfigurationError
from tests.gllim.strategies import fit, generator, normal

X, Y = normal(generator(0), 30, 4), normal(generator(1), 30, 2)
NAN, INFINITY = float("nan"), float("inf")

REFUSED: list[tuple[dict[str, object], str]] = [
    ({"covariance_type": "round"}, "unknown covariance_type 'round': use one of isotropic, diagonal, full"),
    ({"covariance_type": "Diagonal"}, "unknown covariance_type 'Diagonal'"),
    ({"target_covariance": "tied"}, "unknown target_covariance 'tied': use one of full, diagonal, isotropic"),
    ({"init": "random"}, "unknown init 'random': use one of targets, kmeans, joint"),
    ({"n_latents": -1}, "n_latents is -1"),
    ({"n_latents": 1.5}, "n_latents is 1.5"),
    ({"n_latents": 4}, "n_latents = 4 for n_features = 4: use fewer latents than features"),
    ({"n_latents": 9}, "n_latents = 9 for n_features = 4"),
    (
        {"dof": 0.0},
        "dof is 0.0: use None for Gaussian noise, 'estimated', or degrees of freedom between 0.05 and 1e+06",
    ),
    ({"dof": -3.0}, "dof is -3.0"),
    ({"dof": 1e7}, "dof is 10000000.0"),
    ({"dof": INFINITY}, "dof is inf"),
    ({"dof": NAN}, "dof is nan"),
    ({"dof": "free"}, "dof is 'free'"),
    ({"max_iter": 0}, "max_iter is 0"),
    ({"max_iter": -2}, "max_iter is -2"),
    ({"n_init": 0}, "n_init is 0"),
    ({"covariance_floor": -1.0}, "covariance_floor is -1.0"),
    ({"covariance_floor": NAN}, "covariance_floor is nan"),
    ({"covariance_floor": INFINITY}, "covariance_floor is inf"),
    ({"prior_count": -1.0}, "prior_count is -1.0"),
    ({"prior_count": NAN}, "prior_count is nan"),
    ({"prior_count": INFINITY}, "prior_count is inf"),
    ({"prior_variance": 0.0}, "prior_variance is 0.0"),
    ({"prior_variance": -1.0}, "prior_variance is -1.0"),
    ({"tol": NAN}, "tol is nan"),
    ({"min_count": NAN}, "min_count is nan"),
    ({"block_rows": -5}, "block_rows is -5"),
    ({"dtype": torch.float16}, "dtype is torch.float16"),
    ({"dtype": torch.int64}, "dtype is torch.int64"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[str(options) for options, _ in REFUSED])
def test_options_out_of_range_are_an_error(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        fit(X, Y, 2, **options)


@pytest.mark.parametrize("K", [0, -1, 2.5])
@pytest.mark.parametrize("noise", ["diagonal", "full"])
def test_invalid_n_components_is_an_error(K: int, noise: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{K}.*use .*1 or more"):
        fit(X, Y, K, covariance_type=noise)


@pytest.mark.parametrize("options", [{"dof": 5}, {"dof": 0.05}, {"dof": 1e6}, {"n_latents": 3}], ids=str)
def test_options_at_the_ends_of_their_ranges_are_valid(options: dict[str, object]) -> None:
    result = fit(X, Y, 1, max_iter=3, tol=0.0, **options)
    assert all(bool(value.isfinite().all()) for value in result.parameters.tensors.values())
