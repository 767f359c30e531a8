import pytest

from benchmarks.config.compose import compose, options_of
from benchmarks.errors import UserError

PML = "pytorch_metric_learning"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("loss=tripelt", "unknown loss 'tripelt'; the nearest known one is 'triplet'"),
        ("method=eee", "unknown method 'eee'; the nearest known one is 'ee'"),
        ("sed=1", "unknown key 'sed'; the nearest known one is 'seed'"),
        ("protocol.epoch=1", "unknown key 'protocol.epoch'; the nearest known one is 'protocol.epochs'"),
        ("loss.criterion.alhpa=1", "the nearest known one is 'loss.criterion.alpha'"),
        ("method.wrapper.num_points=1", "unknown key 'method.wrapper.num_points'"),  # the baseline has no wrapper
        ("fold=first", "fold must be a whole number, but got 'first'"),
        ("protocol.epochs=2.5", "protocol.epochs must be a whole number, but got 2.5"),
        ("+extra=1", "expected key=value"),
        ("~seed", "expected key=value"),
        ("seed=0,1", "expected key=value"),
        ("seed", "cannot read 'seed': write key=value"),
        ("data.path=~/x", """cannot read 'data.path=~/x': write "data.path='~/x'", with both kinds of quotes"""),
        ("seed=-1", "seed must be at least 0, but got -1"),
        ("threads=0", "threads must be at least 1 and at most 1024, but got 0"),
        (f"runs={__file__}/deeper", f"runs must be a directory, but {__file__} is a file"),
        ("protocol.epochs=0", "protocol.epochs must be at least 1 and at most 1000000, but got 0"),
        ("protocol.patience=-1", "protocol.patience must be at least 0 and at most 1000000, but got -1"),
        ("protocol.num_folds=0", "protocol.num_folds must be at least 1 and at most 1000, but got 0"),
        ("protocol.warmup_epochs=13", "must be between 0 and protocol.epochs=12, but got 13"),
        ("protocol.embedder_lr=-1", "protocol.embedder_lr must be null or at least 0, but got -1.0"),
        ("protocol.clip_grad=0", "protocol.clip_grad must be null or above 0, but got 0.0"),
        ("protocol.test_scoring=twice", "must be one of never, once, every, but got 'twice'"),
        ("protocol.precision=float16", "must be one of float32, bfloat16, but got 'float16'"),
        ("protocol.embedder_lr=1e400", "protocol.embedder_lr must be a finite number, but got inf"),
        ("loss.miner.epsilon=nan", "loss.miner.epsilon must be a finite number, but got nan"),
        ("loss.miner.epsilon=99999999999999999999", "loss.miner.epsilon must be a number of at most 64 bits"),
        ("loss.criterion={a: {b: 1, 2: 3}}", "loss.criterion.a must have text as keys, but got 2"),
        ("loss.miner='${seed}'", "references are not followed"),
        ("loss@method=triplet", "cannot use 'loss@method=triplet': expected key=value"),
        ("loss=[triplet]", "unknown loss"),
        ("hydra.run.dir=x", "unknown key 'hydra.run.dir'"),
        ("trunk.network=[]", "trunk.network must be a mapping such as {_target_: package.Class"),
        ("loss.miner=3", "loss.miner must be a mapping such as"),
        ("trunk.unfreeze=blocks", "trunk.unfreeze must be a list such as [a, b], but got 'blocks'"),
        ("trunk.unfreeze=[1]", "trunk.unfreeze[0] must be text, but got 1"),
        ("protocol.embedder={biass: zero}", "the nearest known one is 'protocol.embedder.bias'"),
        ("protocol.epochs=???", "protocol.epochs must be a whole number, but got '???'"),
        ("protocol.batch_size=4", "gives batches of one class, from which nothing is learnt"),
        ("protocol.embedding_size=999999999", "protocol.embedding_size must be at least 1 and at most 65536"),
        ("fold=4", "fold must be between 0 and 3"),
        ("device=meta", "device must be auto, cpu, cuda, cuda:1 or mps, but got 'meta'"),
        ("protocol.epsilon=1", "unknown key 'protocol.epsilon'"),
        ("tuned={study: s}", "tuned.trial"),
        ("trunk.normalization={mean: [0.5], std: [0.0]}", "std and scale must be positive, but got std=[0.0]"),
        ("trunk.normalization={mean: [0.5, 0.5], std: [1, 1]}", "for 1 or for 3 channels, but got 2 and 2"),
        ("protocol.batch_size=30", "must divide protocol.batch_size=30, but got 4"),
        ("data.image_size=abc", "data.image_size"),
        ("data.num_classes=24.5", "data.num_classes"),
        ("data.num_classes=true", "data.num_classes"),
        ("data.name=null", "data.name"),
        ("data.twins_allowed=null", "data.twins_allowed"),
        ("method.control=mixpu", "unknown method 'mixpu'; the nearest known one is 'mixup'"),
        ("method.control=[none]", "method.control of none must name other methods, but got ['none']"),
        ("data.identical_allowed=1.5", "data.identical_allowed must be a share between 0 and 1, but got 1.5"),
    ],
)
def test_a_wrong_word_is_refused_by_name(override: str, sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        compose([override])
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("protocol.patience=3", "patience=3 waits for a better validation score"),
        ("protocol.test_scoring=never", "test_scoring=never, as in tuning, leaves validation scores alone"),
    ],
)
def test_what_needs_validation_is_refused_where_no_fold_validates(override: str, sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        compose(["protocol.num_folds=1", override])
    said = str(refusal.value)
    assert said.startswith("protocol quickstart has no validation (protocol.num_folds=1)") and sentence in said
    assert "protocol.num_folds=4" in said


def test_keys_of_a_chosen_group_option_can_be_set() -> None:
    config, _ = compose(["method=ee", "method.wrapper.num_points=5", "data=npz", "data.path='/a b/c=d.npz'"])
    assert config.method.wrapper is not None and config.method.wrapper["num_points"] == 5
    assert config.data.path == "/a b/c=d.npz"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["method.name=ee"], "method.name=ee: the name is that of the chosen option, method=none"),
        (["loss.name=triplet"], "loss.name=triplet: the name is that of the chosen option, loss=multi_similarity"),
        (["trunk.name=resnet50"], "leave trunk.name out"),
        (["protocol.name=standard"], "leave protocol.name out"),
        (["loss.criterion._target_=torch.nn.Identity", "loss.name=triplet"], "must be a new name"),
        (["loss.criterion._target_=torch.nn.Identity", "loss.name='a b'"], "must be a new name"),
    ],
)
def test_a_training_has_the_name_of_what_it_trains(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        compose(overrides)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("overrides", "group", "name"),
    [
        (["method.wrapper={_target_: pml_aug.wrappers.CrossBatchMemory}"], "method", "none-CrossBatchMemory"),
        (["method.wrapper={_target_: pml_aug.wrappers.CrossBatchMemory}", "method.name=own"], "method", "own"),
        (["method=ee", "method.wrapper=null"], "method", "ee-no_wrapper"),
        (["loss.criterion._target_=torch.nn.Identity"], "loss", "multi_similarity-Identity"),
        (["loss.miner=null"], "loss", "multi_similarity-no_miner"),
        (["trunk.network._target_=torch.nn.Flatten"], "trunk", "small_cnn-Flatten"),
        (["recipe=idml/cub", "method=none"], "method", "none"),
        (["recipe=idml/cub"], "protocol", "idml/cub"),
    ],
)
def test_what_has_other_classes_than_its_option_has_another_name(overrides: list[str], group: str, name: str) -> None:
    assert getattr(compose(overrides)[0], group).name == name


