"""Puts freshly simulated figures into docs/statistics.md.

python docs/statistics.py [EXPERIMENTS]
"""

import sys
from pathlib import Path

from pml_aug_benchmarks.runs.writer import write_whole
from simulation import tables  # beside this file

PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- simulated: begin -->\n", "<!-- simulated: end -->\n"


def simulated(experiments: int) -> str:
    """The tables as Markdown."""
    parts = [f"In percent of {experiments:,} experiments (or a quarter as many where each takes long), ± 1.96 standard "
             "errors of the count itself.\n"]  # fmt: skip
    for title, (heads, rows) in tables(experiments).items():
        lines = [heads, ["---:"] * len(heads), *rows]
        parts.append(f"**{title}**\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join(parts)


def main(experiments: int) -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    write_whole(PAGE, (before + BEGIN + simulated(experiments) + END + after).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
