"""What an audit may find before no table is made of the runs."""

from collections.abc import Mapping
from typing import Any

THRESHOLD = 0.995  # correlation of thumbnails from which two images are near-identical
TWINS_ALLOWED = 0.01  # share of the test images that may have a near-identical image on the training side
IDENTICAL_ALLOWED = 0.0  # share of the test images, and of the validation images, that may have an identical one there


def leaks(
    found: Mapping[str, Any], allowed: float = TWINS_ALLOWED, identical_allowed: float = IDENTICAL_ALLOWED
) -> list[str]:
    """One sentence for each finding of ``benchmarks.data.audit.audit`` that a table must not rest on; none when it may.

    No class may be on both sides, of test or of validation, and no identical image, unless a configuration declares
    that its data have some, as sets whose split was published with them may. Near-identical test images may be
    ``allowed`` of all: in a class-disjoint split a twin belongs to another class, so it is an ambiguous drawing rather
    than a training image handed to the test, and alphabets are full of them. As a query's score moves by 100 points at
    most, the twins' own scores move a level by at most 100 times their share, for the baseline as for the method.

    Args:
        found: the audit.
        allowed: share of the test images, 0 to 1: ``data.twins_allowed`` of the configuration.
        identical_allowed: share of the images of a side, 0 to 1: its ``data.identical_allowed``.
    """
    problems = []
    for side, counts in (("test", found), ("validation", found["validation"])):
        if counts["shared_classes"]:
            problems.append(f"{counts['shared_classes']} classes are on both sides of the {side} split")
        if counts["identical"] > identical_allowed * counts["images"]:
            problems.append(
                f"{counts['identical']} {side} images are identical to images on the training side; take them out, or, "
                "where the split is published so, declare their share with data.identical_allowed"
            )
    if found["near_identical"] > allowed * found["images"]:
        pairs = "; ".join(" and ".join(pair) for pair in found["examples"][:3])
        share = found["near_identical"] / found["images"]
        problems.append(
            f"{found['near_identical']} of {found['images']} test images are near-identical to images on the training "
            f"side (such as {pairs}), but at most {100 * allowed:g} % may be; take them out, or, where such pairs "
            f"belong to the subject, declare it with data.twins_allowed={share:.3f} or more"
        )
    return problems