def test_of_a_key_or_group_given_twice_the_later_value_counts() -> None:
    config, _ = compose(["loss=triplet", "seed=1", "loss=contrastive", "seed=2", "recipe=idml/cub", "recipe=null"])
    assert (config.loss.name, config.seed, config.data.name) == ("contrastive", 2, "glyphs")


def test_a_mapping_is_merged_into_the_one_that_is_there() -> None:
    config, _ = compose(["loss.criterion={alpha: 3}", "protocol.embedder={bias: zero}", "protocol.embedder.bias=null"])
    assert config.loss.criterion["alpha"] == 3 and config.loss.criterion["beta"] == 50
    assert config.protocol.embedder.bias is None and config.protocol.embedder.layer_norm is False


def test_composing_one_configuration_leaves_the_next_alone() -> None:
    changed, _ = compose(["loss.criterion.alpha=7"])
    changed.loss.criterion["beta"] = 0
    assert compose([])[0].loss.criterion == {**changed.loss.criterion, "alpha": 2, "beta": 50}


def test_the_identity_leaves_out_where_and_how_a_run_is_computed() -> None:
    plain, _ = compose([])
    elsewhere, options = compose(["runs=/elsewhere", "quiet=true", "threads=3", "device=cpu"])
    assert plain.identity() == elsewhere.identity()
    assert (options.runs, options.quiet, options.threads, options.device) == ("/elsewhere", True, 3, "cpu")


