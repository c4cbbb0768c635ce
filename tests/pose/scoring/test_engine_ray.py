"""Test that actors of Ray write the same files as one process, also if they are killed."""

import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deepgllim.pose.scoring.options import ShardResult
from deepgllim.pose.scoring.run import score
from tests.pose.scoring.inputs import archive, options_for, outputs, pictures, table, write_folder
from tests.processes import run_script

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'deepgllim[ray]'"
)

N_SHARDS = 6
Results = dict[str, ShardResult]


class Session(NamedTuple):
    """The results of `tests/pose/scoring/ray_scenarios.py`, and those of one process."""

    folder: Path
    found: dict[str, Any]
    alone: Results


@pytest.fixture(scope="module")
def session(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Score an input with shards of all kinds, one of them damaged; Ray starts once."""
    folder = tmp_path_factory.mktemp("ray")
    contents = pictures(6)
    files = {
        "a.tar": archive(contents),
        "damaged.tar": archive(contents)[:3000],
        "t.parquet": table({"png": [*contents.values()]}),
    }
    write_folder(folder / "in", pictures(10) | files | {"009.png": b"no picture"})
    (folder / "tiny.onnx").write_bytes(tiny_model.read_bytes())
    options = options_for(folder / "tiny.onnx", shard_size=4)
    alone = by_name(score(str(folder / "in"), folder / "local", options))
    printed = run_script("from tests.pose.scoring.ray_scenarios import main; main()", folder)
    return Session(folder, json.loads(printed.splitlines()[-1]), alone)


def by_name(results: Any) -> Results:
    return {result[0]: ShardResult(*result) for result in results}


def test_both_engines_write_the_same_files(session: Session) -> None:
    first, again = map(by_name, session.found["both"])
    assert len(session.alone) == N_SHARDS
    assert first == session.alone
    assert outputs(session.folder / "ray") == outputs(session.folder / "local")
    assert again == {name: result._replace(reused=True) for name, result in first.items()}


def test_shards_whose_actors_are_killed_are_scored_again(session: Session) -> None:
    assert by_name(session.found["killed"]) == session.alone
    assert outputs(session.folder / "killed") == outputs(session.folder / "local")
    assert len(list((session.folder / "killed").glob(".*.seen"))) == 2


def test_a_shard_that_always_kills_its_actor_is_reported(session: Session) -> None:
    found = by_name(session.found["poisoned"][0])
    problem = "its process died 2 times: score the shard with --engine local"
    assert found.pop("a.tar.parquet") == ShardResult("a.tar.parquet", problem=problem)
    assert found == {name: result for name, result in session.alone.items() if name != "a.tar.parquet"}


def test_shards_are_enumerated_as_actors_become_free(session: Session) -> None:
    """One actor: the shard that kills it is reported last."""
    assert session.found["poisoned"][1] == [*range(2, N_SHARDS + 1), N_SHARDS]


def test_a_model_that_differs_on_a_machine_ends_the_run(session: Session) -> None:
    for result in by_name(session.found["other_model"]).values():
        assert result.fatal
        assert "its digest is" in (result.problem or "")


def test_usage_statistics_are_off(session: Session) -> None:
    assert session.found["usage"] is False
