"""Test the options that the experiments share."""

from pathlib import Path

import pytest

from experiments.protocol import Parser


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "experiments/a"),
        (["--quick"], "runs/quick/a"),
        (["--quick", "--output", "b"], "b"),
        (["--output", "b"], "b"),
    ],
)
def test_a_smoke_test_replaces_no_results(words: list[str], expected: str) -> None:
    parser = Parser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("experiments/a"))
    assert parser.parse_args(words).output == Path(expected)
