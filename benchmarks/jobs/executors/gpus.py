"""Which GPUs there are, by the names that CUDA_VISIBLE_DEVICES takes."""

import os


def visible_gpus() -> list[str]:
    """Of this process: names to set CUDA_VISIBLE_DEVICES to, one a GPU; none without CUDA."""
    import torch  # it takes seconds, which every process of a pool would spend

    count = torch.cuda.device_count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in given.split(",")] if given else [str(index) for index in range(count)]
    return names[:count]
