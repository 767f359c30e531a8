"""``pml-aug export``: a trained model in the format of another program."""

from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser, add_model

NAMES = {"onnx": "model.onnx", "torchscript": "model.torchscript.pt", "safetensors": "model"}


def main(argv: Sequence[str]) -> int:
    """Export, check on real images, and say how much the outputs differ."""
    parser = Parser(
        prog="pml-aug export",
        description="Write a trained model for ONNX runtimes, for TorchScript, or as a directory for load_model. What "
        "gives other embeddings than the model itself, on real images, is not kept.",
        epilog="example: pml-aug export runs/64afad6c48a7 --format onnx --out model.onnx",
    )
    add_model(parser, device=False)
    parser.add_argument("--format", choices=tuple(NAMES), default="onnx", help="default: onnx")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"default: {', '.join(NAMES.values())} (a directory) beside the run"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="SOURCE",
        help="folder or npz file to check with (default: images that the run left, or the features it was trained on)",
    )
    given = parser.parse_args(argv)

    # these load torch, which takes seconds
    from ..models import load_model
    from ..models.export import checking_rows, export

    model = load_model(given.run, given.allow)
    out = given.out or given.run.resolve().with_name(f"{given.run.resolve().name}-{NAMES[given.format]}")
    rows = checking_rows(given.run, model, given.images)
    found = export(given.run, model, given.format, out, rows, given.allow)
    size = sum(file.stat().st_size for file in (out.iterdir() if out.is_dir() else [out])) / 1e6
    print(f"exported: {out}, {size:,.1f} MB")
    print(f"checked: {found.rows} real inputs, largest difference {found.difference:.2g}")
    kind = f"features ({rows.shape[1]})" if model.transform is None else f"levels 0 to 255 {tuple(rows.shape[1:])}"
    more = " and uncertainties" if model.has_uncertainty else ""
    print(f"input: {kind}, {str(rows.dtype).removeprefix('torch.')}; output: {model.embedding_size} numbers{more}")
    return 0
