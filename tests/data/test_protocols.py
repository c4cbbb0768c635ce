"""Protocols: nobody on two sides, nothing lost, Biwi's numbers, the paper's rule for choosing a fold."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from deepgllim.data import (
    PROTOCOLS,
    Manifest,
    Split,
    best_fold,
    by_sequence,
    by_subject,
    cross_dataset,
    make_manifest,
    median_fold,
    video_folds,
)
from deepgllim.data.biwi import SAME_PERSON, SEQUENCES
from deepgllim.errors import DataError

FRAMES = 4  # of a video, at most


def videos(people: list[str], names: list[str] | None = None) -> Manifest:
    """Return videos of one to four frames with distinct targets; `people` has the person of each video."""
    names = names or [f"{index:02d}" for index in range(len(people))]
    rows = [
        {"path": f"{name}/{who}/{frame}.jpg", "subject": who, "sequence": name}
        for index, (who, name) in enumerate(zip(people, names, strict=True))
        for frame in range(1 + index % FRAMES)
    ]
    return make_manifest(pd.DataFrame(rows).assign(yaw=np.arange(len(rows))))


BIWI = videos([SAME_PERSON.get(name, name) for name in SEQUENCES], list(SEQUENCES))
casts = st.lists(st.sampled_from("abcdefgh"), min_size=6, max_size=40).filter(lambda people: len(set(people)) >= 6)
seeds = st.integers(0, 1000)


def rows(*tables: Manifest | None) -> list[int]:
    return sorted(int(yaw) for table in tables if table is not None for yaw in table.target_values[:, 0])


def sequences(table: Manifest | None) -> set[str]:
    return set() if table is None else set(table.frame["sequence"])


def people(table: Manifest | None) -> set[str]:
    return set() if table is None else set(table.subjects)


def assert_apart(parts: Split, table: Manifest) -> None:
    """Every face is in one part, every person too."""
    assert rows(*parts) == rows(table)
    assert sum(len(people(part)) for part in parts) == len(people(table))


def test_biwi_has_20_people_in_24_videos() -> None:
    assert len(people(BIWI)) == 20
    assert len(sequences(BIWI)) == 24


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_on_biwi_eight_folds_have_three_videos_each(seed: int) -> None:
    folds = video_folds(BIWI, seed)
    assert [len(sequences(fold.test)) for fold in folds] == [3] * 8
    for fold in folds:
        assert_apart(fold, BIWI)
        assert len(sequences(fold.train) | sequences(fold.validation)) == 21
        trained = len(people(fold.train)) + len(people(fold.validation))
        assert len(people(fold.validation)) == round(0.2 * trained)
    assert rows(*(fold.test for fold in folds)) == rows(BIWI)


def test_the_folds_depend_on_the_seed_alone() -> None:
    parts = [[sorted(sequences(fold.test)) for fold in video_folds(BIWI, seed)] for seed in (0, 0, 1, 2)]
    assert parts[0] == parts[1]
    assert len({str(part) for part in parts}) == 3


@settings(max_examples=25, deadline=None)
@given(casts, seeds, st.integers(2, 6), st.sampled_from([video_folds, by_subject]))
def test_folds_part_any_table(cast: list[str], seed: int, n_folds: int, protocol: Callable[..., list[Split]]) -> None:
    table = videos(cast)
    try:
        folds = protocol(table, seed, n_folds, validation=0.25)
    except DataError as error:  # one person has half of the videos, and is alone in training
        if n_folds > 2 or "2 are needed" not in str(error):
            raise
        reject()
    assert len(folds) == n_folds
    assert rows(*(fold.test for fold in folds)) == rows(table)
    for fold in folds:
        assert_apart(fold, table)
        assert all(part is not None and len(part) for part in fold)


@settings(max_examples=25, deadline=None)
@given(casts, seeds, st.integers(2, 6))
def test_video_folds_differ_by_no_more_than_one_person_brings(cast: list[str], seed: int, n_folds: int) -> None:
    folds = video_folds(videos(cast), seed, n_folds, validation=0)  # one person may be all that is left to train on
    sizes = [len(sequences(fold.test)) for fold in folds]
    assert max(sizes) - min(sizes) <= max(cast.count(who) for who in cast)


def test_numbers_of_sequences_may_repeat_from_person_to_person() -> None:
    table = videos(list("aabbccdd"), ["1", "2"] * 4)
    for fold in video_folds(table, seed=0, n_folds=2, validation=0):
        assert len(people(fold.test)) == 2
        assert fold.validation is None
        assert_apart(fold, table)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_by_sequence_tests_eight_of_biwis_videos(seed: int) -> None:
    (parts,) = by_sequence(BIWI, seed)
    assert len(sequences(parts.test)) == 8
    assert_apart(parts, BIWI)
    (parts,) = by_sequence(BIWI, seed, validation=0, by="sequence")
    assert len(sequences(parts.test)) == 8
    assert len(sequences(parts.train)) == 16
    assert rows(*parts) == rows(BIWI)


def test_drawing_videos_puts_a_person_on_both_sides() -> None:
    """What the literature does: shown, so that the difference of the two is known to be one."""
    shared = [
        people(parts.train) & people(parts.test) for s in range(10) for parts in by_sequence(BIWI, s, by="sequence")
    ]
    assert any(shared)


@settings(max_examples=25, deadline=None)
@given(casts, seeds, st.integers(50, 950))
def test_by_sequence_parts_any_table(cast: list[str], seed: int, per_mille: int) -> None:
    table, fraction = videos(cast), per_mille / 1000
    wanted = min(-(-per_mille * len(cast) // 1000), len(cast) - 1)  # in whole numbers: 0.07 · 100 is more than 7
    if min(cast.count(who) for who in set(cast)) <= wanted:
        (parts,) = by_sequence(table, seed, fraction, validation=0)
        assert_apart(parts, table)
        assert 0 < len(sequences(parts.test)) <= wanted
    (parts,) = by_sequence(table, seed, fraction, validation=0, by="sequence")
    assert len(sequences(parts.test)) == wanted


def test_all_frames_test() -> None:
    (parts,) = cross_dataset(BIWI)
    assert (parts.train, parts.validation) == (None, None)
    assert rows(parts.test) == rows(BIWI)


@pytest.mark.parametrize(
    ("name", "folds"), [("video-folds", 8), ("by-subject", 5), ("by-sequence", 1), ("cross-data-set", 1)]
)
def test_protocols_have_names(name: str, folds: int) -> None:
    parts = PROTOCOLS[name](BIWI, 3)
    assert len(parts) == folds
    for part in parts:
        assert_apart(part, BIWI)
    assert set(PROTOCOLS) == {"video-folds", "by-subject", "by-sequence", "cross-data-set"}


@settings(deadline=None)
@given(st.permutations(range(8)))
def test_best_and_median_of_eight(ranks: list[int]) -> None:
    errors = np.array(ranks, dtype=np.float64) ** 2
    assert ranks[best_fold(errors)] == 0
    assert ranks[median_fold(errors)] == 4  # of ranks 3 and 4 the worse


def test_median_of_an_odd_number_and_of_one() -> None:
    assert median_fold([9.0, 1.0, 4.0]) == 2
    assert best_fold([7.0]) == median_fold([7.0]) == 0
    assert best_fold([2.0, 1.0, 1.0]) == 1


@pytest.mark.parametrize("errors", [[], [1.0, float("nan")], [[1.0, 2.0]]])
@pytest.mark.parametrize("choose", [best_fold, median_fold])
def test_refuses_errors_that_cannot_be_ordered(choose: Callable[[npt.ArrayLike], int], errors: npt.ArrayLike) -> None:
    with pytest.raises(ValueError, match="give one finite number per fold"):
        choose(errors)


def test_refuses_tables_that_cannot_be_parted() -> None:
    table = make_manifest(pd.DataFrame({"path": ["a", "b"], "subject": ["1", "2"], "yaw": [0, 1]}))
    for protocol in (PROTOCOLS["by-sequence"], lambda faces, seed: video_folds(faces, seed, 2)):
        with pytest.raises(DataError, match=r"no column 'sequence'; add the video of each face, or use by_subject"):
            protocol(table, 0)
    with pytest.raises(DataError, match="no sequence in row 2"):
        video_folds(videos(["a", "b"], ["1", ""]), 0, 2)
    with pytest.raises(DataError, match=r"has 20 subject\(s\), 21 are needed"):
        video_folds(BIWI, 0, 21)
    with pytest.raises(DataError, match="no subject in row"):
        video_folds(videos(["a", "", "b"]), 0, 2)
    with pytest.raises(DataError, match=r"has 1 subject\(s\); a split needs at least two"):
        by_sequence(videos(["a", "a"]), 0)
    with pytest.raises(
        DataError, match="every subject has more than 1 videos, the size of the test set; choose another"
    ):
        by_sequence(videos(list("aabb")), 0, 0.1)
    with pytest.raises(DataError, match=r"has 1 subject\(s\), 2 are needed"):  # nobody left to validate
        video_folds(videos(["a", "b"]), 0, 2)


def test_refuses_arguments_out_of_range() -> None:
    with pytest.raises(ValueError, match="n_folds is 1"):
        video_folds(BIWI, 0, 1)
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"the fraction of the training subjects must be in \[0, 1\)"):
            by_subject(BIWI, 0, validation=share)
    for fraction in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            by_sequence(BIWI, 0, fraction)
    with pytest.raises(ValueError, match="by is 'row'; the choices are 'subject' and 'sequence'"):
        by_sequence(BIWI, 0, by="row")  # type: ignore[arg-type]
