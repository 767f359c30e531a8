"""Embeddings of a folder of images or of an npz file, computed once and kept in a file."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data.features import npz_bytes
from ..errors import UserError
from ..files import read_arrays, require_regular
from ..runs.resumable import PROGRESS, ResumableArray, held
from ..runs.writer import write_whole
from ..training.images import read_ahead
from .inputs import Inputs
from .model import EmbeddingModel

BATCH_SIZE = 64
EMBEDDINGS, REST = "embeddings.npy", "rest.npz"  # in a directory
WORKING, UNREADABLE = "working.npy", "unreadable.txt"  # in the directory of unfinished work
KNOWN = ("names", "uncertainty", "unreadable", "provenance")


class Embeddings(NamedTuple):
    """Embeddings of some images with their names."""

    embeddings: np.ndarray  # (N, D), float32, of unit length
    names: list[str]  # one per row: path relative to the source, or number in it
    uncertainty: np.ndarray | None  # (N,), float32; None where the model knows none
    unreadable: list[str]  # why some rows of the source are not here
    provenance: dict[str, Any]  # model (run, sha256), source

    @property
    def source(self) -> Path:
        """The folder or file that they are of."""
        return Path(self.provenance["source"])

    def rest(self) -> dict[str, np.ndarray]:
        """Everything but the embeddings, as arrays by the names that they have in a file."""
        arrays = {
            "names": np.array(self.names),
            "unreadable": np.array(self.unreadable, dtype=np.str_),
            "provenance": np.array(json.dumps(self.provenance)),
        }
        return arrays if self.uncertainty is None else arrays | {"uncertainty": self.uncertainty}


def embed(model: EmbeddingModel, inputs: Inputs, out: Path, quiet: bool = False) -> Embeddings:
    """Write the embeddings of all rows to ``out``, whole or not at all, and give them.

    What was computed before an interruption stays in ``OUT.unfinished``, and the next call goes on from there. Rows
    that are no readable images are left out and named.

    Args:
        model: in evaluation mode.
        inputs: rows.
        out: a file ``*.npz``, or else a directory, whose embeddings are mapped into memory when they are read.
        quiet: show no progress.

    Raises:
        UserError: ``out`` holds something else, or no image can be read.
    """
    described = model.description
    provenance = {"model": {"run": described.run, "sha256": described.sha256}, **inputs.identity}
    unfinished = out.with_name(f"{out.name}.unfinished")
    out.parent.mkdir(parents=True, exist_ok=True)
    with held(unfinished):
        if out.exists():
            shutil.rmtree(unfinished)
            return _same(out, provenance)
        shape = (len(inputs.names), model.embedding_size + model.has_uncertainty)
        working = ResumableArray(unfinished, WORKING, provenance, shape, np.float32)
        if working.rows == 0:
            (unfinished / UNREADABLE).unlink(missing_ok=True)
        with (
            tqdm(total=shape[0], initial=working.rows, unit="image", desc="embeddings", disable=quiet) as progress,
            open(unfinished / UNREADABLE, "a", encoding="utf-8", errors="surrogateescape") as problems,
        ):
            for rows, problem in _computed(model, inputs, working.rows):
                problems.writelines(f"{json.dumps(line)}\n" for line in problem)
                problems.flush()
                working.add(rows)
                progress.update(len(rows))
        working.save()
        return _finished(out, unfinished, working.array, model, inputs, provenance)


def embeddings_of(model: EmbeddingModel, values: list[Tensor | None]) -> np.ndarray:
    """(N, D), or (N, D + 1) with the uncertainty last; a row of nan for each None."""
    device = next(iter(model.state_dict().values())).device
    width = model.embedding_size + model.has_uncertainty
    found = torch.full((len(values), width), torch.nan)
    rows = [row for row, value in enumerate(values) if value is not None]
    given = [value for value in values if value is not None]
    one_shape = len({value.shape for value in given}) == 1
    with torch.no_grad():
        for part, batch in [(rows, given)] if one_shape else [([row], [values[row]]) for row in rows]:
            stacked = torch.stack([value for value in batch if value is not None]).to(device)
            if model.has_uncertainty:
                embeddings, uncertainty = model(stacked, with_uncertainty=True)
                found[part] = torch.cat([embeddings, uncertainty[:, None]], dim=1).cpu()
            else:
                found[part] = model(stacked).cpu()
    if not bool(found[rows].isfinite().all()):
        raise UserError("the model gives nan or inf: its weights are damaged, or its training diverged")
    return found.numpy()


def read_embeddings(path: Path) -> Embeddings:
    """The embeddings in a file or directory that :func:`embed` wrote; those of a directory are mapped into memory.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it holds something else; the message starts with the path.
    """
    if path.is_dir():
        try:
            embeddings = np.load(require_regular(path / EMBEDDINGS), mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy raises nearly every built-in exception for damaged headers
            raise ValueError(f"{path}: holds no readable {EMBEDDINGS} ({error}); write it again") from error
        arrays = {"embeddings": embeddings, **read_arrays(path / REST, KNOWN)}
    else:
        arrays = read_arrays(path, ("embeddings", *KNOWN))
    for key in ("embeddings", "names", "provenance", "unreadable"):
        if key not in arrays:
            raise ValueError(f"{path}: expected an array {key!r}; write it with: pml-aug embed")
    embeddings, names, uncertainty = arrays["embeddings"], arrays["names"], arrays.get("uncertainty")
    if embeddings.dtype != np.float32 or embeddings.ndim != 2 or 0 in embeddings.shape:
        raise ValueError(
            f"{path}: embeddings must be float32 of shape (N, D), but are {embeddings.dtype} of {embeddings.shape}"
        )
    if names.shape != (len(embeddings),) or names.dtype.kind != "U":
        raise ValueError(f"{path}: names must be {len(embeddings)} texts, but are {names.dtype} of {names.shape}")
    if uncertainty is not None and (uncertainty.shape != (len(embeddings),) or uncertainty.dtype.kind != "f"):
        raise ValueError(f"{path}: uncertainty must be {len(embeddings)} numbers, but has shape {uncertainty.shape}")
    try:
        provenance = json.loads(str(arrays["provenance"]))
        known = [provenance["source"], provenance["model"]["run"], provenance["model"]["sha256"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        known = [None]
    if not all(isinstance(part, str) for part in known):
        raise ValueError(f"{path}: provenance must name source and model; write it with: pml-aug embed")
    return Embeddings(embeddings, names.tolist(), uncertainty, arrays["unreadable"].astype(str).tolist(), provenance)


def _computed(model: EmbeddingModel, inputs: Inputs, done: int) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Embeddings of the rows from ``done`` on, in blocks that do not depend on it; the next blocks are read ahead."""
    count = len(inputs.names)
    blocks = (inputs.block(range(start, min(start + BATCH_SIZE, count))) for start in range(done, count, BATCH_SIZE))
    for block in read_ahead(blocks):
        yield embeddings_of(model, block.values), block.problems


