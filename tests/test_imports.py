"""Reads every import statement and holds the project to its layers."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(file for package in ("pml_aug", "benchmarks") for file in (ROOT / package).rglob("*.py"))


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in FILES}


def imported(source: str, module: str, is_package: bool) -> set[str]:
    """Dotted names that a module imports anywhere, in functions too; ``from a import b`` counts as a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if is_package else module.split(".")[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join(base + ([node.module] if node.module else []))
            names |= {origin} | {f"{origin}.{alias.name}" for alias in node.names}
    return names


IMPORTS = {name: imported(file.read_text(), name, file.name == "__init__.py") for name, file in MODULES.items()}


def closure(module: str) -> dict[str, str]:
    """Everything that importing a module imports, with the module that asks for it; packages run their __init__."""
    asked: dict[str, str] = {}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        parents = [current.rpartition(".")[0]] if "." in current else []
        for name in [*IMPORTS[current], *parents]:
            if name not in asked:
                asked[name] = current
                if name in MODULES:
                    waiting.append(name)
    return asked


def in_packages(name: str, packages: tuple[str, ...]) -> bool:
    return name.startswith(tuple(f"{package}." for package in packages)) or name in packages


HELPERS_OF_THE_LIBRARY = ("batches", "host_losses", "measuring", "*_cases")
LIBRARY_TESTS = [
    *(ROOT / "tests" / "pml_aug").rglob("*.py"),
    *(file for name in HELPERS_OF_THE_LIBRARY for file in (ROOT / "tests" / "helpers").glob(f"{name}.py")),
]
LIBRARY = [module for module in MODULES if in_packages(module, ("pml_aug",))]
REPORTING = [
    module
    for module in MODULES
    if in_packages(module, ("benchmarks.report",)) or module.startswith("benchmarks.statistics")
]
ORDER = (
    "errors", "files", "config", "data", "runs", "statistics", "trunks", "training",
    "models", "jobs", "classification", "tuning", "report", "profiling", "cli", "__main__",
)  # fmt: skip  # of the benchmark's packages: each imports only from those before it
MAX_LEVELS = 8
CONFIG = [module for module in MODULES if in_packages(module, ("benchmarks.config",))]
PARTS = ("synthesis", "statistics", "distances", "heads", "losses", "regularizers", "miners", "host", "expansion")
LAYERS = {part: 0 for part in PARTS} | {"wrappers": 1, "trainers": 2, "hooks": 2}


def test_reader_sees_every_kind_of_import() -> None:
    source = "import a.b\nfrom c import d\nfrom . import e\nfrom ..f import g\ndef late():\n    import h\n"
    expected = {"a.b", "c", "c.d", "x.y", "x.y.e", "x.f", "x.f.g", "h"}
    assert imported(source, "x.y.z", is_package=False) == expected
    assert imported("from .e import f", "x.y", is_package=True) == {"x.y.e", "x.y.e.f"}


@pytest.mark.parametrize("module", LIBRARY)
def test_library_imports_torch_and_its_host_but_nothing_of_the_benchmark(module: str) -> None:
    forbidden = ("benchmarks", "hydra", "omegaconf", "optuna", "torchvision", "faiss", "record_keeper")
    assert not [name for name in IMPORTS[module] if in_packages(name, forbidden)]


@pytest.mark.parametrize("file", LIBRARY_TESTS, ids=lambda file: file.name)
def test_tests_of_the_library_import_nothing_of_the_benchmark(file: Path) -> None:
    names = imported(file.read_text(), file.stem, is_package=False)
    assert not [name for name in names if in_packages(name, ("benchmarks", "tiny_runs", "tiny_training"))]


@pytest.mark.parametrize("module", REPORTING)
def test_report_and_statistics_need_no_torch(module: str) -> None:
    forbidden = ("torch", "torchvision", "pml_aug", "pytorch_metric_learning")
    assert not {name: by for name, by in closure(module).items() if in_packages(name, forbidden)}


def part_of(name: str) -> str:
    return name.split(".")[1] if name.startswith("pml_aug.") else ""


@pytest.mark.parametrize("module", [module for module in LIBRARY if part_of(module) in LAYERS])
def test_library_imports_run_from_parts_to_wrappers_to_trainers_and_hooks(module: str) -> None:
    used = {part_of(name) for name in closure(module)} & LAYERS.keys()
    assert not [part for part in used if LAYERS[part] > LAYERS[part_of(module)]]


def test_library_packages_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for module in LIBRARY:
        used = {part_of(name) for name in IMPORTS[module]} & LAYERS.keys()
        graph.setdefault(part_of(module), set()).update(used - {part_of(module)})
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError and names the circle


def test_every_library_package_has_its_layer() -> None:
    packages = {module.split(".")[1] for module in LIBRARY if MODULES[module].name == "__init__.py" and "." in module}
    assert packages <= LAYERS.keys()


def package_of(name: str) -> str:
    """The package of the benchmark that a module belongs to; empty for other modules and for the benchmark itself."""
    return name.split(".")[1] if name.startswith("benchmarks.") else ""


def packages_imported() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {package: set() for package in ORDER}
    for module in MODULES:
        if package := package_of(module):
            graph.setdefault(package, set()).update(map(package_of, IMPORTS[module]))
    return {package: used & graph.keys() - {package} for package, used in graph.items()}


def test_every_package_of_the_benchmark_has_its_place_in_the_order() -> None:
    assert packages_imported().keys() == set(ORDER)


@pytest.mark.parametrize("package", ORDER)
def test_packages_of_the_benchmark_import_only_earlier_ones(package: str) -> None:
    later = packages_imported()[package] & set(ORDER[ORDER.index(package) :])
    by = [
        name for name in MODULES if package_of(name) == package and {package_of(used) for used in IMPORTS[name]} & later
    ]
    assert not later, by


def test_the_benchmark_has_few_levels() -> None:
    levels: dict[str, int] = {}
    for package in ORDER:
        levels[package] = 1 + max((levels[used] for used in packages_imported()[package]), default=0)
    assert max(levels.values()) <= MAX_LEVELS


@pytest.mark.parametrize("module", CONFIG)
def test_configurations_are_checked_without_what_takes_long_to_import(module: str) -> None:
    forbidden = ("torch", "torchvision", "numpy", "scipy", "PIL", "pml_aug", "pytorch_metric_learning", "optuna")
    assert not {name: by for name, by in closure(module).items() if in_packages(name, forbidden)}
