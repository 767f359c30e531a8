"""Seconds and memory of an evaluation of random embeddings: ``python docs/large_evaluation.py ROWS [exact|faiss]``."""

import resource
import sys
import time

import torch
from pml_aug_benchmarks.training.accuracy import RetrievalAccuracy
from pml_aug_benchmarks.training.neighbors import neighbor_search

DIMENSION, PER_CLASS = 128, 20

if __name__ == "__main__":
    rows, search = int(sys.argv[1]), neighbor_search(sys.argv[2] if len(sys.argv) > 2 else "exact", quiet=False)
    torch.set_num_threads(1)
    embeddings = torch.randn(rows, DIMENSION, generator=torch.Generator().manual_seed(0))
    torch.nn.functional.normalize(embeddings, out=embeddings)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kilobytes, on Linux
    wall, processor = time.perf_counter(), time.process_time()
    RetrievalAccuracy(torch.device("cpu"), search).get_accuracy(embeddings, torch.arange(rows) // PER_CLASS)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{rows:,} rows: {processor:.1f} s of one core, {wall:.1f} s; at most {after:.2f} GB, before {before:.2f}")
