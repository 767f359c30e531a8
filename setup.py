"""The packages of a wheel: the benchmark and its configs get a name of their own there; the rest is in setup.cfg."""

from setuptools import find_packages, setup

BENCHMARK = "pml_aug_benchmarks"

setup(
    packages=[
        *find_packages(include=["pml_aug", "pml_aug.*"]),
        BENCHMARK,
        *(f"{BENCHMARK}.{name}" for name in find_packages("benchmarks")),
        f"{BENCHMARK}.configs",
    ],
    package_dir={BENCHMARK: "benchmarks", f"{BENCHMARK}.configs": "configs"},
)
