"""``choose.json``: what was decided so far, so that the same command goes on instead of deciding anew."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...config.compose import untrusted
from ...config.lists import Comparison
from ...config.typed import typed
from ...errors import UserError
from ...runs.checked_json import Fields, parsed
from ...runs.writer import write_whole
from .budget import Division
from .finalists import Finals
from .request import Request

FILE = "choose.json"
VERSION = 1


class State:
    """The decisions about the time that commands in one folder have taken.

    Args:
        request: of the command.

    Raises:
        UserError: the folder holds those of another request, or the file is damaged.
    """

    def __init__(self, request: Request) -> None:
        self.path = Path(request.own.runs) / FILE
        self.fitting: list[str] | None = None  # overrides of each training that the data ask for
        self.search: Division | None = None
        self.trials: int | None = None  # that count, of each search, once the search has ended
        self.finals: Finals | None = None
        self.request = {
            "version": VERSION,
            "images": None if request.images is None else sorted(request.images),
            "training": sorted(request.training),
            "shortlist": sorted(request.shortlist),
        }
        if self.path.exists():
            self._read()

    def save(self) -> None:
        """Write the file whole."""
        search, finals = self.search, self.finals
        content: dict[str, Any] = {"request": self.request, "fitting": self.fitting, "trials": self.trials}
        content["search"] = None
        if search is not None:
            content["search"] = search._asdict() | {"comparisons": [asdict(one) for one in search.comparisons]}
        content["finals"] = None if finals is None else finals._asdict()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, (json.dumps(content, indent=1) + "\n").encode())

    def _read(self) -> None:
        found = Fields(self.path, parsed(self.path))
        if found.get("request", dict) != self.request:
            raise UserError(
                f"{self.path.parent} holds the choice for other data or settings ({FILE} says which): set "
                "runs=ANOTHER_FOLDER, or repeat that command to go on with it"
            )
        self.fitting = untrusted(found.list_of("fitting", str)) if found.has("fitting") else None
        if found.has("search"):
            search = found.inner("search")
            comparisons = [typed(Comparison, one.content, "comparisons: ") for one in search.each("comparisons")]
            numbers = search.count("epochs"), search.count("trials"), search.number("seconds")
            self.search = Division(comparisons, *numbers)
        self.trials = found.count("trials") if found.has("trials") else None
        if found.has("finals"):
            finals = found.inner("finals")
            lists = finals.list_of("arms", str), finals.list_of("folds", int)
            self.finals = Finals(*lists, finals.count("seeds"), finals.number("seconds"))
