"""Runs the code of the tutorials when the site is built and shows what it prints; where it fails, the build fails.

A hook of MkDocs. Blocks that begin with ```python exec or ```sh exec run from top to bottom in an empty directory, one
per page; a block with title="NAME" is written to that file. Commands of the benchmark run in this process, which has
imported torch already, all others in bash. Build by `python -m mkdocs`, so that processes that commands start find the
benchmark.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

from benchmarks.__main__ import main as benchmark

BLOCK = re.compile(r"^```(python|sh|yaml)( title=\"([^\"]+)\")? exec\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
COMMAND = "pml-aug "
known: dict[str, str] = {}  # pages executed before, for `mkdocs serve`


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    if not BLOCK.search(markdown):
        return markdown
    if markdown not in known:
        try:
            known[markdown] = executed(markdown)
        except Exception as error:
            raise PluginError(f"{page.file.src_uri}: {error}") from error
    return known[markdown]


def executed(markdown: str) -> str:
    """The page with the output of each block below it.

    Example:
        >>> print(executed("```python exec\\nprint(1 + 1)\\n```\\n"))
        ```python
        print(1 + 1)
        ```
        <BLANKLINE>
        ``` { .text .output }
        2
        ```
        <BLANKLINE>
    """
    names: dict[str, Any] = {"__name__": "tutorial"}

    def run(match: re.Match[str]) -> str:
        language, title, file, code = match[1], match[2] or "", match[3], match[4]
        if file:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text(code)
        output = "" if file else printed(language, code, names)
        shown = f"\n``` {{ .text .output }}\n{output.rstrip()}\n```\n" if output.strip() else ""
        return f"```{language}{title}\n{code}```\n{shown}"

    with empty_directory():
        return BLOCK.sub(run, markdown)


def printed(language: str, code: str, names: dict[str, Any]) -> str:
    """What the block prints to its standard output."""
    if language == "python":
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(code, "tutorial", "exec"), names)
        return output.getvalue()
    commands = re.sub(r"\\\n\s*", "", code).splitlines()
    return "".join(command_output(command) for command in commands if command.strip())


def command_output(command: str) -> str:
    if not command.startswith(COMMAND):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command}: exit status {done.returncode}: {done.stderr}")
        return done.stdout
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(io.StringIO()) as errors:
        status = benchmark(shlex.split(command.removeprefix(COMMAND), comments=True))
    if status:
        raise RuntimeError(f"{command}: exit status {status}: {errors.getvalue()[-2000:]}")
    return output.getvalue()


@contextlib.contextmanager
def empty_directory() -> Iterator[None]:
    """A working directory for a page, from which Python imports too."""
    before, path = os.getcwd(), list(sys.path)
    with tempfile.TemporaryDirectory() as directory:
        try:
            os.chdir(directory)
            sys.path.insert(0, directory)
            yield
        finally:
            os.chdir(before)
            sys.path[:] = path
