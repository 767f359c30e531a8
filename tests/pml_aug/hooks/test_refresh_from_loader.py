"""The refresh of class statistics in any loop is the one of the hook, and leaves the model as it was."""

import copy
import socket

import pytest
import torch
from pytorch_metric_learning import losses
from refresh_cases import IMAGES, NUM_CLASSES, SIZE, trainer_of, wrap
from torch import nn

from pml_aug.hooks import refresh_from_loader, refresh_statistics
from pml_aug.wrappers import CrossBatchMemory, DistributedLossWrapper, IntraClassAdaptiveAugmentation

ROWS, LABELS = torch.arange(24.0).reshape(12, 2) % 7, torch.arange(12) % NUM_CLASSES


def adaptive(size: int = SIZE) -> IntraClassAdaptiveAugmentation:
    return IntraClassAdaptiveAugmentation(losses.ContrastiveLoss(), NUM_CLASSES, size)


def test_statistics_are_those_of_the_hook():
    by_hook, by_loader = wrap(), wrap()
    trainer = trainer_of(by_hook, refresh_statistics(first_epoch=2, batch_size=4))
    trainer.train(num_epochs=1)
    network = nn.Sequential(*trainer.models.values())
    loader = torch.utils.data.DataLoader(trainer.dataset, batch_size=4)
    refresh_from_loader(by_loader, network, loader)
    assert by_loader.statistics.count.sum() == IMAGES
    for name, values in by_hook.statistics.state_dict().items():
        assert torch.equal(values, by_loader.statistics.state_dict()[name]), name


def test_model_and_modes_are_as_before_and_batchnorm_is_fixed():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(), nn.Linear(2, SIZE)).eval()
    model[1].train()
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    seen = []
    model[2].register_forward_hook(lambda *_: seen.append((torch.is_grad_enabled(), [m.training for m in model])))
    refresh_from_loader(adaptive(), model, [(ROWS, LABELS)])
    assert seen == [(False, [False, True, True])]
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())


@pytest.mark.parametrize(
    "nest",
    [lambda loss: CrossBatchMemory(loss, SIZE), DistributedLossWrapper, lambda loss: nn.ModuleList([loss])],
    ids=["memory", "distributed", "list"],
)
def test_a_wrapper_inside_another_module_is_found(nest):
    wrapper = adaptive()
    refresh_from_loader(nest(wrapper), nn.Linear(2, SIZE), ((rows, LABELS[:6]) for rows in ROWS.split(6)))
    assert wrapper.statistics.count.sum() == 12


def test_what_cannot_be_read_is_refused_and_leaves_the_statistics():
    wrapper, model = adaptive(), nn.Linear(2, SIZE)
    used_up = iter(())
    with pytest.raises(ValueError, match="found no IntraClassAdaptiveAugmentation in ContrastiveLoss"):
        refresh_from_loader(losses.ContrastiveLoss(), model, [(ROWS, LABELS)])
    with pytest.raises(ValueError, match="the loader gave no batch"):
        refresh_from_loader(wrapper, model, used_up)
    with pytest.raises(ValueError, match=r"pairs \(images, labels\), but gave a dict"):
        refresh_from_loader(wrapper, model, [{"pixels": ROWS, "labels": LABELS}])
    with pytest.raises(ValueError, match=r"must be of shape \(rows, 4\), but got \(12, 2\)"):
        refresh_from_loader(wrapper, nn.Identity(), [(ROWS, LABELS)])
    with pytest.raises(TypeError, match="sharded must be True or False"):
        refresh_from_loader(wrapper, model, [(ROWS, LABELS)], sharded=2)
    assert wrapper.statistics.is_empty


def _refresh_a_shard(rank: int, port: int) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    own, whole = adaptive(2), adaptive(2)
    part = slice(0, 5) if rank == 0 else slice(5, 12)
    refresh_from_loader(own, nn.Identity(), [(ROWS[part], LABELS[part])], sharded=True)
    refresh_from_loader(whole, nn.Identity(), [(ROWS, LABELS)])
    assert torch.equal(own.statistics.count, whole.statistics.count)
    torch.testing.assert_close(own.statistics.mean, whole.statistics.mean)
    torch.testing.assert_close(own.variance, whole.variance)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_with_a_part_of_the_training_set_each_get_the_statistics_of_all_of_it():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(_refresh_a_shard, (port,), nprocs=2, start_method="fork")
