"""Means and variances of blocks merge to those of the whole."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepgllim.gllim.moments import Moments, merge, moments_of
from deepgllim.gllim.rows import Rows
from tests.gllim.strategies import close, generator, normal, on_grid, properties, seeds


@given(seeds, st.lists(st.integers(1, 40), min_size=1, max_size=5), st.booleans())
@properties
def test_merged_moments_are_those_of_the_whole(seed: int, lengths: list[int], weighted: bool) -> None:
    g = generator(seed)
    N = sum(lengths)
    x, y = normal(g, N, 3), normal(g, N, 2)
    w = (3.0 * torch.rand(N, generator=g).double()).floor() if weighted else None
    if w is not None:
        w[-1] = 1.0
    parts = zip(
        *(torch.split(values, lengths) for values in (x, y, torch.ones(N).double() if w is None else w)), strict=True
    )
    merged = merge(moments_of(a, b, c if weighted else None) for a, b, c in parts)
    values = torch.cat([x, y], 1)
    share = (torch.ones(N).double() if w is None else w)[:, None]
    mean = (share * values).sum(0) / share.sum()
    assert merged.n_rows == N
    assert float(merged.total) == float(share.sum())
    assert close(merged.mean, mean, 1e-13)  # sums of 200 terms of order one
    assert close(merged.square, (share * (values - mean).square()).sum(0), 1e-12)


@given(seeds, st.lists(st.integers(1, 40), min_size=1, max_size=5), st.sampled_from([2.0**10, -(2.0**25), 2.0**38]))
@properties
def test_merged_moments_do_not_depend_on_the_origin(seed: int, lengths: list[int], shift: float) -> None:
    g = generator(seed)
    x, y = on_grid(normal(g, sum(lengths), 3)), on_grid(normal(g, sum(lengths), 2))

    def merged(offset: float) -> Moments:
        parts = zip(torch.split(x + offset, lengths), torch.split(y + offset, lengths), strict=True)
        return merge(moments_of(a, b, None) for a, b in parts)

    near, far = merged(0.0), merged(shift)
    # the values are shifted without rounding, so that only sums of terms of order one are rounded
    assert close(far.square, near.square, 1e-13)
    assert close(far.origin + far.offset, near.mean + shift, 1e-15)


def test_blocks_with_weight_zero_are_ignored() -> None:
    x, y = normal(generator(0), 9, 2) + 5.0, normal(generator(1), 9, 1)
    w = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0, 1.0, 0.0, 0.0, 0.0]).double()
    blocks, whole = Rows(x, y, w, block_rows=3).scaling, Rows(x, y, w).scaling
    assert all(close(a, b, 1e-14) for a, b in zip(blocks, whole, strict=True))
    assert close(whole.feature_mean, (w[:, None] * x).sum(0) / 4.0, 1e-14)


def test_scaling_is_mean_and_variance_far_from_the_origin() -> None:
    x, y = normal(generator(0), 1000, 3) + 1e6, normal(generator(1), 1000, 2) * 50.0
    for weights in (None, torch.ones(1000)):
        scaling = Rows(x, y, weights, block_rows=64).scaling
        # values at 10⁶ are rounded to 1e-10; raw second moments would lose all but four digits
        assert close(scaling.feature_variance, x.var(0, correction=0), 1e-9)
        assert close(scaling.feature_mean, x.mean(0), 1e-12)
        assert close(scaling.target_mean, y.mean(0), 1e-12)
        assert close(scaling.target_scale, y.std(0, correction=0), 1e-12)


def test_constant_columns_have_no_variance() -> None:
    for value in (0.1, -3.7, 1e9 / 3, 0.0):
        constant = torch.full((1001, 1), value).double()
        for weights in (None, torch.linspace(0.0, 1.0, 1001)):
            scaling = Rows(constant, constant, weights, block_rows=300).scaling
            assert scaling.feature_variance.item() == 0.0
            assert scaling.target_scale.item() == 1.0


def test_a_column_that_varies_by_rounding_only_is_constant() -> None:
    x = torch.full((100, 1), 0.1, dtype=torch.float64)
    x[::3] = float(np.nextafter(0.1, 1.0))
    scaling = Rows(x, x).scaling
    assert scaling.feature_variance.item() == 0.0
    assert scaling.target_scale.item() == 1.0
