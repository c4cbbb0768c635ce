"""Hooks of the documentation site: links to files outside `docs`, the changelog page, and forms of docstrings.

`mkdocs.yml` names this file. A link from a page to a file of the repository that is not part of the site becomes a link
to the repository; a link to a file that does not exist is a warning, which `mkdocs build --strict` turns into an error.
"""

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)\s#]+)(#[^)\s]*)?(?=\))")
SECTION = re.compile(r"^(?:Args|Attributes|Raises):\n(?:(?: {4}.*)?(?:\n|\Z))+", flags=re.MULTILINE)
ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)+):(.*(?:\n {5,}.*)*)", flags=re.MULTILINE)
GENERATED = {"CHANGELOG.md": "changelog.md"}
"""Pages of the site that are made from files outside `docs`."""

log = logging.getLogger("mkdocs.hooks.site")


class DocstringForms(griffe.Extension):
    """Two forms of our docstrings as Griffe expects them: `Example:`, and one entry for several names."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = one_name_an_entry(
                re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            )


def one_name_an_entry(docstring: str) -> str:
    """Repeat each entry `a, b: text` of the sections of arguments, attributes and errors for every name.

    Example:
        >>> one_name_an_entry("Args:\\n    a, b: text\\n        more.")
        'Args:\\n    a: text\\n        more.\\n    b: text\\n        more.'
    """
    return SECTION.sub(lambda section: ENTRY.sub(_entries, section[0]), docstring)


def _entries(match: re.Match[str]) -> str:
    return "\n".join(f"    {name.strip()}:{match[2]}" for name in match[1].split(","))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages made from files outside `docs`."""
    for source, page in GENERATED.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of one page that lead outside `docs`."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))
    repository = config.extra["repository"]
    return LINK.sub(lambda match: _rewrite(match, folder, repository), markdown)


def _rewrite(match: re.Match[str], folder: str, repository: str) -> str:
    target, anchor = match[1], match[2] or ""
    path = posixpath.normpath(posixpath.join(folder, target))
    if path.startswith("docs/"):
        return match[0]
    if path in GENERATED:
        return posixpath.relpath(posixpath.join("docs", GENERATED[path]), folder) + anchor
    if not (ROOT / path).exists():
        log.warning("%s: link to %s, which does not exist", folder, target)
    kind = "tree" if (ROOT / path).is_dir() else "blob"
    return f"{repository}/{kind}/main/{path}{anchor}"
