"""Docstrings as Markdown: formulas become MathML when the site is built, which browsers show without scripts.

An extension of griffe, for mkdocstrings.
"""

import re
from textwrap import dedent

from griffe import Extension, Object
from latex2mathml.converter import convert

BLOCK = re.compile(r"^( *)\.\. math::((?: [^\n]*)?(?:\n+\1 +[^\n]+)*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]+)`")
ROLE = re.compile(r":(?:func|class|meth|mod|attr):`~?([^`]+)`")
EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class Formulas(Extension):
    """Formulas of docstrings as MathML, and roles of Sphinx as code."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(docstring: str) -> str:
    """The docstring without reStructuredText."""
    text = BLOCK.sub(lambda match: f"{match[1]}<div>{mathml(dedent(match[2]), 'block')}</div>", docstring)
    text = INLINE.sub(lambda match: mathml(match[1], "inline"), text)
    text = EXAMPLE.sub(r"\1Examples:", text)  # as griffe calls them
    return ROLE.sub(r"`\1`", text)


def mathml(latex: str, display: str) -> str:
    latex = " ".join(latex.split())
    outside = re.sub(r"\\begin\{.*?\\end\{\w+\}", "", latex)
    if "&" in outside or r"\\" in outside:  # several lines, aligned
        latex = rf"\begin{{aligned}} {latex} \end{{aligned}}"
    return convert(latex, display=display)
