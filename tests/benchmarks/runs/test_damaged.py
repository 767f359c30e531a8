"""Damaged run directories: whatever happened to a file, the run is read as it was or refused in one sentence."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.errors import UserError
from benchmarks.report.gallery import gallery_arrays
from benchmarks.report.per_query import query_scores
from benchmarks.runs.reader import read_run
from benchmarks.runs.schema import CONFIG, DONE, ENVIRONMENT, GALLERY, PRIMARY, QUERIES, RESULT

TRIES = 400
FILES = (CONFIG, ENVIRONMENT, RESULT, QUERIES, GALLERY, DONE)
ODD = (b"null", b"[]", b"{}", b"-1", b"1e999", b'"\\ud800"', b"NaN", b"true", b"9" * 5000, b"!!python/name:os.system",
       b"!!int ''", b"{" * 3000, b"\x00", b"\xff\xfe", b"&a [*a, *a]", b"2024-13-45", b"? ? ? ?", b"")  # fmt: skip


def damage(content: bytes, random: np.random.Generator) -> bytes:
    start, length = int(random.integers(len(content))), int(random.integers(1, 40))
    piece = content[start : start + length]
    odd = ODD[random.integers(len(ODD))]
    flipped = bytes([content[start] ^ 1 << int(random.integers(8))])
    return (
        content[:start] + flipped + content[start + 1 :],
        content[:start],
        content[:start] + content[start + length :],
        content[:start] + odd + content[start + length :],
        content[:start] + piece + content[start:],
        odd,
    )[random.integers(6)]


def damage_value(content: bytes, random: np.random.Generator) -> bytes:
    """Replace one value of a JSON or YAML file by an odd one."""
    colons = [at for at in range(len(content)) if content[at : at + 2] == b": "]
    if not colons:
        return damage(content, random)
    start = colons[random.integers(len(colons))] + 2
    ends = [end for mark in (b",", b"}", b"\n") if (end := content.find(mark, start)) >= 0]
    return content[:start] + ODD[random.integers(len(ODD))] + content[min(ends, default=len(content)) :]


def read_all(directory: Path) -> None:
    run = read_run(directory)
    query_scores(run, PRIMARY)
    gallery_arrays(run)


def tries(pytestconfig: pytest.Config) -> int:
    """About a hundred tries per second; as many as fit into ``--fuzz-seconds``, where that is given."""
    return max(TRIES, int(100 * (pytestconfig.getoption("--fuzz-seconds", default=0) or 0)))


@pytest.mark.parametrize("sealed", [False, True], ids=["as found", "with the right sha256"])
def test_damage_is_refused_in_one_sentence_within_a_second(canned, pytestconfig, sealed):
    random = np.random.default_rng(int(sealed))
    whole = canned.write("triplet", "ee")
    kept = canned.root / "kept"
    shutil.move(whole, kept)
    slowest, refused = 0.0, 0
    for _ in range(tries(pytestconfig)):
        shutil.copytree(kept, whole)
        path = whole / FILES[random.integers(len(FILES))]
        before = path.read_bytes()
        after = (damage, damage_value)[random.integers(2)](before, random)
        path.write_bytes(after)
        if sealed:
            canned.reseal(whole)
        started = time.process_time()
        try:
            read_all(whole)
        except UserError as refusal:
            assert str(whole) in str(refusal) and "\n" not in str(refusal)
            refused += 1
        else:
            assert sealed or after == before or path.name == DONE
        slowest = max(slowest, time.process_time() - started)
        shutil.rmtree(whole)
    assert refused > TRIES / 2 and slowest < 1


def test_a_lost_file_is_always_named(canned):
    for name in FILES:
        folder = canned.write("triplet", "ee", note=name)
        (folder / name).unlink()
        with pytest.raises(UserError, match=str(folder)):
            read_all(folder)
