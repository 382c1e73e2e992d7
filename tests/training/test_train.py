"""Training: margins, robustness, memory that runs out, determinism; on tiny pictures."""

import numpy as np
import pytest
import torch

from curation.errors import SettingsError, WeightsError
from curation.training.model import CompactNet, TorchvisionNet, augment, load_backbone
from curation.training.train import (
    Batches,
    Margins,
    TrainConfig,
    channel_statistics,
    fit,
    generalised_cross_entropy,
    halve_on_oom,
    label_margin,
    predict,
)

CPU = torch.device("cpu")


def _silent(_):
    pass


def _pictures(count, size=16, seed=0):
    """Bright squares on the left (class 0) or on the right (class 1), with noise."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60, (count, size, size, 3), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 2
    for i, label in enumerate(labels):
        pixels[i, 4:12, 8 * label + 1 : 8 * label + 7] += 150
    return pixels, labels


def _train(pixels, labels, seed=0, epochs=4, net=None, say=_silent):
    mean, std = channel_statistics(pixels, np.arange(len(pixels)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = net or CompactNet(2, pixels.shape[1], widths=(8, 16, 16))
    margins, batches = Margins.empty(len(labels)), Batches(pixels, CPU, say)
    config = TrainConfig(epochs, batch_size=16, flip=False)
    fit(net, batches, labels, np.arange(len(labels)), mean, std, config, seed, margins, _silent, say)
    logits, features = predict(net, batches, np.arange(len(labels)), mean, std, False, say)
    return logits, features, margins.mean()


def test_a_wrong_label_has_the_lowest_margin():
    pixels, labels = _pictures(96)
    wrong = [3, 40, 77]
    labels[wrong] = 1 - labels[wrong]
    _, _, margin = _train(pixels, labels, epochs=6)
    assert set(np.argsort(margin)[:3]) == set(wrong)


def test_a_seed_decides_the_result_on_the_cpu():
    pixels, labels = _pictures(48)
    first, second, other = (_train(pixels, labels, seed=s, epochs=2) for s in (0, 0, 1))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[2], second[2])
    assert not np.array_equal(first[0], other[0])


def test_margins_of_samples_never_trained_on_are_nan():
    margins = Margins.empty(3)
    margins.add(np.array([0, 0, 2]), np.array([1.0, 3.0, -1.0]))
    assert np.array_equal(margins.mean(), np.array([2, np.nan, -1], dtype=np.float32), equal_nan=True)


def test_label_margin_is_given_minus_best_other():
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]])
    assert label_margin(logits, torch.tensor([0, 2])).tolist() == [1.0, -4.0]


def test_generalised_cross_entropy_lies_between_cross_entropy_and_absolute_error():
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.tensor([0, 0])
    p = torch.softmax(logits, 1)[:, 0]
    assert torch.allclose(generalised_cross_entropy(logits, labels, 1.0), 1 - p)
    assert torch.allclose(generalised_cross_entropy(logits, labels, 1e-4), -p.log(), atol=1e-2)
    assert torch.allclose(generalised_cross_entropy(logits, labels, 0.0), -p.log())


def test_out_of_memory_halves_the_batch_and_goes_on():
    tried, said = [], []

    def step(batch):
        tried.append(batch)
        if batch > 20:
            raise torch.OutOfMemoryError("no room")
        return torch.ones(1)

    _, batch = halve_on_oom(step, 64, said.append)
    assert (tried, batch) == ([64, 32, 16], 16)
    assert "16 pictures" in said[-1]


def test_out_of_memory_with_a_tiny_batch_says_what_to_do():
    def step(batch):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(SettingsError, match="--size"):
        halve_on_oom(step, 64, _silent)


class _Greedy(CompactNet):
    """Runs out of memory above 8 pictures at a time."""

    def forward(self, x):
        if self.training and len(x) > 8:
            raise torch.OutOfMemoryError("no room")
        return super().forward(x)


def test_training_survives_out_of_memory_with_the_same_number_of_steps():
    pixels, labels = _pictures(48)
    said = []
    torch.manual_seed(0)
    logits, _, margin = _train(pixels, labels, epochs=6, net=_Greedy(2, 16, widths=(8, 16, 16)), say=said.append)
    assert said == ["The device ran out of memory; going on with 8 pictures at a time."]
    assert np.isfinite(margin).all()
    assert (logits.argmax(1) == labels).mean() > 0.9


def test_augmentation_keeps_pictures_as_they_are_but_for_shift_and_mirror():
    images = torch.arange(2 * 6 * 6 * 3, dtype=torch.uint8).view(2, 6, 6, 3)
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(augment(images, generator, flip=False, shift_px=0), images)
    seen = {tuple(augment(images[:1], generator, flip=True, shift_px=0).flatten().tolist()) for _ in range(20)}
    assert seen == {tuple(images[:1].flatten().tolist()), tuple(images[:1].flip(2).flatten().tolist())}


def test_without_flip_nothing_is_ever_mirrored():
    images = torch.zeros(64, 8, 8, 3, dtype=torch.uint8)
    images[:, :, 0] = 255
    out = augment(images, torch.Generator().manual_seed(1), flip=False, shift_px=1)
    assert not (out[:, :, -1] == 255).any()


@pytest.mark.parametrize("size", [16, 32, 64, 96])
def test_the_compact_network_takes_any_size_at_the_same_cost(size):
    net = CompactNet(3, size, widths=(8, 8, 8))
    net.fit_whitening(torch.randn(20, 3, size, size))
    logits, features = net(torch.randn(2, 3, size, size))
    assert (logits.shape, features.shape) == ((2, 3), (2, 8))
    assert net.whiten.out_channels == 24
    assert size < 32 or 30 <= net.whiten(torch.zeros(1, 3, size, size)).shape[-1] <= 32


def test_constant_pictures_give_finite_numbers():
    pixels, labels = np.full((32, 16, 16, 3), 7, dtype=np.uint8), np.arange(32, dtype=np.int64) % 2
    logits, features, margin = _train(pixels, labels, epochs=2)
    assert all(np.isfinite(x).all() for x in (logits, features, margin))


def test_the_last_layer_of_a_torchvision_network_is_replaced():
    net = TorchvisionNet(load_backbone("mobilenet_v3_small", "none"), 4).eval()
    logits, features = net(torch.zeros(1, 3, 64, 64))
    assert logits.shape == (1, 4)
    assert features.shape[1] == net.head.in_features


def test_an_unknown_network_names_close_ones():
    with pytest.raises(SettingsError, match="resnet18"):
        load_backbone("resnet81", "none")


def test_a_pickle_is_refused_as_weights(tmp_path):
    torch.save({}, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="never read"):
        load_backbone("resnet18", str(tmp_path / "weights.pth"))


def test_weights_of_another_network_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="does not hold the weights of resnet18"):
        load_backbone("resnet18", str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, (2**40).to_bytes(8, "little") + b"{}"])
def test_a_damaged_weights_file_is_refused(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="not a readable safetensors"):
        load_backbone("resnet18", str(tmp_path / "w.safetensors"))


def test_weights_of_the_right_network_are_loaded_whatever_their_classifier(tmp_path):
    from safetensors.torch import save_file

    source = load_backbone("mobilenet_v3_small", "none")
    state = {k: v for k, v in source.state_dict().items()}
    state["classifier.3.weight"] = torch.zeros(2, 2)
    first = next(iter(state))
    state[first] = torch.full_like(state[first], 0.5)
    save_file(state, tmp_path / "w.safetensors")
    assert (load_backbone("mobilenet_v3_small", str(tmp_path / "w.safetensors")).state_dict()[first] == 0.5).all()
