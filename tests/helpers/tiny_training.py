"""The settings that make a training tiny: what tests of whole trainings share."""

# Lengths are each test's own: iterations and epochs come after these. Of a key given twice, the later value counts.
TINY = [
    "data.num_classes=24",
    "data.image_size=12",
    "trunk.network.widths=[4,8]",
    "protocol.batch_size=8",
    "protocol.embedding_size=8",
    "quiet=true",
    "device=cpu",
]
