"""What the docstrings of the public API contain."""

import inspect
import pkgutil
import re
from importlib import import_module

import pytest

import pml_aug

INTERNAL = ("expansion", "host")  # packages that only the other packages use
NAMES = [module.name for module in pkgutil.iter_modules(pml_aug.__path__) if module.ispkg]
PACKAGES = [import_module(f"pml_aug.{name}") for name in NAMES if name not in INTERNAL]
PUBLIC = {
    f"{package.__name__.removeprefix('pml_aug.')}.{name}": getattr(package, name)
    for package in PACKAGES
    for name in package.__all__
}
HELPERS = {"distances.PrecomputedDistance", "distances.SemanticRegularizer", "wrappers.LossWrapper"}  # not published


def is_record(part):
    """Whether it is a NamedTuple, whose fields have comments instead of arguments."""
    return isinstance(part, type) and issubclass(part, tuple)


PARTS = {name: part for name, part in PUBLIC.items() if not is_record(part) and callable(part)}
CLASSES = {name: part for name, part in PARTS.items() if isinstance(part, type)}


def section(part, name):
    """The text of a section of the docstring; empty if it is missing."""
    found = re.search(rf"^{name}:(.*?)(?=^\S|\Z)", inspect.getdoc(part) or "", flags=re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


@pytest.mark.parametrize("name", PUBLIC)
def test_the_first_line_is_one_sentence(name):
    first, *rest = inspect.getdoc(PUBLIC[name]).splitlines()
    assert first.endswith((".", ";", ":")) and (not rest or rest[0] == "")


@pytest.mark.parametrize("name", PARTS)
def test_every_argument_is_described(name):
    part = PARTS[name]
    given = section(part, "Args") + "".join(section(base, "Args") for base in getattr(part, "__mro__", ())[1:3])
    described = dict(re.findall(r"^    ([\w, ]+): (.*(?:\n {8,}.*)*)", given, flags=re.MULTILINE))
    texts = {each.strip(): text for names, text in described.items() for each in names.split(",")}
    arguments = [
        each for each in inspect.signature(part).parameters if each not in ("self", "labels", "kwargs", "args")
    ]
    for argument in arguments:
        assert len(texts.get(argument, "")) >= 10, f"{name}: {argument}: {texts.get(argument)!r}"


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - HELPERS))
def test_every_class_names_its_errors(name):
    assert section(CLASSES[name], "Raises")


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - HELPERS))
def test_every_method_has_a_formula_or_shapes_and_its_source(name):
    part = CLASSES[name]
    assert section(part, "Shapes") or ".. math::" in part.__doc__
    assert section(part, "Source")


@pytest.mark.parametrize("name", sorted(PARTS.keys() - {"wrappers.LossWrapper"}))
def test_every_class_and_function_has_an_example(name):
    assert ">>>" in section(PARTS[name], "Example")
