"""Names, messages, docstrings and pages use the standard terms of the field."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(
        path
        for folder in ("src", "experiments", "research", "benchmarks", "examples", "tools")
        for suffix in ("*.py", "*.md", "*.html", "*.js", "*.toml")
        for path in (ROOT / folder).rglob(suffix)
    ),
]
WORDS = {
    r"mend(s|ed|ing)?": "fix",
    r"foreign": "unsupported",
    r"tells|told|tell(?!\()": "reports, prints, indicates",
    r"errs?": "has an error of",
    r"anew": "again",
    r"likeliest": "most likely",
    r"honest(ly)?": "calibrated",
    r"swings?": "changes",
    r"whoever|whatever": "an exact term",
    r"retrace(d)?": "rts_step",
    r"largest step size": "peak learning rate",
    r"somebody else's": "of another user",
}
"""Patterns of words that are not used, with a replacement."""
NAMES = r"\b(class (Sums|Form|Trained|Silent|Kept|Entry)\b|figures\()|--whole\b"
"""Former names."""
HISTORY = {"CHANGELOG.md"}


@pytest.mark.parametrize("pattern", WORDS)
def test_standard_terms_are_used(pattern: str) -> None:
    found = occurrences(rf"(?<![\w`])({pattern})(?!\w)", re.IGNORECASE)
    assert not found, f"use {WORDS[pattern]!r} instead: {found[:5]}"


def test_former_names_are_not_used() -> None:
    assert not occurrences(NAMES)


def occurrences(pattern: str, flags: int = 0) -> list[str]:
    """Return "file:line: text" of each occurrence, without the changelog."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in FILES
        if path.name not in HISTORY
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(pattern, line, flags)
    ]
