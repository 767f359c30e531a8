"""A trained model in the formats of other programs, kept only if it gives there what it gives here."""

import io
import json
import os
import shutil
import warnings
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..data.feature_arrays import located
from ..errors import UserError
from ..files import read_arrays
from ..runs.checked_json import parsed
from ..runs.schema import CONFIG, GALLERY, MODEL, WEIGHTS
from ..runs.writer import write_whole
from .inputs import Inputs, inputs_of
from .load import load_model
from .model import EmbeddingModel

LARGEST_DIFFERENCE = 1e-4  # between an output here and there; embeddings have length 1
CHECKED = 64  # rows
OPSET = 18

Outputs = Sequence[np.ndarray]


class Exported(NamedTuple):
    """A file or directory that was kept, and how it was checked."""

    path: Path
    difference: float  # the largest one of any output
    rows: int


class Outputting(nn.Module):
    """A model with positional outputs: embeddings and, where it knows them, uncertainties."""

    def __init__(self, model: EmbeddingModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return self.model(inputs, with_uncertainty=True) if self.model.has_uncertainty else (self.model(inputs),)


def export(
    directory: Path, model: EmbeddingModel, form: str, out: Path, rows: Tensor, allow: Collection[str] = ()
) -> Exported:
    """Write the model of a run directory to ``out``, whole or not at all.

    Args:
        directory: that the model was loaded from.
        model: on the CPU, in evaluation mode.
        form: ``onnx``, ``torchscript`` or ``safetensors`` (a directory that :func:`load_model` loads).
        out: where to write.
        rows: real inputs, on which the exported model must agree with this one.
        allow: packages that the model was loaded with.

    Raises:
        UserError: ``out`` is there already, the model cannot be exported, or the exported one gives something else.
    """
    if out.exists():
        raise UserError(f"{out} is there already: choose another --out, or delete it")
    out.parent.mkdir(parents=True, exist_ok=True)
    if form == "safetensors":
        return _copied(directory, model, out, rows, allow)
    content, run = {"onnx": _onnx, "torchscript": _torchscript}[form](model, rows)
    difference = _difference(model, run, rows)
    write_whole(out, content)
    return Exported(out, difference, len(rows))


def checking_rows(directory: Path, model: EmbeddingModel, given: Path | None) -> Tensor:
    """Up to 64 real inputs of a model: those given, or else the test images or features that its run left or names.

    Args:
        directory: of the run.
        model: of it.
        given: a folder of images, or an npz file of images or features.

    Raises:
        UserError: there are none.
    """
    if given is not None:
        return _stacked(inputs_of(given, model))
    if model.transform is None:
        path = parsed(directory / CONFIG)["data"].get("path") if (directory / CONFIG).exists() else None
        if path is None or not located(path).exists():
            raise UserError("the features of the training are no longer there: give others as --images FILE.npz")
        return _stacked(inputs_of(located(path), model))
    try:
        images = read_arrays(directory / GALLERY, ("query_image",))["query_image"]
        return torch.stack([model.transform(image) for image in images[:CHECKED]])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{directory} holds no images to check the exported model with: give some as --images FOLDER"
        ) from error


def _stacked(inputs: Inputs) -> Tensor:
    found = inputs.block(range(min(CHECKED, len(inputs.names))))
    readable = [value for value in found.values if value is not None]
    if not readable:
        raise UserError(f"--images: {found.problems[0]}")
    return torch.stack(readable)


def _onnx(model: EmbeddingModel, rows: Tensor) -> tuple[bytes, Callable[[np.ndarray], Outputs]]:
    onnxruntime = _installed("onnxruntime")
    _installed("onnxscript")
    name = "features" if model.transform is None else "images"
    outputs = ["embeddings", "uncertainty"][: 1 + model.has_uncertainty]
    example = rows[:1].expand(2, *rows.shape[1:]).clone()  # a batch of one would be taken for the only size
    try:
        program = torch.onnx.export(
            Outputting(model).eval(),
            (example,),
            input_names=[name],
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes={"inputs": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
        assert program is not None
        proto: Any = program.model_proto
        described = proto.metadata_props.add()
        described.key, described.value = MODEL, json.dumps(model.description.as_dict())
        content = proto.SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever the exporter, its libraries and the network raise
        raise UserError(f"the model cannot be exported to ONNX: {_first_line(error)}") from error
    return content, lambda batch: session.run(outputs, {name: batch})


def _torchscript(model: EmbeddingModel, rows: Tensor) -> tuple[bytes, Callable[[np.ndarray], Outputs]]:
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # PyTorch says that other formats come after this one
            torch.jit.save(torch.jit.trace(Outputting(model).eval(), rows[:2]), buffer)
            buffer.seek(0)
            traced = torch.jit.load(buffer)
    except Exception as error:  # whatever the network raises when it is traced
        raise UserError(f"the model cannot be exported to TorchScript: {_first_line(error)}") from error

    def run(batch: np.ndarray) -> Outputs:
        with torch.no_grad():
            return [output.numpy() for output in traced(torch.from_numpy(batch))]

    return buffer.getvalue(), run


def _copied(directory: Path, model: EmbeddingModel, out: Path, rows: Tensor, allow: Collection[str]) -> Exported:
    unfinished = out.with_name(f"{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        shutil.copyfile(directory / WEIGHTS, unfinished / WEIGHTS)
        write_whole(unfinished / MODEL, (json.dumps(model.description.as_dict(), indent=1) + "\n").encode())
        copy = Outputting(load_model(unfinished, allow))
        difference = _difference(model, lambda batch: _outputs(copy, torch.from_numpy(batch)), rows)
        os.replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return Exported(out, difference, len(rows))


def _difference(model: EmbeddingModel, run: Callable[[np.ndarray], Outputs], rows: Tensor) -> float:
    """The largest difference between the outputs here and there, in one batch and for a single row.

    Raises:
        UserError: it is above :data:`LARGEST_DIFFERENCE`, or the exported model fails.
    """
    largest = 0.0
    for batch in (rows, rows[:1]):
        try:
            found = run(np.ascontiguousarray(batch.numpy()))
        except Exception as error:  # whatever the other runtime raises
            raise UserError(f"the exported model does not take {len(batch)} rows: {_first_line(error)}") from error
        for here, there in zip(_outputs(Outputting(model), batch), found, strict=True):
            difference = float(np.abs(here - there).max())
            largest = max(largest, difference if difference == difference else float("inf"))
    if largest > LARGEST_DIFFERENCE:
        raise UserError(
            f"the exported model differs by up to {largest:.2g} from this one (allowed: {LARGEST_DIFFERENCE:g}), so it "
            "was not kept: choose another --format, or report it to the makers of the exporter"
        )
    return largest


def _outputs(outputting: Outputting, batch: Tensor) -> Outputs:
    with torch.no_grad():
        return [output.numpy() for output in outputting(batch)]


def _installed(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(f"{error}; install it with: pip install -e '.[export]'") from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0][:500]}"
