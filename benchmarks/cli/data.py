"""Look at a data set before a training does, and make what a training would have to make first."""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.config.compose import RunConfig, compose, options_of
from benchmarks.data import ImageArrays, RaggedImages, emoji, glyphs, load
from benchmarks.data.audit import audit_or_refuse
from benchmarks.data.describing import describe_classes, describe_folds, describe_images, describe_parts, line
from benchmarks.data.listing import Listing
from benchmarks.data.loading import SHIPPED_GLYPHS, is_decoded, listing, store_of
from benchmarks.data.npz import read_npz
from benchmarks.data.ragged import digest
from benchmarks.data.split import class_disjoint_split
from benchmarks.runs.writer import write_whole


def main(argv: Sequence[str]) -> int:
    """``python -m benchmarks data``; 1 if something is wrong with the data."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks data",
        description="check: say what a data set holds and what is wrong with it. build: decode its images into the "
        "cache, or draw glyphs or emoji from their sources.",
        epilog=f"data sets (files under configs/data/): {', '.join(options_of('data'))}\n"
        "example: python -m benchmarks data check cub data.path=CUB_200_2011",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("check", "build"))
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as data.path=FOLDER")
    given = parser.parse_args(argv)
    config, options = compose([f"data={given.name}", *given.overrides])
    try:
        for text in check(config, Path(options.runs)) if given.action == "check" else build(config.data):
            print(text, flush=True)
    except (OSError, ValueError) as error:
        print(line("problem", str(error)))
        return 1
    return 0


def check(config: RunConfig, runs: Path) -> Iterator[str]:
    """What a data set holds, line by line. Images that are not decoded yet are counted, not read.

    Args:
        config: of a training on it.
        runs: where that training would be written; an audit that took long is kept there for it.

    Raises:
        OSError, ValueError: for what is wrong.
    """
    group, num_folds = config.data, config.protocol.num_folds
    yield line("data", f"{group['name']}: {group['path'] or 'shipped with the benchmark'}")
    if is_decoded(group):
        files = listing(group)
        yield line("files", f"{len(files.files):,}, {sum(file.stat().st_size for file in files.files) / 1e9:.3f} GB")
        yield from _describe_split(files, config)
        store = store_of(group, files)
        if not store.exists():
            yield line(
                "decoded", f"not yet; python -m benchmarks data build {group['kind']}, or the first training, does"
            )
            return
        yield line("decoded", str(store))
    data = load(group)
    if not is_decoded(group):
        yield from _describe_split(data, config)
    yield from describe_images(data)
    yield line("hash", data.content_hash)
    require_content(group, data)
    for fold in range(num_folds):
        split = class_disjoint_split(data.labels, fold, num_folds, data.partition)
        audit_or_refuse(data, split, group, runs / "audits")
    yield line("problems", "none")


def _describe_split(data: Listing | ImageArrays, config: RunConfig) -> Iterator[str]:
    yield from describe_classes(data.labels, len(data.class_names))
    if isinstance(data, Listing):
        yield from describe_parts(data)
    num_folds = config.protocol.num_folds
    class_disjoint_split(data.labels, config.fold, num_folds, data.partition)  # refuses a fold that there is not
    yield from describe_folds(data.labels, data.partition, num_folds)


def require_content(group: Mapping[str, Any], data: ImageArrays) -> None:
    """Refuses pixels that changed since they were decoded, and emoji that are not those others compare on."""
    if isinstance(data.images, RaggedImages):
        for row, picture in enumerate(data.images):
            if digest(picture) != data.images.digests[row].tobytes():
                raise ValueError(f"image {row} has changed since it was decoded; delete the folder of decoded images")
    as_built = group["num_classes"] is None and group["image_size"] in (None, emoji.SIDE)
    if group["kind"] == "emoji" and as_built and data.content_hash != emoji.CONTENT_HASH:
        raise ValueError(f"not the emoji that others compare on, whose hash is {emoji.CONTENT_HASH}; build them anew")


def build(group: Mapping[str, Any]) -> Iterator[str]:
    """Make what a training would have to make first; a line says what.

    Raises:
        OSError, ValueError: if it cannot be made.
    """
    if group["kind"] == "glyphs":
        arrays = glyphs.build()
        yield from _write("glyphs", Path("data/glyphs64.npz"), arrays, read_npz(SHIPPED_GLYPHS, "glyphs").content_hash)
    elif group["kind"] == "emoji":
        with tempfile.TemporaryDirectory() as folder:
            packages = emoji.fetch_packages(Path(folder))
            arrays = emoji.build(packages)
            credit = emoji.notice(packages)
        path = Path(group["path"]).expanduser()
        yield from _write("emoji", path, arrays, emoji.CONTENT_HASH)
        write_whole(path.with_suffix(".NOTICE.txt"), credit.encode())
    elif is_decoded(group):
        data = load(group)
        yield line("decoded", str(store_of(group, listing(group))))
        yield from describe_images(data)
        yield line("hash", data.content_hash)
    else:
        yield line("nothing", f"data={group['kind']} is read as it is; there is nothing to build")


def _write(name: str, path: Path, arrays: Mapping[str, np.ndarray], expected: str) -> Iterator[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.stem}.unfinished.npz")
    np.savez_compressed(unfinished, allow_pickle=False, **arrays)
    found = read_npz(unfinished, name).content_hash
    unfinished.replace(path)
    yield line("built", f"{path}, {path.stat().st_size / 1e6:.1f} MB")
    yield line("hash", found)
    if found == expected:
        yield line("equal", "to what others compare on, to the last pixel")
    else:
        yield line("note", f"not what others compare on, whose hash is {expected}: other versions draw differently")
