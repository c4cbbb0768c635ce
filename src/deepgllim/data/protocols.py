"""Evaluation protocols of Biwi, and of any table of videos: which faces train, which choose, which are judged.

A video is a sequence of a subject. Nobody is on two sides of a split, except where `by_sequence` is asked to repeat
what papers do. The same seed gives the same parts.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.data.manifest import Manifest
from deepgllim.data.splits import known_subjects, split_by_subject, subject_folds
from deepgllim.errors import DataError

Names = npt.NDArray[np.object_]

VALIDATION = 0.2
"""Share of the training subjects that validate."""


class Split(NamedTuple):
    """One split.

    Attributes:
        train: faces to train on; None where nothing is trained.
        validation: faces to choose on, of other people than `train`; None where none are held out.
        test: faces to judge on.
    """

    train: Manifest | None
    validation: Manifest | None
    test: Manifest


def video_folds(manifest: Manifest, seed: int, n_folds: int = 8, validation: float = VALIDATION) -> list[Split]:
    """The paper's protocol: folds of equally many videos, drawn at random; on Biwi 8 folds, 3 videos test, 21 train.

    A subject's videos stay together: those who have most videos are placed first, each subject into a fold that has
    fewest videos so far, ties drawn at random. On Biwi the four people with two videos come into four folds, and every
    fold gets three videos exactly. Where one subject has many, or videos are missing, folds differ in size.

    Args:
        manifest: the table, with subjects and sequences.
        seed: of the draw.
        n_folds: between 2 and the number of subjects.
        validation: share of each fold's training subjects, in (0, 1), rounded, that are held out; 0: none.

    Returns:
        n_folds splits; each face is tested once.

    Raises:
        DataError: no subjects or sequences, fewer subjects than folds, or too few to hold some out for validation.
        ValueError: fewer than two folds, or a share outside [0, 1).

    Example:
        >>> import pandas as pd
        >>> from deepgllim.data import make_manifest
        >>> rows = [{"path": f"{s}.jpg", "sequence": s, "subject": s.lower(), "yaw": 0} for s in "aAbBcdef"]
        >>> folds = video_folds(make_manifest(pd.DataFrame(rows)), seed=0, n_folds=4, validation=0.25)
        >>> [len(fold.test) for fold in folds], len(folds[0].train), len(folds[0].validation)
        ([2, 2, 2, 2], 5, 1)
    """
    if n_folds < 2:
        raise ValueError(f"n_folds is {n_folds}; cross-validation needs two or more")
    subjects = known_subjects(manifest, n_folds)
    counts = _videos(manifest)
    rng = np.random.default_rng(seed)
    fold_of, sizes = {}, np.zeros(n_folds, dtype=int)
    for subject in sorted(rng.permutation(np.unique(subjects)), key=lambda who: -counts[who]):
        fold_of[subject] = int(rng.choice(np.flatnonzero(sizes == sizes.min())))
        sizes[fold_of[subject]] += counts[subject]
    folds = np.array([fold_of[subject] for subject in subjects])
    pairs = [(manifest.subset(folds != fold), manifest.subset(folds == fold)) for fold in range(n_folds)]
    return [_with_validation(train, test, validation, seed) for train, test in pairs]


def by_subject(manifest: Manifest, seed: int, n_folds: int = 5, validation: float = VALIDATION) -> list[Split]:
    """Cross-validation over subjects, whatever their number of videos: `subject_folds` with validation people.

    Args:
        manifest, seed, n_folds, validation: as for `video_folds`; sequences are not needed.

    Raises:
        DataError, ValueError: as `video_folds`.
    """
    return [_with_validation(train, test, validation, seed) for train, test in subject_folds(manifest, n_folds, seed)]


def by_sequence(
    manifest: Manifest,
    seed: int,
    fraction: float = 0.3,
    validation: float = VALIDATION,
    by: Literal["subject", "sequence"] = "subject",
) -> list[Split]:
    """One split by videos, 70 % to train and 30 % to test; on Biwi 16 and 8, as in the literature.

    Args:
        manifest: the table, with subjects and sequences.
        seed: of the draw.
        fraction: of the videos that test, in (0, 1), rounded up.
        validation: as for `video_folds`.
        by: "subject" keeps a subject's videos together: subjects drawn at random are taken while their videos fit.
            "sequence" draws videos, so that a person may train and test: for comparison with papers that do so.

    Returns:
        A single split.

    Raises:
        DataError: no subjects or sequences, or too few for a test or a validation part.
        ValueError: a fraction outside its range, or another `by`.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; the part to test on lies strictly between 0 and 1")
    if by not in ("subject", "sequence"):
        raise ValueError(f"by is {by!r}; the choices are 'subject' and 'sequence'")
    subjects, counts = known_subjects(manifest, 1), _videos(manifest)
    units = subjects if by == "subject" else _video_names(manifest)
    weights = counts if by == "subject" else dict.fromkeys(units, 1)
    if len(weights) < 2:
        raise DataError(f"the table has {len(weights)} {by}(s); a split needs two or more")
    wanted = min(int(np.ceil(round(fraction * sum(weights.values()), 9))), sum(weights.values()) - 1)
    drawn = np.random.default_rng(seed).permutation(np.unique(units))
    test = np.isin(units, _fitting(drawn, weights, wanted))
    if not test.any():
        raise DataError(f"every {by} has over {wanted} videos, the part to test on; choose another fraction or by")
    return [_with_validation(manifest.subset(~test), manifest.subset(test), validation, seed)]


