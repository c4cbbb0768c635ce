"""Evaluation protocols of Biwi and of any table of videos: splits into training, validation and test sets.

A video is a sequence of a subject. The sets of a split have no common subjects, except with
`by_sequence(by="sequence")`. The same seed gives the same split.
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
"""Fraction of the training subjects that form the validation set."""


class Split(NamedTuple):
    """The training, validation and test sets of a protocol.

    Attributes:
        train: faces to train on; None if the protocol has no training.
        validation: faces of other subjects, to choose options on; None if none are held out.
        test: faces to evaluate on.
    """

    train: Manifest | None
    validation: Manifest | None
    test: Manifest


def video_folds(manifest: Manifest, seed: int, n_folds: int = 8, validation: float = VALIDATION) -> list[Split]:
    """Return folds with equal numbers of videos: on Biwi 8 folds of 3 test videos and 21 others, as in the paper.

    All videos of a subject are in one fold. Subjects are assigned in the order of their numbers of videos, most first,
    each to a random one of the folds with the fewest videos. On Biwi, the four subjects with two videos are in
    different folds, and each fold has exactly three videos. In other tables, folds may differ in size.

    Args:
        manifest: the table, with subjects and sequences.
        seed: seed of the draw.
        n_folds: between 2 and the number of subjects.
        validation: fraction of the training subjects of each fold to hold out, in [0, 1), rounded; 0 for none.

    Returns:
        n_folds splits; each face is in one test set.

    Raises:
        DataError: there are no subjects or sequences, fewer subjects than folds, or too few for validation.
        ValueError: `n_folds` is less than two, or `validation` is outside [0, 1).

    Example:
        >>> import pandas as pd
        >>> from deepgllim.data import make_manifest
        >>> rows = [{"path": f"{s}.jpg", "sequence": s, "subject": s.lower(), "yaw": 0} for s in "aAbBcdef"]
        >>> folds = video_folds(make_manifest(pd.DataFrame(rows)), seed=0, n_folds=4, validation=0.25)
        >>> [len(fold.test) for fold in folds], len(folds[0].train), len(folds[0].validation)
        ([2, 2, 2, 2], 5, 1)
    """
    if n_folds < 2:
        raise ValueError(f"n_folds is {n_folds}; cross-validation needs at least two")
    subjects = known_subjects(manifest, n_folds)
    counts = _video_counts(manifest)
    rng = np.random.default_rng(seed)
    fold_of, sizes = {}, np.zeros(n_folds, dtype=int)
    for subject in sorted(rng.permutation(np.unique(subjects)), key=lambda who: -counts[who]):
        fold_of[subject] = int(rng.choice(np.flatnonzero(sizes == sizes.min())))
        sizes[fold_of[subject]] += counts[subject]
    folds = np.array([fold_of[subject] for subject in subjects])
    pairs = [(manifest.subset(folds != fold), manifest.subset(folds == fold)) for fold in range(n_folds)]
    return [_with_validation(train, test, validation, seed) for train, test in pairs]


def by_subject(manifest: Manifest, seed: int, n_folds: int = 5, validation: float = VALIDATION) -> list[Split]:
    """Return folds with equal numbers of subjects: `subject_folds` with validation sets.

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
    """Return one split by videos, 70 % for training and 30 % for testing; on Biwi 16 and 8, as in the literature.

    Args:
        manifest: the table, with subjects and sequences.
        seed: seed of the draw.
        fraction: fraction of the videos to test on, in (0, 1), rounded up.
        validation: as for `video_folds`.
        by: "subject" keeps the videos of a subject together: subjects in random order are added to the test set while
            their videos fit. "sequence" draws videos, so that a subject may be in both sets, for comparison with papers
            that do so.

    Returns:
        A list of one split.

    Raises:
        DataError: there are no subjects or sequences, or too few for a test or a validation set.
        ValueError: a fraction is outside its range, or `by` is unknown.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; the test fraction must be strictly between 0 and 1")
    if by not in ("subject", "sequence"):
        raise ValueError(f"by is {by!r}; the choices are 'subject' and 'sequence'")
    subjects, counts = known_subjects(manifest, 1), _video_counts(manifest)
    units = subjects if by == "subject" else _video_names(manifest)
    weights = counts if by == "subject" else dict.fromkeys(units, 1)
    if len(weights) < 2:
        raise DataError(f"the table has {len(weights)} {by}(s); a split needs at least two")
    wanted = min(int(np.ceil(round(fraction * sum(weights.values()), 9))), sum(weights.values()) - 1)
    drawn = np.random.default_rng(seed).permutation(np.unique(units))
    test = np.isin(units, _fitting(drawn, weights, wanted))
    if not test.any():
        raise DataError(f"every {by} has more than the {wanted} test videos; choose a larger fraction, or another by")
    return [_with_validation(manifest.subset(~test), manifest.subset(test), validation, seed)]


def cross_dataset(manifest: Manifest, seed: int = 0) -> list[Split]:
    """Return one split with all faces in the test set, for models trained on other data; `seed` has no effect."""
    return [Split(None, None, manifest)]


def best_fold(errors: Sequence[float] | npt.NDArray[np.float64]) -> int:
    """Return the index of the fold with the smallest error, the first of equal ones.

    The paper reports this fold for methods on HOG features.

    Args:
        errors: the errors of the folds, (F,), finite.

    Raises:
        ValueError: the array is empty, has another shape, or is not finite.

    Example:
        >>> best_fold([31.0, 24.5, 40.2, 28.8]), median_fold([31.0, 24.5, 40.2, 28.8])
        (1, 0)
    """
    return int(_ranked(errors)[0])


def median_fold(errors: Sequence[float] | npt.NDArray[np.float64]) -> int:
    """Return the index of the fold with the median error; of an even number, the worse of the middle two.

    The paper reports this fold for networks. Arguments and errors are those of `best_fold`.
    """
    order = _ranked(errors)
    return int(order[len(order) // 2])


PROTOCOLS: dict[str, Callable[[Manifest, int], list[Split]]] = {
    "video-folds": video_folds,
    "by-subject": by_subject,
    "by-sequence": by_sequence,
    "cross-data-set": cross_dataset,
}
"""Protocols by name. Each is a function of the table and the seed."""


def _ranked(errors: Sequence[float] | npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    values = np.asarray(errors, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"errors are {errors!r}; give one finite number per fold, such as its mean squared error")
    return np.argsort(values, kind="stable")


def _with_validation(train: Manifest, test: Manifest, share: float, seed: int) -> Split:
    if not 0 <= share < 1:
        raise ValueError(f"validation is {share}; the fraction of the training subjects must be in [0, 1)")
    if share == 0:
        return Split(train, None, test)
    rest, held_out = split_by_subject(train, share, seed)
    return Split(rest, held_out, test)


def _video_names(manifest: Manifest) -> Names:
    """Return the subject and the sequence of each row as one text, (N,), since sequence numbers may be per subject."""
    if "sequence" not in manifest.frame:
        raise DataError("the table has no column 'sequence'; add the video of each face, or use by_subject")
    sequences = manifest.frame["sequence"].astype(str).to_numpy()
    if (sequences == "").any():
        row = int(np.flatnonzero(sequences == "")[0]) + 1
        raise DataError(f"the table has no sequence in row {row}; add the video of each face, or use by_subject")
    return np.array([f"{who}\n{video}" for who, video in zip(manifest.subjects, sequences, strict=True)], dtype=object)


def _video_counts(manifest: Manifest) -> dict[str, int]:
    """Return the number of videos of each subject."""
    videos = dict(zip(_video_names(manifest), manifest.subjects, strict=True))
    return Counter(videos.values())


def _fitting(units: Names, weights: dict[str, int], wanted: int) -> list[str]:
    """Take units in their order while the sum of their weights is at most `wanted`."""
    taken: list[str] = []
    for unit in units:
        if weights[unit] <= wanted:
            taken.append(unit)
            wanted -= weights[unit]
    return taken
