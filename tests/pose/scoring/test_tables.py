"""Test Parquet files with pictures."""

import io

import pyarrow
import pytest

from deepgllim.errors import DataError
from deepgllim.pose.scoring import locations
from deepgllim.pose.scoring.tables import find_columns, read_images
from tests.pose.scoring.inputs import picture, table


def test_pictures_with_keys_and_without() -> None:
    contents = [picture(1), None, picture(3)]
    found = list(read_images(io.BytesIO(table({"key": ["a", "b", None], "image": contents})), None))
    assert [entry.key for entry in found] == ["a", "b", "2"]
    assert [entry.content for entry in found] == contents
    assert "no picture" in (found[1].problem or "")


def test_structures_of_hugging_face() -> None:
    images = [{"bytes": picture(1), "path": "x.png"}, {"bytes": None, "path": "y.png"}]
    found = list(read_images(io.BytesIO(table({"label": [0, 1], "image": images})), None))
    assert [entry.content for entry in found] == [picture(1), None]


def test_the_column_can_be_named() -> None:
    content = table({"face": [picture(1)], "image": [picture(2)], "text": ["t"]})
    assert next(read_images(io.BytesIO(content), "face")).content == picture(1)
    for name in ("text", "none"):
        with pytest.raises(DataError, match=f"no column '{name}' of bytes"):
            next(read_images(io.BytesIO(content), name))
    with pytest.raises(DataError, match="--image-column"):
        next(read_images(io.BytesIO(table({"text": ["t"]})), None))


def test_large_binaries_and_large_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = pyarrow.schema([("jpg", pyarrow.large_binary()), ("__key__", pyarrow.large_string())])
    assert find_columns(schema, None) == ("jpg", "__key__")
    monkeypatch.setattr(locations, "MAX_BYTES", 10)
    (entry,) = read_images(io.BytesIO(table({"bytes": [bytes(11)]})), None)
    assert entry.content is None
    assert "over 0 MiB" in (entry.problem or "")
