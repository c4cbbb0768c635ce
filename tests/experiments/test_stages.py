"""Test the shared output of frozen stages: versions of faces, subsets, joined parts."""

import numpy as np
import torch

from experiments.pretrained.stages import StageOutput, joined_output


def part(n_faces: int, versions: int, first: float) -> StageOutput:
    """Return output whose values are `first`, `first` + 1 and so on, with the values as targets."""
    n = np.arange(versions * n_faces)
    values = (first + n).astype(np.float16).reshape(-1, 1, 1, 1)
    rows = np.stack([np.zeros_like(n), n], axis=1)
    return StageOutput([values], rows, n % n_faces, torch.from_numpy(first + n)[:, None].float())


def values(output: StageOutput) -> list[float]:
    """Return the values of all inputs, which equal the targets."""
    items = [output[i, None] for i in range(len(output))]
    assert all(float(x) == float(y) for x, y in items)
    return [float(x) for x, _ in items]


def test_a_face_is_chosen_with_all_its_versions() -> None:
    output = part(3, 2, 10.0)
    assert values(output.of_faces(np.array([True, False, True]))) == [10, 12, 13, 15]


def test_joined_parts_keep_their_rows_and_number_their_faces() -> None:
    both = joined_output([part(3, 2, 10.0).of_faces(np.array([False, True, True])), part(2, 2, 50.0)])
    assert values(both) == [11, 12, 14, 15, 50, 51, 52, 53]
    mask = np.zeros(5, dtype=bool)
    mask[[1, 4]] = True
    assert values(both.of_faces(mask)) == [11, 14, 51, 53]