def cross_dataset(manifest: Manifest, seed: int = 0) -> list[Split]:
    """All faces test a model that was trained on other data; the seed is of no effect."""
    return [Split(None, None, manifest)]


def best_fold(errors: Sequence[float] | npt.NDArray[np.float64]) -> int:
    """The fold of the smallest error; of equal ones the first. The paper's choice for methods on HOG features.

    Args:
        errors: (F,), of each fold, finite.

    Raises:
        ValueError: no error, another shape, or one that is not finite.

    Example:
        >>> best_fold([31.0, 24.5, 40.2, 28.8]), median_fold([31.0, 24.5, 40.2, 28.8])
        (1, 0)
    """
    return int(_ranked(errors)[0])


def median_fold(errors: Sequence[float] | npt.NDArray[np.float64]) -> int:
    """The fold of the median error; for an even number of folds the worse of the middle two. The paper's for networks.

    Args, Raises: as `best_fold`.
    """
    order = _ranked(errors)
    return int(order[len(order) // 2])


PROTOCOLS: dict[str, Callable[[Manifest, int], list[Split]]] = {
    "video-folds": video_folds,
    "by-subject": by_subject,
    "by-sequence": by_sequence,
    "cross-data-set": cross_dataset,
}
"""Protocols by name, functions of the table and the seed."""


def _ranked(errors: Sequence[float] | npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    values = np.asarray(errors, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"errors are {errors!r}; give one finite number a fold, such as its mean squared error")
    return np.argsort(values, kind="stable")


def _with_validation(train: Manifest, test: Manifest, share: float, seed: int) -> Split:
    if not 0 <= share < 1:
        raise ValueError(f"validation is {share}; the share of the training subjects lies in [0, 1)")
    if share == 0:
        return Split(train, None, test)
    rest, held_out = split_by_subject(train, share, seed)
    return Split(rest, held_out, test)


def _video_names(manifest: Manifest) -> Names:
    """(N,): subject and sequence in one, since data sets may number the sequences of each subject from 1."""
    if "sequence" not in manifest.frame:
        raise DataError("the table has no column 'sequence'; add which video each face is of, or use by_subject")
    sequences = manifest.frame["sequence"].astype(str).to_numpy()
    if (sequences == "").any():
        row = int(np.flatnonzero(sequences == "")[0]) + 1
        raise DataError(f"the table has no sequence in row {row}; add which video each face is of, or use by_subject")
    return np.array([f"{who}\n{video}" for who, video in zip(manifest.subjects, sequences, strict=True)], dtype=object)


def _videos(manifest: Manifest) -> dict[str, int]:
    """The number of videos of each subject."""
    videos = dict(zip(_video_names(manifest), manifest.subjects, strict=True))
    return Counter(videos.values())


def _fitting(units: Names, weights: dict[str, int], wanted: int) -> list[str]:
    """Of `units`, in their order, those that fit into what is still wanted."""
    taken: list[str] = []
    for unit in units:
        if weights[unit] <= wanted:
            taken.append(unit)
            wanted -= weights[unit]
    return taken
