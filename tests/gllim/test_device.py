"""The sums on a GPU are those on the CPU."""

import pytest
import torch

from deepgllim.gllim import invert, predict
from tests.gllim.strategies import close, fit, generator, normal


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize(
    "options", [{}, {"covariance_type": "full", "tied": True}, {"n_latents": 1, "dof": "estimated"}]
)
def test_a_gpu_gives_the_same_fit(options: dict[str, object]) -> None:
    y = normal(generator(0), 300, 2)
    x = torch.sin(y @ normal(generator(1), 2, 6)) + 0.2 * normal(generator(2), 300, 6)
    settings = {"n_components": 2, "max_iter": 8, "tol": 0.0, **options}
    here, there = (fit(x, y, device=device, **settings) for device in ("cpu", "cuda"))  # type: ignore[arg-type]
    # eight iterations of EM on other orders of summation
    for name, value in here.parameters.tensors.items():
        assert close(there.parameters.tensors[name].cpu(), value, 1e-8), name
    mean = predict(x.cuda(), invert(there.parameters)).mean
    assert close(mean.cpu(), predict(x, invert(here.parameters)).mean, 1e-8)
