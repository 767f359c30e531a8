"""Display names of losses, methods, metrics and selection rules."""

ABBREVIATIONS = frozenset({"das", "ee", "iaa", "idml", "map", "ms", "nca", "nt", "ps", "see", "snr", "xbm"})
SPELLINGS = {name: name.upper() for name in ABBREVIATIONS} | {
    "cutmix": "CutMix", "introspective": "introspective metric", "memvir": "MemVir", "metrix": "Metrix", "symm": "Symm",
}  # fmt: skip
METRIC_NAMES = {
    "precision_at_1": "Precision@1",
    "r_precision": "R-precision",
    "mean_average_precision_at_r": "MAP@R",
    "nmi": "NMI",
    "ami": "AMI",
    "top_1": "Top-1",
    "top_5": "Top-5",
    "calibration_error": "Calibration error",
}
FEATURES = {"raw": "raw features", "raw_standardized": "standardised features"}  # in a sentence
RULE_NAMES = {"validation": "chosen by validation", "last": "last epoch", "test": "best on test"}
AS_PUBLISHED = "best epoch on the test set (as published)"


def metric_name(metric: str) -> str:
    """The metric as the field writes it.

    Example:
        >>> metric_name("recall_at_10"), metric_name("nmi")
        ('Recall@10', 'NMI')
    """
    return METRIC_NAMES.get(metric) or metric.replace("recall_at_", "Recall@")


def rule_name(rule: str, honest: str = "validation") -> str:
    """A selection rule as a column's name; without validation, the oracle is the rule of published training.

    Example:
        >>> rule_name("test"), rule_name("test", honest="last")
        ('best on test', 'best epoch on the test set (as published)')
    """
    return AS_PUBLISHED if (rule, honest) == ("test", "last") else RULE_NAMES[rule]


def counted_epoch(honest: str, chooser: str = "validation") -> str:
    """The epoch of the honest rule, in a sentence.

    Example:
        >>> counted_epoch("validation"), counted_epoch("validation", "the validation fold"), counted_epoch("last")
        ('epoch that validation chose', 'epoch that the validation fold chose', 'last epoch')
    """
    return f"epoch that {chooser} chose" if honest == "validation" else RULE_NAMES["last"]


def loss_name(name: str) -> str:
    """The loss in CamelCase, as PML's classes are; raw features, in the place of a loss, in words.

    Example:
        >>> loss_name("multi_similarity"), loss_name("proxy_nca"), loss_name("raw"), loss_name("softmax+cutmix")
        ('MultiSimilarity', 'ProxyNCA', 'Raw features', 'Softmax + CutMix')
    """
    if name in FEATURES:
        return FEATURES[name].capitalize()
    if "+" in name:
        return " + ".join(map(loss_name, name.split("+")))
    return "".join(SPELLINGS.get(part, part.capitalize()) for part in name.split("_"))


def method_name(name: str) -> str:
    """The method as its authors spell it; an unknown name stays as it is.

    Example:
        >>> method_name("none"), method_name("none+"), method_name("iaa_ps"), method_name("memvir")
        ('baseline', 'baseline, tuned longer', 'IAA PS', 'MemVir')
    """
    if name.startswith("none"):
        return "baseline, tuned longer" if name.endswith("+") else "baseline"
    return " ".join(SPELLINGS.get(part, part) for part in name.split("_"))
