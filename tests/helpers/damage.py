"""Damage to the content of a file, drawn at random."""

import numpy as np

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