def _same(out: Path, provenance: dict[str, Any]) -> Embeddings:
    try:
        found = read_embeddings(out)
    except (OSError, ValueError) as error:
        raise UserError(f"--out is there already, and holds no embeddings: {error}") from error
    if found.provenance != provenance:
        differing = [key for key in provenance if found.provenance.get(key) != provenance[key]]
        raise UserError(
            f"{out} is there already with other {', '.join(differing) or 'rows'}: choose another --out, or delete it"
        )
    return found


def _finished(
    out: Path,
    unfinished: Path,
    computed: np.ndarray,
    model: EmbeddingModel,
    inputs: Inputs,
    provenance: dict[str, Any],
) -> Embeddings:
    lines = (unfinished / UNREADABLE).read_text().splitlines()
    unreadable = list(dict.fromkeys(json.loads(line) for line in lines))  # a repeated block names them again
    kept = ~np.isnan(computed[:, 0])
    if not kept.any():
        shutil.rmtree(unfinished)
        raise UserError(f"none of the {len(kept)} images can be read; the first: {unreadable[0]}")
    size = model.embedding_size
    embeddings = computed[:, :size] if kept.all() else computed[kept, :size]
    uncertainty = np.array(computed[kept, size]) if model.has_uncertainty else None
    names = [name for name, readable in zip(inputs.names, kept, strict=True) if readable]
    whole = Embeddings(embeddings, names, uncertainty, unreadable, provenance)
    if out.suffix == ".npz":
        write_whole(unfinished / out.name, npz_bytes({"embeddings": np.ascontiguousarray(embeddings), **whole.rest()}))
        os.replace(unfinished / out.name, out)
        shutil.rmtree(unfinished)
    else:
        np.save(unfinished / EMBEDDINGS, np.ascontiguousarray(embeddings))
        write_whole(unfinished / REST, npz_bytes(whole.rest()))
        for name in (WORKING, UNREADABLE, PROGRESS):
            (unfinished / name).unlink()
        os.replace(unfinished, out)
    return read_embeddings(out)