def test_the_identity_holds_everything_that_moves_the_numbers() -> None:
    plain = compose([])[0].identity()
    for override in ("seed=1", "fold=1", "loss.criterion.alpha=3", "data.num_classes=50", "protocol.epochs=1"):
        assert compose([override])[0].identity() != plain


@pytest.mark.slow
def test_every_option_of_every_group_composes() -> None:
    from benchmarks.config.compose import GROUPS

    for group in GROUPS:
        for option in options_of(group):
            given = [f"loss.criterion._target_={PML}.losses.NCALoss"] if option == "pml" else []
            name = "pml-NCALoss" if option == "pml" else option
            assert compose([f"{group}={option}", *given])[0].identity()[group]["name"] == name


@pytest.mark.slow
@pytest.mark.parametrize("embedder", options_of("embedder"))
@pytest.mark.parametrize("protocol", ["frozen", "paper_iaa"])  # without and with a start of the linear layer
def test_every_embedder_goes_with_every_protocol(embedder: str, protocol: str) -> None:
    config, _ = compose([f"embedder={embedder}", f"protocol={protocol}"])
    assert config.protocol.embedder.kind == embedder
    assert config == compose([f"protocol={protocol}", "embedder=linear", f"embedder={embedder}"])[0]
    assert compose([f"embedder={embedder}", "embedder=null"]) == compose([])


def test_keys_of_an_embedder_are_those_of_the_protocol() -> None:
    assert compose(["embedder=mlp", "protocol.embedder.hidden_size=9"])[0].protocol.embedder.hidden_size == 9
    with pytest.raises(UserError, match="the nearest known one is 'protocol.embedder.hidden_size'"):
        compose(["embedder=mlp", "embedder.hidden_size=9"])


def test_another_class_drops_the_arguments_of_the_one_it_replaces() -> None:
    trunk = compose(["trunk.network._target_=torch.nn.Flatten", "trunk.network.start_dim=1"])[0].trunk
    assert trunk.network == {"_target_": "torch.nn.Flatten", "start_dim": 1}
    loss = compose(["loss.criterion={_target_:pytorch_metric_learning.losses.CircleLoss,m:0.3}"])[0].loss
    assert loss.criterion == {"_target_": "pytorch_metric_learning.losses.CircleLoss", "m": 0.3}


def test_the_same_class_keeps_its_arguments() -> None:
    target = compose([])[0].trunk.network["_target_"]
    trunk = compose([f"trunk.network._target_={target}", "trunk.network.widths=[4,8]"])[0].trunk
    assert trunk.network == {"_target_": target, "widths": [4, 8]}
    again = compose([f"loss.criterion._target_={compose([])[0].loss.criterion['_target_']}", "loss.criterion.alpha=3"])
    assert again[0].loss.criterion["alpha"] == 3 and again[0].loss.criterion["beta"] == 50


def test_arguments_of_a_class_that_a_file_names_are_still_checked() -> None:
    with pytest.raises(UserError, match="unknown key 'trunk.network.start_dim'"):
        compose(["trunk.network.start_dim=1"])
    with pytest.raises(UserError, match="unknown key 'trunk.network.deeper.start_dim'"):
        compose(["trunk.network._target_=torch.nn.Flatten", "trunk.network.deeper.start_dim=1"])


@pytest.mark.parametrize(
    ("control", "controls"),
    [
        ("null", {}),
        ("mixup", {"mixup": ""}),
        ("[mixup,ee]", {"mixup": "", "ee": ""}),
        ("{mixup: the metric, ee: null}", {"mixup": "the metric", "ee": ""}),
    ],
)
def test_controls_of_a_method_are_named_by_its_configuration(control: str, controls: dict[str, str]) -> None:
    config, _ = compose(["method=ps_mixtures", f"method.control={control}"])
    assert config.method.controls == controls


def test_naming_a_control_does_not_change_which_run_it_is() -> None:
    assert compose(["method=ee"])[0].identity() == compose(["method=ee", "method.control=mixup"])[0].identity()
    assert "control" not in compose(["method=idml"])[0].identity()["method"]
