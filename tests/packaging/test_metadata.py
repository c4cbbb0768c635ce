"""The metadata of the project agree with each other and with the files they name."""

import re
import tomllib
from pathlib import Path

import deepgllim

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def read(name: str) -> str:
    """Return the text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_package_is_typed() -> None:
    assert "Typing :: Typed" in PROJECT["classifiers"]
    assert (ROOT / "src" / "deepgllim" / "py.typed").exists()


def test_the_version_is_the_same_everywhere() -> None:
    assert re.findall(r"^version: (.+)$", read("CITATION.cff"), flags=re.MULTILINE) == [deepgllim.__version__]
    assert re.findall(r"^## \[([\d.]+)\]", read("CHANGELOG.md"), flags=re.MULTILINE)[0] == deepgllim.__version__


def test_urls_are_those_of_one_repository() -> None:
    assert {"Homepage", "Documentation", "Source", "Issues", "Changelog"} <= set(PROJECT["urls"])
    repository = PROJECT["urls"]["Source"]
    assert all(url.startswith(repository) for url in PROJECT["urls"].values())
    assert f"repository-code: {repository}\n" in read("CITATION.cff")
    assert f"  repository: {repository}\n" in read("mkdocs.yml")


def test_training_contains_the_mixture_and_development_contains_all_extras() -> None:
    assert "deepgllim[mixture]" in EXTRAS["train"]
    (own,) = (requirement for requirement in EXTRAS["dev"] if requirement.startswith("deepgllim["))
    assert set(own.removeprefix("deepgllim[").rstrip("]").split(",")) == set(EXTRAS) - {"dev", "mixture"}


def test_the_readme_names_existing_extras() -> None:
    for extras in re.findall(r"deepgllim\[([\w,]+)\]", read("README.md") + read("docs/index.md")):
        assert set(extras.split(",")) <= set(EXTRAS)


def test_the_light_dependencies_are_light() -> None:
    names = {re.split(r"[><=;\[ ]", requirement)[0] for requirement in PROJECT["dependencies"]}
    assert names == {"numpy", "pillow", "onnxruntime", "cyclopts", "rich"}


def test_all_direct_dependencies_are_pinned_for_development() -> None:
    pinned = {line.split("==")[0].lower() for line in read("constraints.txt").splitlines() if "==" in line}
    for requirement in [*PROJECT["dependencies"], *(each for extra in EXTRAS.values() for each in extra)]:
        name = re.split(r"[><=;\[ ]", requirement)[0].lower()
        assert name in pinned | {"deepgllim"}, f"{name} is not in constraints.txt"


def test_pre_commit_has_the_pinned_version_of_ruff() -> None:
    (pinned,) = re.findall(r"^ruff==(.+)$", read("constraints.txt"), flags=re.MULTILINE)
    assert f"rev: v{pinned} " in read(".pre-commit-config.yaml")


def test_the_readme_is_short() -> None:
    assert len(read("README.md").split()) <= 600
