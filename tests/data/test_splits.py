"""Splits: nobody on both sides, nothing lost, nested fractions, the same parts for the same seed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.data import Manifest, make_manifest, select_subjects, split_by_subject, subject_folds, subsample
from deepgllim.errors import DataError


def faces(subjects: list[str]) -> Manifest:
    names = [f"{row}.jpg" for row in range(len(subjects))]
    return make_manifest(pd.DataFrame({"path": names, "subject": subjects, "yaw": np.arange(len(subjects))}))


def rows(manifest: Manifest) -> list[int]:
    return [int(yaw) for yaw in manifest.target_values[:, 0]]


SIX = faces([f"{row % 6:02d}" for row in range(60)])
subject_lists = st.lists(st.sampled_from(["01", "02", "03", "04", "05"]), min_size=2, max_size=60).filter(
    lambda names: len(set(names)) > 1
)


@settings(deadline=None)
@given(subject_lists, st.floats(0.01, 0.99), st.integers(0, 100))
def test_split_shares_no_subject_and_loses_no_row(names: list[str], fraction: float, seed: int) -> None:
    manifest = faces(names)
    train, held_out = split_by_subject(manifest, fraction, seed)
    assert not set(train.subjects) & set(held_out.subjects)
    assert sorted(rows(train) + rows(held_out)) == rows(manifest)
    assert len(train)
    assert len(held_out)


def test_split_takes_the_fraction_and_repeats_with_the_seed() -> None:
    parts = [split_by_subject(SIX, 1 / 3, seed) for seed in (0, 0, 1, 2, 3)]
    assert len(set(parts[0][1].subjects)) == 2
    assert rows(parts[0][1]) == rows(parts[1][1])
    assert len({tuple(rows(held_out)) for _, held_out in parts}) > 1


def test_split_by_row() -> None:
    manifest = make_manifest(pd.DataFrame({"path": ["a.jpg"] * 10, "yaw": range(10)}))
    train, held_out = split_by_subject(manifest, 0.3, seed=0, by="row")
    assert (len(train), len(held_out)) == (7, 3)
    assert sorted(rows(train) + rows(held_out)) == list(range(10))
    with pytest.raises(DataError, match="one row"):
        split_by_subject(manifest.subset([0]), 0.3, seed=0, by="row")


def test_select() -> None:
    assert set(select_subjects(SIX, ["01", "04"]).subjects) == {"01", "04"}
    with pytest.raises(DataError, match="unknown subjects 07, 1; the table has 00, 01, 02"):
        select_subjects(SIX, ["01", "07", "1"])
    with pytest.raises(DataError, match="no subject is given"):
        select_subjects(SIX, [])


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(0, 100))
def test_folds_test_each_row_once(n_folds: int, seed: int) -> None:
    folds = subject_folds(SIX, n_folds, seed)
    assert len(folds) == n_folds
    assert sorted(row for _, test in folds for row in rows(test)) == rows(SIX)
    for train, test in folds:
        assert not set(train.subjects) & set(test.subjects)
        assert len(train) + len(test) == len(SIX)
    sizes = [len(set(test.subjects)) for _, test in folds]
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None)
@given(subject_lists, st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 100))
def test_fractions_are_nested_and_stratified(names: list[str], a: float, b: float, seed: int) -> None:
    manifest = faces(names)
    small, large = (subsample(manifest, fraction, seed) for fraction in sorted((a, b)))
    assert set(rows(small)) <= set(rows(large))
    assert rows(small) == sorted(rows(small))
    for subject in set(names):
        kept, there = (int((part.subjects == subject).sum()) for part in (small, manifest))
        assert kept == max(1, round(min(a, b) * there))


def test_subsample_without_subjects() -> None:
    manifest = make_manifest(pd.DataFrame({"path": ["a.jpg"] * 10, "yaw": range(10)}))
    assert len(subsample(manifest, 0.2, seed=0)) == 2
    assert rows(subsample(manifest, 1.0, seed=0)) == list(range(10))


def test_refuses_tables_without_enough_subjects() -> None:
    no_column = make_manifest(pd.DataFrame({"path": ["a.jpg"] * 2, "yaw": [1, 2]}))
    with pytest.raises(
        DataError, match=r"no column 'subject'.*add the person's name .*, or split rows instead, with by=\"row\""
    ):
        split_by_subject(no_column, 0.5, seed=0)
    with pytest.raises(DataError, match="no subject in row 2"):
        subject_folds(faces(["01", "", "02"]), 2, seed=0)
    with pytest.raises(DataError, match=r"has 1 subject\(s\), 2 are needed"):
        split_by_subject(faces(["01", "01"]), 0.5, seed=0)
    with pytest.raises(DataError, match=r"has 6 subject\(s\), 7 are needed"):
        subject_folds(SIX, 7, seed=0)


def test_refuses_arguments_out_of_range() -> None:
    for fraction in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            split_by_subject(SIX, fraction, seed=0)
    with pytest.raises(ValueError, match="by is 'sequence'"):
        split_by_subject(SIX, 0.5, seed=0, by="sequence")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_folds is 1"):
        subject_folds(SIX, 1, seed=0)
    with pytest.raises(ValueError, match=r"fraction is 1\.5"):
        subsample(SIX, 1.5, seed=0)
