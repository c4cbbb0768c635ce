"""Splits of a table: held-out subjects, folds of subjects, random fractions. The same seed gives the same split."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from deepgllim.data.manifest import Manifest
from deepgllim.errors import DataError


def split_by_subject(
    manifest: Manifest, fraction: float, seed: int, by: Literal["subject", "row"] = "subject"
) -> tuple[Manifest, Manifest]:
    """Split a table into training and held-out rows without common subjects.

    Args:
        manifest: the table.
        fraction: fraction of the subjects to hold out, in (0, 1), rounded; each side has at least one subject.
        seed: seed of the draw.
        by: "row" draws rows instead; a subject may then be on both sides.

    Returns:
        The training rows and the held-out rows.

    Raises:
        DataError: there is no subject column, a row has no subject, or there are fewer than two subjects (or rows).
        ValueError: `fraction` is outside (0, 1), or `by` is unknown.

    Example:
        >>> import pandas as pd
        >>> from deepgllim.data import make_manifest
        >>> table = pd.DataFrame({"path": list("abcd"), "subject": ["1", "1", "2", "2"], "yaw": [1, 2, 3, 4]})
        >>> train, held_out = split_by_subject(make_manifest(table), fraction=0.5, seed=0)
        >>> set(train.subjects) & set(held_out.subjects), len(train), len(held_out)
        (set(), 2, 2)
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; the held-out fraction must be strictly between 0 and 1")
    if by not in ("subject", "row"):
        raise ValueError(f"by is {by!r}; the choices are 'subject' and 'row'")
    rows = 'or split rows instead, with by="row"'
    units = known_subjects(manifest, 2, rows) if by == "subject" else np.arange(len(manifest))
    names = np.unique(units)
    if len(names) < 2:
        raise DataError("the table has one row; a split needs at least two")
    count = int(np.clip(round(fraction * len(names)), 1, len(names) - 1))
    held_out = np.isin(units, np.random.default_rng(seed).permutation(names)[:count])
    return manifest.subset(~held_out), manifest.subset(held_out)


def select_subjects(manifest: Manifest, subjects: Sequence[str]) -> Manifest:
    """Return the rows of some subjects.

    Raises:
        DataError: the table does not have one of the subjects (the message lists all of those), no subject is given,
            or there is no subject column.
    """
    known = known_subjects(manifest, 1)
    wanted = [str(subject) for subject in subjects]
    unknown = [subject for subject in wanted if subject not in set(known)]
    if unknown or not wanted:
        named = f"unknown subjects {', '.join(unknown)}" if unknown else "no subject is given"
        raise DataError(f"{named}; the table has {', '.join(sorted(set(known)))}")
    return manifest.subset(np.isin(known, wanted))


def subject_folds(manifest: Manifest, n_folds: int, seed: int) -> list[tuple[Manifest, Manifest]]:
    """Return the folds of a cross-validation over subjects.

    Args:
        manifest: the table.
        n_folds: number of folds, between 2 and the number of subjects. Their numbers of subjects differ by at most one.
        seed: seed of the draw.

    Returns:
        Pairs (train, test); each subject is in exactly one test set.

    Raises:
        DataError: there is no subject column, a row has no subject, or there are fewer subjects than folds.
        ValueError: `n_folds` is less than two.
    """
    if n_folds < 2:
        raise ValueError(f"n_folds is {n_folds}; cross-validation needs at least two")
    subjects = known_subjects(manifest, n_folds)
    folds = np.array_split(np.random.default_rng(seed).permutation(np.unique(subjects)), n_folds)
    masks = [np.isin(subjects, fold) for fold in folds]
    return [(manifest.subset(~test), manifest.subset(test)) for test in masks]


def subsample(manifest: Manifest, fraction: float, seed: int) -> Manifest:
    """Return a random fraction of the rows of each subject, in their order.

    For one seed, the rows of a smaller fraction are a subset of those of a larger one.

    Args:
        manifest: the table; rows without a subject count as one subject.
        fraction: in (0, 1], rounded within each subject, of which at least one row is kept.
        seed: seed of the draw.

    Raises:
        ValueError: `fraction` is outside (0, 1].

    Example:
        >>> import pandas as pd
        >>> from deepgllim.data import make_manifest
        >>> len(subsample(make_manifest(pd.DataFrame({"path": list("abcde"), "yaw": range(5)})), 0.4, seed=0))
        2
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction}; it must be in (0, 1]")
    subjects = np.array(["" if subject is None else subject for subject in manifest.subjects], dtype=object)
    generator = np.random.default_rng(seed)
    kept = np.zeros(len(manifest), dtype=bool)
    for subject in np.unique(subjects):
        rows = generator.permutation(np.flatnonzero(subjects == subject))
        kept[rows[: max(1, round(fraction * len(rows)))]] = True
    return manifest.subset(kept)


def known_subjects(manifest: Manifest, needed: int, otherwise: str = "") -> npt.NDArray[np.object_]:
    """Return the subject of each row, (N,).

    Args:
        manifest: the table.
        needed: the smallest number of different subjects.
        otherwise: an alternative of the caller, the end of the error message: "or …".

    Raises:
        DataError: a subject is unknown, or there are fewer than needed.
    """
    subjects = manifest.subjects
    blank = np.flatnonzero(subjects == None)  # noqa: E711 (elementwise)
    end = f", {otherwise}" if otherwise else ""
    if len(blank):
        lack = "no column 'subject'" if "subject" not in manifest.frame else f"no subject in row {blank[0] + 1}"
        raise DataError(
            f"the table has {lack}, so faces of one person could fall on both sides; "
            f"add the person's name in a column 'subject'{end}"
        )
    count = len(set(subjects))
    if count < needed:
        raise DataError(f"the table has {count} subject(s), {needed} are needed; add faces of other people{end}")
    return subjects
