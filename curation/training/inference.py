"""A frozen network made fast: what follows a convolution becomes part of it, and on a CPU batches run side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from curation.training.train import has_fast_bf16

# Activations that oneDNN applies while a convolution's output is still in its registers: name and numbers there.
FUSED_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.SiLU: ("swish", []),
    nn.Hardswish: ("hardswish", []),
}

# More than these would wait for each other's Python; what is left of the cores goes into each batch.
MOST_WORKERS = 8


def fast_inference(net: nn.Module, device: torch.device) -> tuple[nn.Module, torch.dtype]:
    """`net` on `device` for inference only, and the dtype that it takes: bfloat16 where that is fast.

    Its outputs are those of the plain network up to rounding. What cannot be traced or fused stays as it is.
    """
    net = _joined(net.eval().requires_grad_(False), (nn.BatchNorm2d,), _fold)
    # Weights in bfloat16 spare the casts of autocast: 1.7 times faster on a CPU.
    dtype = torch.bfloat16 if has_fast_bf16(device) else torch.float32
    net = net.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu" and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, _FUSED):
        # Another 1.4 times faster on mobilenet_v2: a quarter of the time went into clamping what is in memory already.
        net = _joined(net, tuple(FUSED_ACTIVATIONS), _FusedConv)
    return net, dtype


def _joined(
    net: nn.Module, followers: tuple[type[nn.Module], ...], join: Callable[[nn.Conv2d, nn.Module], nn.Module]
) -> nn.Module:
    """`net` with each convolution that one of `followers` directly follows replaced by what `join` makes of both."""
    try:
        traced = fx.symbolic_trace(net)
    except Exception:  # whatever a network does that cannot be traced, it is right as it stands
        return net
    modules = dict(traced.named_modules())
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    for node in list(traced.graph.nodes):
        source = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) > 1:
            continue
        conv, after = modules[str(source.target)], modules[str(node.target)]
        # A convolution that is called twice, or pads by a rule, is left alone.
        alone = calls[source.target] == 1 and type(conv) is nn.Conv2d and isinstance(conv.padding, tuple)
        if alone and conv.padding_mode == "zeros" and type(after) in followers:
            parent, _, name = str(source.target).rpartition(".")
            setattr(traced.get_submodule(parent), name, join(conv, after))
            node.replace_all_uses_with(source)
            traced.graph.erase_node(node)
    traced.recompile()
    return traced


def _fold(conv: nn.Conv2d, norm: nn.Module) -> nn.Module:
    """One convolution that does what `conv` and the batch norm behind it do."""
    return nn.utils.fuse_conv_bn_eval(conv, norm)  # type: ignore[arg-type]


_FUSED = "_convolution_pointwise"


class _FusedConv(nn.Module):
    """A convolution and the activation behind it as one call of oneDNN, the kernel that torch.compile uses, too."""

    def __init__(self, conv: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.geometry = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self.activation, self.numbers = FUSED_ACTIVATIONS[type(activation)]
        self.packed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.packed is None:  # in the order that is best for pictures of this size, and right for any other
            pack = torch.ops.mkldnn._reorder_convolution_weight
            self.packed = pack(self.weight, *self.geometry, list(x.shape))
        call = torch.ops.mkldnn._convolution_pointwise
        return call(x, self.packed, self.bias, *self.geometry, self.activation, self.numbers, "")


@contextmanager
def batch_workers(device: torch.device) -> Iterator[Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]]]:
    """A `map` over batches: several at a time on a CPU, one after the other on a GPU.

    A core that works on a batch of its own waits for nobody; two that share one meet after every layer (a sixth slower,
    and much worse on a busy machine).
    """
    if device.type != "cpu":
        yield map
        return
    threads = torch.get_num_threads()
    workers = min(threads, MOST_WORKERS)
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the workers' number is also what new threads would start with
