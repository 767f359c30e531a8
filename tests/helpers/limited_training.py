"""Train on mapped features in a process whose own memory is limited; pages of mapped files do not count.

Arguments: a directory of features, a directory for the run, bytes beyond what the imports took, and whether to keep all
features as float32 ("held") or to read them a batch at a time ("read").
"""

import resource
import sys
from pathlib import Path

from benchmarks.config.compose import compose
from benchmarks.data import features as reading
from benchmarks.training import feature_store
from benchmarks.training.train import train

STATUS = Path("/proc/self/status")


def own_bytes() -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    reading.BLOCK_BYTES = 2**22
    features, runs, allowed, kept = sys.argv[1:]
    feature_store.HELD_AT_MOST = 2**40 if kept == "held" else 0
    words = [
        "data=features", f"data.path={features}", "data.name=large", f"runs={runs}", "quiet=true", "device=cpu",
        "data.drop_constant=true", "protocol.epochs=2", "protocol.iterations_per_epoch=3", "protocol.batch_size=16",
        "protocol.embedding_size=8",
    ]  # fmt: skip
    config, options = compose(words)
    limit = own_bytes() + int(allowed)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    print(train(config, options))
