"""Queries and what was found for them, as one page that requests nothing from anywhere."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from .answers import Answer


def search_page(answers: Sequence[Answer], facts: Sequence[str], left_out: int) -> str:
    """The page, HTML.

    Args:
        answers: in the order of the page.
        facts: about the search, in short.
        left_out: how many queries are not on the page.
    """
    environment = Environment(
        loader=PackageLoader(__package__), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=True,
    )  # fmt: skip
    environment.filters["text"] = printable
    page = environment.get_template("search.html.j2").render(answers=answers, facts=facts, left_out=left_out)
    return page + "\n"


def printable(name: str) -> str:
    """A file's name that any page or terminal can show: bytes that are no Unicode as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
