"""Train on mapped features or images in a process whose own memory is limited; pages of mapped files do not count."""

import resource
from pathlib import Path

from benchmarks.config.compose import compose
from benchmarks.data import decode_cache
from benchmarks.data import features as reading
from benchmarks.data.ragged import RaggedImages
from benchmarks.training import evaluation, feature_store
from benchmarks.training.train import train

STATUS = Path("/proc/self/status")
WORDS = {
    "features": ["data=features", "data.drop_constant=true"],
    "images": [
        "data=folder",
        "data.resize=short_side",
        "trunk=small_cnn",
        "protocol=smoke",
        "protocol.train_images={_target_: benchmarks.training.transforms.RandomResizedCrop, size: 24}",
        "protocol.eval_images={_target_: benchmarks.training.transforms.CenterCrop, size: 24}",
    ],
}


def own_bytes() -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024


def images_in_memory(folder: Path, num_images: int) -> RaggedImages:
    mapped = open_store(folder, num_images)
    return RaggedImages(mapped.pixels.copy(), mapped.offsets, mapped.sizes, mapped.channels, mapped.known_digests)


open_store = decode_cache.open_store


def train_limited(kind: str, path: Path, runs: Path, allowed: int, kept: str) -> None:
    """Train, limit this process for good, and print the run directory.

    Args:
        kind: "features" or "images".
        path: their directory.
        runs: a directory for the run.
        allowed: bytes beyond what the imports took.
        kept: whether to keep all of them in memory ("held", features as float32) or to read them a batch at a time
            ("read").
    """
    reading.BLOCK_BYTES = 2**22
    evaluation.BATCH_SIZE = 16
    feature_store.HELD_AT_MOST = 2**40 if kept == "held" else 0
    if kept == "held":
        decode_cache.open_store = images_in_memory
    words = [
        *WORDS[kind], f"data.path={path}", "data.name=large", f"runs={runs}", "quiet=true", "device=cpu",
        "protocol.epochs=2", "protocol.iterations_per_epoch=3", "protocol.batch_size=16", "protocol.embedding_size=8",
    ]  # fmt: skip
    if kind == "images":
        words += [f"data.cache={path.with_name('cache')}", "data.image_size=400", "protocol.evaluate_every=1"]
    config, options = compose(words)
    limit = own_bytes() + allowed
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    print(train(config, options))
