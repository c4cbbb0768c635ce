"""Two processes train as one does: the same θ from the same features, the same weights up to rounding."""

import pytest
import torch

from deepgllim.errors import ConfigurationError
from deepgllim.nn.batches import batch_length, batches, n_batches
from deepgllim.nn.distributed import ALONE, Alone, check_environment, check_processes
from deepgllim.storage import read_tensors
from tests.nn.processes import ROOT, finish, start
from tests.nn.shared_training import CASES, N, Results, run
from tests.nn.tiny import vectors

PRECISION = {"theta": 1e-10, "reduced": 0.03}
"""Relative difference: of sums in float64, of eight bits; else of float32, amplified by some ten steps."""


class Share(Alone):
    """The rows of one of several processes, without the others."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def rows(self, n: int) -> range:
        return range(self.rank * n // self.size, (self.rank + 1) * n // self.size)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run(ALONE, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[Results]:
    folder = tmp_path_factory.mktemp("together")
    ended = finish(start([str(ROOT / "tests" / "nn" / "shared_training.py"), str(folder)], 2))
    assert [code for code, _, _ in ended] == [0, 0], "\n".join(err for _, _, err in ended)
    return [read_tensors(folder / f"{rank}.safetensors")[0] for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_result_of_one(case: str, alone: Results, together: list[Results]) -> None:
    expected = {name: value for name, value in alone.items() if name.startswith(f"{case}/")}
    for found in together:
        for name, value in expected.items():
            scale = float(value.nan_to_num().abs().max()) or 1.0
            torch.testing.assert_close(
                found[name],
                value,
                rtol=0,
                equal_nan=True,  # log p(x) of heads that have none
                atol=PRECISION.get(case, 1e-4) * scale,
                msg=f"{name} differs",
            )


def test_both_processes_have_the_same_weights(together: list[Results]) -> None:
    for name, value in together[0].items():
        if "weights" in name or "theta" in name:
            assert torch.equal(value, together[1][name]), name


@pytest.mark.parametrize(("n", "size"), [(64, 16), (65, 16), (67, 16), (5, 16), (33, 16)])
def test_the_batches_of_all_processes_are_those_of_one(n: int, size: int) -> None:
    shares = [list(batches(vectors(n), size, epoch=3, shuffle=True, processes=Share(rank, 3))) for rank in range(3)]
    assert {len(share) for share in shares} == {n_batches(n, size, 3)}
    whole = [torch.cat([y for _, y in parts]) for parts in zip(*shares, strict=True)]
    assert [len(y) for y in whole] == [batch_length(n, size, i, 3) for i in range(len(whole))]
    expected = torch.cat([y for _, y in batches(vectors(n), size, epoch=3, shuffle=True)])
    assert torch.equal(torch.cat(whole), expected)
    assert all(len(y) for share in shares for _, y in share)


def test_there_are_no_more_processes_than_inputs() -> None:
    with pytest.raises(ConfigurationError, match="3 processes but 2 training inputs: start at most 2 processes"):
        check_processes(Share(0, 3), training_inputs=2)
    check_processes(Share(0, 3), training_inputs=N)


TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"WORLD_SIZE": ""}, "WORLD_SIZE is ''"),
        ({"RANK": "abc"}, "RANK is 'abc'"),
        ({"RANK": "-1"}, "RANK is '-1'"),
        ({"RANK": "2"}, "RANK is 2 of 2"),
        ({"LOCAL_RANK": "z"}, "LOCAL_RANK is 'z'"),
        ({"MASTER_PORT": "٣"}, "MASTER_PORT is"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is missing"),
    ],
)
def test_an_incomplete_environment_is_refused(change: dict[str, str], message: str) -> None:
    assert check_environment(TORCHRUN) == 1
    with pytest.raises(ConfigurationError, match=f"{message}.*start the training by torchrun"):
        check_environment(TORCHRUN | change)
