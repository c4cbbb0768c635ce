"""The documentation runs and leads somewhere: Python blocks, relative links, commands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page for pattern in ("*.md", "docs/*.md", "experiments/**/*.md", "research/**/*.md") for page in ROOT.glob(pattern)
)
IDENTITIES = [str(page.relative_to(ROOT)) for page in PAGES]


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub links to them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=IDENTITIES)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=IDENTITIES)
def test_python_blocks_run(page: Path) -> None:
    """Blocks fenced as `python` run as they stand; those fenced as `py` need files of the reader's."""
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE):
        exec(compile(block, str(page), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=IDENTITIES)
def test_commands_exist(page: Path) -> None:
    from deepgllim.cli.app import COMMANDS

    text = page.read_text(encoding="utf-8")
    for words in re.findall(r"^(?:\$ )?deepgllim (\w+(?: \w+)?)", text, flags=re.MULTILINE):
        assert {words, words.split()[0]} & set(COMMANDS), f"{page.name} names deepgllim {words}"
