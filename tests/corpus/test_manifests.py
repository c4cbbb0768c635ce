"""Sixty valid and malicious tables of faces: their contents and defects, or an error of one line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deepgllim.data import check_data, load_data
from tests.corpus.manifests import BOXES, CHANGED, COLUMNS, FORMS, LABELS, MANIFESTS, PATHS, Holds, make_pictures
from tests.corpus.outcomes import Refused, both_kinds, refuses


def test_there_are_sixty_of_both_kinds() -> None:
    assert len(MANIFESTS) == sum(map(len, (FORMS, COLUMNS, LABELS, BOXES, PATHS))) >= 60
    assert both_kinds((case.expected for case in MANIFESTS.values()), 25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the pictures."""
    place = tmp_path_factory.mktemp("tables") / "here"
    place.mkdir()
    make_pictures(place)
    return place


@pytest.fixture
def table(request: pytest.FixtureRequest, folder: Path) -> Iterator[Path]:
    """The path of a case's table, removed at the end."""
    path = folder / MANIFESTS[request.getfixturevalue("name")].file
    yield path
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest(name: str, table: Path) -> None:
    make, expected, _ = MANIFESTS[name]
    make(table)
    if isinstance(expected, Refused):
        refuses(lambda: check_data(f"manifest:{table}", workers=1), expected)
        refuses(lambda: load_data(f"manifest:{table}"), expected)
    else:
        check(table, expected)


def check(path: Path, expected: Holds) -> None:
    report = check_data(f"manifest:{path}", workers=1)
    assert (len(report.faces), len(report.broken)) == (expected.faces, expected.broken), report.broken
    if expected.broken:
        assert expected.cause in report.broken[0][1]
        assert "\n" not in report.broken[0][1]
    else:
        faces = load_data(f"manifest:{path}")
        assert faces.target_values[CHANGED, faces.targets.index("yaw")] == expected.yaw
        assert faces.subjects[CHANGED] == expected.subject
