"""Several processes with a part of the rows each give the same fit as one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deepgllim.gllim import MixtureSpec, Options, Rows, fit_rows
from tests.gllim.strategies import generator, make_parameters, normal

Answers = dict[str, NDArray[np.float64]]
Data = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

N, L, D = 400, 2, 5
ENDS = {1: [400], 2: [130, 400], 4: [50, 170, 200, 400]}  # parts of unequal length
TIMEOUT = 300  # seconds, for imports on busy cores

# EM from the same sums in another order: 1e-16 of each, ten iterations that amplify it by less than ten each
AGREEMENT = 1e-10

CASES: dict[str, tuple[int, dict[str, object], dict[str, object], bool]] = {
    # K, specification, options, whether samples are weighted
    "gaussian": (3, {}, {}, False),
    "student with latents": (2, {"n_latents": 1, "dof": "estimated"}, {"init": "kmeans"}, False),
    "tied full": (3, {"covariance_type": "full", "tied": True}, {"init": "joint"}, False),
    "weights": (3, {"target_covariance": "isotropic"}, {}, True),
    "weights, joint": (2, {"covariance_type": "isotropic", "dof": 5.0}, {"init": "joint"}, True),
    "prior": (2, {}, {"prior_count": 5.0, "covariance_floor": 0.05}, True),
    "starts": (2, {}, {"n_init": 2, "max_iter": 4}, False),
}

CHILD = """
import json, sys
import numpy as np
import torch
import torch.distributed as dist
from deepgllim.gllim import MixtureSpec, Options, Rows, fit_rows

torch.set_num_threads(1)
folder, rank, ends, cases = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=4)
data = np.load(f"{folder}/data.npz")
groups = {number: dist.group.WORLD if number == "4" else dist.new_group(range(int(number))) for number in ends}
for number, group in groups.items():
    if rank >= int(number):
        continue
    mine = slice(([0] + ends[number])[rank], ends[number][rank])
    x, y, w = (data[name][mine] for name in ("x", "y", "w"))
    answers = {}
    for name, (K, spec, options, weighted) in cases.items():
        rows = Rows(x, y, w if weighted else None, block_rows=64, group=group)
        answers[f"{name}/scaling"] = torch.cat(list(rows.scaling)).numpy()  # before the specification changes it
        fitted = fit_rows(rows, MixtureSpec(K, **spec), Options(**options))
        for key, value in fitted.parameters.tensors.items():
            answers[f"{name}/{key}"] = value.numpy()
        answers[f"{name}/log_likelihoods"] = np.array(fitted.log_likelihoods)
        answers[f"{name}/total"] = np.array([float(rows.total), rows.n_total])
    np.savez(f"{folder}/{number}-{rank}.npz", **answers)
dist.barrier()
dist.destroy_process_group()
"""


def settled(options: dict[str, object]) -> dict[str, object]:
    return {"max_iter": 10, "tol": 0.0, **options}


def make_data() -> Data:
    """Three clusters, sorted by target so that no process sees them all, and weights that differ among the parts."""
    p = make_parameters(0, "diagonal", False, 3, L, D)
    g = generator(1)
    z = torch.arange(N) * 3 // N
    y = 4.0 * (z[:, None] - 1.0) + normal(g, N, L)
    x = torch.einsum("ndl,nl->nd", p.A[z], y) + p.b[z] + 0.5 * normal(g, N, D) + 3.0
    w = torch.linspace(0.0, 3.0, N, dtype=torch.float64)
    return x, y, w


def launch(folder: Path) -> None:
    """Four processes, of which the first one, the first two and then all fit every case."""
    cases = json.dumps({name: (K, spec, settled(o), weighted) for name, (K, spec, o, weighted) in CASES.items()})
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CHILD, str(folder), str(rank), json.dumps(ENDS), cases],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(4)
    ]
    try:
        outputs = [child.communicate(timeout=TIMEOUT)[0] for child in children]
    finally:
        for child in children:
            child.kill()
    assert all(child.returncode == 0 for child in children), "\n".join(outputs)


@pytest.fixture(scope="module")
def data() -> Data:
    return make_data()


@pytest.fixture(scope="module")
def fitted(data: Data, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Answers]]:
    """The results of 1, 2 and 4 processes."""
    folder = tmp_path_factory.mktemp("processes")
    x, y, w = (value.numpy() for value in data)
    np.savez(folder / "data.npz", x=x, y=y, w=w)
    launch(folder)
    return {n: [dict(np.load(folder / f"{n}-{rank}.npz")) for rank in range(n)] for n in ENDS}


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("name", CASES)
def test_several_processes_fit_as_one(
    data: Data,
    fitted: dict[int, list[Answers]],
    name: str,
    number: int,
) -> None:
    K, spec, options, weighted = CASES[name]
    x, y, w = data
    rows = Rows(x, y, w if weighted else None, block_rows=64)
    scaling = torch.cat(list(rows.scaling))
    alone = fit_rows(rows, MixtureSpec(K, **spec), Options(**settled(options)))  # type: ignore[arg-type]
    expected = {
        "scaling": scaling,
        **alone.parameters.tensors,
        "log_likelihoods": torch.tensor(alone.log_likelihoods, dtype=torch.float64),
        "total": torch.tensor([float(rows.total), N], dtype=torch.float64),
    }
    for answers in fitted[number]:  # the same in every process
        for key, value in expected.items():
            found = answers[f"{name}/{key}"]
            scale = float(value.abs().max())
            assert found.shape == tuple(value.shape), key
            np.testing.assert_allclose(found, value.numpy(), rtol=0, atol=AGREEMENT * scale, err_msg=key)


REFUSING = """
import sys
import torch
import torch.distributed as dist
from deepgllim.errors import DataError
from deepgllim.gllim import Rows

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/refusing", rank=rank, world_size=2)
x = torch.ones(4, 2)
if rank == 1:
    x[2, 1] = torch.nan
try:
    Rows(x, torch.arange(4.0)[:, None], group=dist.group.WORLD)
except DataError as error:
    print(error)
dist.destroy_process_group()
"""


def test_invalid_data_in_one_process_are_an_error_in_all(tmp_path: Path) -> None:
    command = [sys.executable, "-c", REFUSING, str(tmp_path)]
    started = [subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True) for rank in range(2)]
    printed = [process.communicate(timeout=TIMEOUT)[0].strip() for process in started]
    assert (
        printed
        == ["process 1: features row 2, column 1 is nan: every value must be finite; remove or correct the sample"] * 2
    )


CHANGING = """
import sys
import torch
import torch.distributed as dist
from deepgllim.errors import DataError
from deepgllim.gllim import BatchRows, fit_rows

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/changing", rank=rank, world_size=2)
passes = 0

def batches():
    global passes
    passes += 1
    n = 40 if rank == 0 or passes < 4 else 30
    generator = torch.Generator().manual_seed(rank)
    y = torch.randn(n, 1, generator=generator)
    yield torch.cat([y, -y], 1) + 0.1 * torch.randn(n, 2, generator=generator), y

try:
    fit_rows(BatchRows(batches, group=dist.group.WORLD))
except DataError as error:
    print(error)
dist.destroy_process_group()
"""


def test_changed_batches_in_one_process_are_an_error_in_all(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHANGING, str(tmp_path)]
    started = [subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True) for rank in range(2)]
    printed = [process.communicate(timeout=TIMEOUT)[0].strip() for process in started]
    assert printed[0] == "another process could not use its rows: see its error message"
    assert printed[1].startswith("this pass over the batches gave 30 rows, the first gave 40")
