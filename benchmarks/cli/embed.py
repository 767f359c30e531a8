"""``pml-aug embed``: the embeddings of images by a trained model."""

import time
from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser, add_model

NAMED = 3  # unreadable images in the message


def main(argv: Sequence[str]) -> int:
    """Compute the embeddings, write them, and say what was written."""
    parser = Parser(
        prog="pml-aug embed",
        description="Apply a trained model to a folder of images, or to an npz file, and write the embeddings. An "
        "interrupted computation goes on where it stopped.",
        epilog="example: pml-aug embed runs/64afad6c48a7 photographs --out photographs.npz",
    )
    add_model(parser)
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="folder of images, with sub-folders; or npz file with images (N, H, W, C), or with features (N, F)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="FILE.npz, or a directory for sets larger than memory"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="threads that decode images (default: one per core)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    given = parser.parse_args(argv)
    if given.workers is not None and given.workers < 1:
        parser.error(f"--workers must be at least 1, but got {given.workers}")

    # these load torch, which takes seconds
    from ..models import load_model
    from ..models.embed import embed
    from ..models.inputs import inputs_of

    started = time.perf_counter()
    model = load_model(given.run, given.allow, given.device)
    inputs = inputs_of(given.source, model, given.workers)
    found = embed(model, inputs, given.out, given.quiet)
    seconds = time.perf_counter() - started
    rows, size = found.embeddings.shape
    more = "" if found.uncertainty is None else ", with uncertainties"
    print(f"embeddings: {given.out}, {rows:,} x {size}{more}, {seconds:.1f} s")
    if inputs.ignored:
        print(f"ignored: {inputs.ignored:,} files that are no images by their names")
    if found.unreadable:
        print(f"left out: {len(found.unreadable):,} images that cannot be read")
        for reason in found.unreadable[:NAMED]:
            print(f"  {reason.encode('utf-8', 'backslashreplace').decode()}")
    query = "QUERIES.npz" if model.transform is None else "IMAGE"
    print(f"search them: pml-aug search {given.run} --index {given.out} --query {query}")
    return 0
