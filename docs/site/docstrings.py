"""Docstrings as Markdown: formulas become MathML when the site is built, which browsers show without scripts.

An extension of griffe, for mkdocstrings.
"""

import re
from textwrap import dedent

from griffe import Extension, Module, Object
from latex2mathml.converter import convert

BLOCK = re.compile(r"^( *)\.\. math::((?: [^\n]*)?(?:\n+\1 +[^\n]+)*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]+)`")
ROLE = re.compile(r":(?:func|class|meth|mod|attr):`~?([^`]+)`")
EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class Docstrings(Extension):
    """Formulas as MathML, roles of Sphinx as code, and every name that a package exports."""

    def on_package(self, *, pkg: Module, **_: object) -> None:
        """What a package exports is the function, where griffe has the module of the same name that defines it."""
        for package in list(pkg.modules.values()):
            exports = {str(name) for name in package.exports or ()}
            hidden = [package.members[name] for name in exports if name in package.modules]
            for module in hidden:
                defined = {name: member for name, member in module.members.items() if not member.is_alias}
                package.members.update({name: defined[name] for name in exports & defined.keys()})

    def on_object(self, *, obj: Object, **_: object) -> None:
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(docstring: str) -> str:
    """The docstring without reStructuredText."""
    text = BLOCK.sub(
        lambda match: f'{match[1]}<div class="formula">{mathml(dedent(match[2]), "block")}</div>', docstring
    )
    text = INLINE.sub(lambda match: mathml(match[1], "inline"), text)
    text = EXAMPLE.sub(r"\1Examples:", text)  # as griffe calls them
    return ROLE.sub(r"`\1`", text)


def mathml(latex: str, display: str) -> str:
    latex = " ".join(latex.split())
    outside = re.sub(r"\\begin\{.*?\\end\{\w+\}", "", latex)
    if "&" in outside or r"\\" in outside:  # several lines, aligned
        latex = rf"\begin{{aligned}} {latex} \end{{aligned}}"
    return convert(latex, display=display)
