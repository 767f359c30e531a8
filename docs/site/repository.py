"""The repository's pages on the site: README, CONTRIBUTING and whatever files outside of docs/ the pages link to.

A hook of MkDocs. Pages are written for the repository, with links relative to the file; here they keep their place
without the leading docs/, and code becomes a page. So every link works in both places, or the strict build fails.
"""

import os
import re
from pathlib import Path
from posixpath import dirname, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ALWAYS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")  # in the navigation
CODE = {".py": "python", ".yaml": "yaml", ".cff": "yaml"}  # shown as pages
LINK = re.compile(r"(\]\(|src=\"|srcset=\")(?![a-z]+:|#|/)([^)\"#\s]+)")
FENCED = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
LIST_ITEM = re.compile(r"(?:[-*]|\d+\.) ")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of docs/, and those outside that they link to."""
    pages = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    for path in linked([*pages, *(ROOT / name for name in ALWAYS)]):
        if path.suffix in CODE:
            files.append(File.generated(config, place(path), content=code_page(path)))
        else:
            files.append(File.generated(config, place(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """The page with links that lead to the places on the site, in the site's dialect of Markdown."""
    if page.file.abs_src_path is None:
        return markdown  # of a page of code
    if page.file.src_uri.startswith("benchmarks/results/"):
        page.meta["search"] = {"exclude": True}  # the leaderboard is found instead
    parts = FENCED.split(markdown)  # text, code, text, ...
    parts[::2] = [moved_links(text, Path(page.file.abs_src_path), page.file.src_uri) for text in parts[::2]]
    return spaced("".join(parts)).replace("<details>", "<details markdown>")


def moved_links(text: str, source: Path, uri: str) -> str:
    """Text of the file `source`, to be shown at `uri`."""

    def moved(match: re.Match[str]) -> str:
        return match[1] + relpath(place((source.parent / match[2]).resolve()), dirname(uri) or ".")

    return LINK.sub(moved, text)


def spaced(markdown: str) -> str:
    """With a blank line before each list, which GitHub does not need.

    Example:
        >>> spaced("Two:\\n- a\\n  b\\n- c\\n")
        'Two:\\n\\n- a\\n  b\\n- c\\n'
    """
    lines: list[str] = []
    in_code = in_list = False
    for line in markdown.splitlines(keepends=True):
        item = bool(LIST_ITEM.match(line)) and not in_code
        if item and not in_list and lines and lines[-1].strip():
            lines.append("\n")
        in_code ^= line.lstrip().startswith("```")
        in_list = item or (in_list and bool(line.strip()))
        lines.append(line)
    return "".join(lines)


def linked(pages: list[Path]) -> list[Path]:
    """Files outside of docs/ that are pages or linked to by them, directly or over others."""
    found: dict[Path, None] = {}
    pending = list(pages)
    while pending:
        page = pending.pop()
        if DOCS not in page.parents:
            found[page] = None
        text = "".join(FENCED.split(page.read_text())[::2]) if page.suffix == ".md" else ""
        for _, target in LINK.findall(text):
            path = Path(os.path.normpath(page.parent / target))
            if path.is_file() and DOCS not in path.parents and path not in found and path not in pending:
                pending.append(path)
    return list(found)


def place(path: Path) -> str:
    """Where a file of the repository is on the site."""
    within = path.relative_to(DOCS if DOCS in path.parents else ROOT)
    return within.with_name(f"{within.name}.md").as_posix() if within.suffix in CODE else within.as_posix()


def code_page(path: Path) -> str:
    return f"# {path.relative_to(ROOT)}\n\n```{CODE[path.suffix]}\n{path.read_text()}\n```\n"
