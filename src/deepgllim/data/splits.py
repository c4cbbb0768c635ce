"""Parts of a table: subjects held out, folds of subjects, random fractions. The same seed gives the same parts."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from deepgllim.data.manifest import Manifest
from deepgllim.errors import DataError


def split_by_subject(
    manifest: Manifest, fraction: float, seed: int, by: Literal["subject", "row"] = "subject"
) -> tuple[Manifest, Manifest]:
    """(train, held out), no subject on both sides.

    Args:
        manifest: the table.
        fraction: of the subjects to hold out, in (0, 1), rounded; at least one subject falls on each side.
        seed: of the draw.
        by: "row" draws rows instead: the same face may then be on both sides.

    Raises:
        DataError: no subject column, a row without subject, or fewer than two subjects (or rows).
        ValueError: fraction outside (0, 1), or another `by`.

    Example:
        >>> import pandas as pd
        >>> from deepgllim.data import make_manifest
        >>> table = pd.DataFrame({"path": list("abcd"), "subject": ["1", "1", "2", "2"], "yaw": [1, 2, 3, 4]})
        >>> train, held_out = split_by_subject(make_manifest(table), fraction=0.5, seed=0)
        >>> set(train.subjects) & set(held_out.subjects), len(train), len(held_out)
        (set(), 2, 2)
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; the part to hold out lies strictly between 0 and 1")
    if by not in ("subject", "row"):
        raise ValueError(f"by is {by!r}; the choices are 'subject' and 'row'")
    rows = 'or split rows instead, with by="row"'
    units = known_subjects(manifest, 2, rows) if by == "subject" else np.arange(len(manifest))
    names = np.unique(units)
    if len(names) < 2:
        raise DataError("the table has one row; a split needs two or more")
    count = int(np.clip(round(fraction * len(names)), 1, len(names) - 1))
    held_out = np.isin(units, np.random.default_rng(seed).permutation(names)[:count])
    return manifest.subset(~held_out), manifest.subset(held_out)


def select_subjects(manifest: Manifest, subjects: Sequence[str]) -> Manifest:
    """The rows of the subjects named.

    Raises:
        DataError: a name that the table has not (all such are listed), no name at all, or no subject column.
    """
    known = known_subjects(manifest, 1)
    wanted = [str(subject) for subject in subjects]
    unknown = [subject for subject in wanted if subject not in set(known)]
    if unknown or not wanted:
        named = f"unknown subjects {', '.join(unknown)}" if unknown else "no subject is named"
        raise DataError(f"{named}; the table has {', '.join(sorted(set(known)))}")
    return manifest.subset(np.isin(known, wanted))


def subject_folds(manifest: Manifest, n_folds: int, seed: int) -> list[tuple[Manifest, Manifest]]:
    """Cross-validation: n_folds pairs (train, test); each subject is in exactly one test part.

    Args:
        manifest: the table.
        n_folds: between 2 and the number of subjects. The parts' numbers of subjects differ by at most one.
        seed: of the draw.

    Raises:
        DataError: no subject column, a row without subject, or fewer subjects than folds.
        ValueError: fewer than two folds.
    """
    if n_folds < 2:
        raise ValueError(f"n_folds is {n_folds}; cross-validation needs two or more")
    subjects = known_subjects(manifest, n_folds)
    parts = np.array_split(np.random.default_rng(seed).permutation(np.unique(subjects)), n_folds)
    masks = [np.isin(subjects, part) for part in parts]
    return [(manifest.subset(~test), manifest.subset(test)) for test in masks]


def subsample(manifest: Manifest, fraction: float, seed: int) -> Manifest:
    """A random fraction of the rows of every subject, in their order. For one seed, 20 % is a part of 40 %.

    Args:
        manifest: the table; rows without subject count as one subject's.
        fraction: in (0, 1], rounded within each subject; at least one row of each stays.
        seed: of the draw.

    Raises:
        ValueError: fraction outside (0, 1].

    Example:
        >>> import pandas as pd
        >>> from deepgllim.data import make_manifest
        >>> len(subsample(make_manifest(pd.DataFrame({"path": list("abcde"), "yaw": range(5)})), 0.4, seed=0))
        2
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction}; the part to keep lies in (0, 1]")
    subjects = np.array(["" if subject is None else subject for subject in manifest.subjects], dtype=object)
    generator = np.random.default_rng(seed)
    kept = np.zeros(len(manifest), dtype=bool)
    for subject in np.unique(subjects):
        rows = generator.permutation(np.flatnonzero(subjects == subject))
        kept[rows[: max(1, round(fraction * len(rows)))]] = True
    return manifest.subset(kept)


def known_subjects(manifest: Manifest, needed: int, otherwise: str = "") -> npt.NDArray[np.object_]:
    """Every row's subject.

    Args:
        manifest: the table.
        needed: how many different ones.
        otherwise: what the caller can do without them, the end of a message: "or …".

    Raises:
        DataError: some are unknown, or there are fewer than needed.
    """
    subjects = manifest.subjects
    blank = np.flatnonzero(subjects == None)  # noqa: E711 (elementwise)
    end = f", {otherwise}" if otherwise else ""
    if len(blank):
        lack = "no column 'subject'" if "subject" not in manifest.frame else f"no subject in row {blank[0] + 1}"
        raise DataError(
            f"the table has {lack}, so faces of one person could fall on both sides; "
            f"add who is seen, as a column 'subject'{end}"
        )
    count = len(set(subjects))
    if count < needed:
        raise DataError(f"the table has {count} subject(s), {needed} are needed; add faces of other people{end}")
    return subjects
