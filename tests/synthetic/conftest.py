"""Fixtures: a complete set, a function that renders the same set, and a renderer."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deepgllim.errors import RenderError
from deepgllim.synthetic import Renderer, SceneSampler, render_set
from tests.synthetic.fakes import IMAGES, SAMPLER, FakeRenderer

Render = Callable[..., Path]


@pytest.fixture(scope="module")
def complete_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete set of 26 images. Read only."""
    folder = tmp_path_factory.mktemp("complete_set") / "set"
    assert render_set(SAMPLER, IMAGES, folder, processes=1, renderer=FakeRenderer) == folder / "manifest.csv"
    return folder


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def render(tmp_path: Path, log: Path) -> Render:
    """Render the same set into tmp_path/set in this process, and count its images in `log`."""

    def call(
        images: int = IMAGES, *, sampler: SceneSampler = SAMPLER, fail_after: int | None = None, **options: Any
    ) -> Path:
        renderer = partial(FakeRenderer, log, fail_after)
        given: dict[str, Any] = {"processes": 1, "renderer": renderer} | options
        return render_set(sampler, images, tmp_path / "set", **given)

    return call


@pytest.fixture(scope="session")
def renderer() -> Iterator[Renderer]:
    """A renderer; tests with it are skipped without EGL."""
    try:
        made = Renderer()
    except RenderError as error:
        pytest.skip(str(error))
    with made:
        yield made
