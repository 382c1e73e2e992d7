"""Inference: folding and fusing change the speed of a network, not what it says."""

import copy
import threading
import time

import pytest
import torch
from torch import nn

from curation.training.inference import FUSED_ACTIVATIONS, batch_workers, fast_inference

CPU = torch.device("cpu")


class Awkward(nn.Module):
    """What must not be joined: a convolution called twice, one whose output is used twice, padding by a rule."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.same = nn.Conv2d(4, 4, 3, padding="same")
        self.mirrored = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(4))
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.norms[0](self.twice(x)) + self.norms[1](self.twice(x))
        y = self.shared(x)
        x = self.norms[2](y) + self.relu(y)
        return self.relu(self.norms[3](self.same(x))) + self.relu(self.mirrored(x))


class Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3)

    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else self.conv(-x)


def _plain(activation):
    return nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), activation, nn.Conv2d(8, 4, 1))


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _trained(net):
    """`net` with statistics of batch norm that are not those of the start."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
    return net.eval()


@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("name", [*(kind.__name__ for kind in FUSED_ACTIVATIONS), "Awkward", "Untraceable"])
def test_a_fast_network_says_what_the_plain_one_says(name, bf16, monkeypatch):
    if bf16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this CPU has no bfloat16")
    monkeypatch.setattr("curation.training.inference.has_fast_bf16", lambda _: bf16)
    net = _trained({"Awkward": Awkward, "Untraceable": Untraceable}.get(name, lambda: _plain(getattr(nn, name)()))())
    fast, dtype = fast_inference(copy.deepcopy(net), CPU)
    images = 3 * torch.randn(4, 4, 12, 12)
    with torch.inference_mode():
        for part in (images, images[:3], images[:, :, :9]):  # weights are packed for the first of them
            expected = net(part)
            close = {"rtol": 0.05, "atol": 0.05 * float(expected.std())} if bf16 else {"rtol": 1e-3, "atol": 1e-4}
            torch.testing.assert_close(fast(part.to(dtype)).float(), expected, **close)


def test_batch_norm_and_activation_become_part_of_the_convolution():
    fast, _ = fast_inference(_trained(_plain(nn.ReLU6())), CPU)
    called = [type(fast.get_submodule(node.target)).__name__ for node in fast.graph.nodes if node.op == "call_module"]
    assert called == ["_FusedConv", "Conv2d"]


def test_workers_keep_the_order_and_leave_the_number_of_threads_as_it_was():
    usual, seen = torch.get_num_threads(), []
    torch.set_num_threads(3)
    try:
        with batch_workers(CPU) as workers:
            assert list(workers(lambda start: 2 * start, range(20))) == list(range(0, 40, 2))
            assert set(workers(lambda _: torch.get_num_threads(), range(20))) == {1}
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert [torch.get_num_threads(), *seen] == [3, 3]
    finally:
        torch.set_num_threads(usual)


def test_an_interrupted_loop_stops_the_batches_that_wait():
    done = []

    def work(start):
        done.append(start)
        time.sleep(0.01)

    def interrupted():
        with batch_workers(CPU) as workers:
            results = workers(work, range(1000))
            next(results)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(done) < 100
