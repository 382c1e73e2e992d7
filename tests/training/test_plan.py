"""What `auto` chooses, and that contradictions are refused in a sentence."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from curation.errors import SettingsError, WeightsError
from curation.training import plan
from curation.training.plan import choose_plan, weights_reachable


def _reachable(model):
    return True, f"the pretrained weights of {model} are in torch's cache"


def _unreachable(model):
    return False, f"the pretrained weights of {model} are not on this machine"


def tensors(file, **arrays):
    """A real file of weights."""
    save_file(arrays or {"weight": np.ones(2, np.float32)}, file)
    return file


def test_auto_on_a_cpu_takes_the_probe_where_weights_are_at_hand():
    plan = choose_plan(device="cpu", reachable=_reachable)
    assert (plan.mode, plan.model, plan.weights, plan.size_px) == ("probe", "mobilenet_v2", "default", 224)
    assert "torch's cache" in plan.why[-1]


def test_auto_without_weights_trains_from_scratch_and_says_why():
    plan = choose_plan(device="cpu", reachable=_unreachable)
    assert plan.mode == "compact"
    assert "not on this machine" in plan.why[-1]
    assert "--weights FILE" in plan.why[-1]


def test_weights_that_were_asked_for_and_are_not_there_are_an_error():
    with pytest.raises(WeightsError, match=r"--weights FILE\.safetensors"):
        choose_plan(weights="default", device="cpu", reachable=_unreachable)


def test_a_weights_file_makes_auto_a_probe(tmp_path):
    file = tensors(tmp_path / "w.safetensors")
    plan = choose_plan(weights=str(file), device="cpu", reachable=_unreachable)
    assert plan.mode == "probe"
    assert len(plan.weights_hash) == 32


def test_the_same_file_elsewhere_is_the_same_plan(tmp_path):
    tensors(tmp_path / "a.safetensors")
    tensors(tmp_path / "b.safetensors")
    first, second = (
        choose_plan("probe", weights=str(tmp_path / n), device="cpu") for n in ("a.safetensors", "b.safetensors")
    )
    assert first.as_settings() == second.as_settings()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "magic"}, "--mode magic"),
        ({"device": "tpu"}, "--device tpu"),
        ({"mode": "compact", "model": "resnet18"}, "--model and --weights do not go"),
        ({"mode": "probe", "weights": "none"}, "needs pretrained weights"),
        ({"mode": "compact", "epochs": 0}, "--epochs 0"),
        ({"mode": "compact", "size_px": 4}, "--size 4"),
    ],
)
def test_contradictions_are_refused(settings, words):
    with pytest.raises(SettingsError, match=words):
        choose_plan(**{"device": "cpu", **settings})


def test_a_missing_weights_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere\.safetensors"):
        choose_plan("probe", weights=str(tmp_path / "nowhere.safetensors"), device="cpu")


def test_a_pickle_is_refused_before_anything_is_decoded(tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"x")
    with pytest.raises(WeightsError, match="never read"):
        choose_plan("probe", weights=str(tmp_path / "weights.pt"), device="cpu")


def test_small_sets_are_passed_over_more_often():
    few, many = (choose_plan("compact", device="cpu", n_samples=n).epochs for n in (500, 50_000))
    assert few > many


@pytest.mark.parametrize(("side", "size"), [(28, 32), (32, 32), (50, 64), (600, 96)])
def test_compact_pictures_are_not_shrunk_below_their_size(side, size):
    assert choose_plan("compact", device="cpu", median_side_px=side).size_px == size


def test_a_silent_network_is_not_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    end = threading.Event()

    def silent(*_):
        end.wait(60)
        raise OSError("no answer")

    monkeypatch.setattr("socket.create_connection", silent)
    there, why = weights_reachable("mobilenet_v2", timeout_seconds=0.1)
    assert not end.is_set()
    end.set()
    assert not there
    assert "does not answer" in why


def test_a_network_without_pretrained_weights_is_said(monkeypatch):
    assert weights_reachable("no_such_network") == (
        False,
        "torchvision has no pretrained weights for 'no_such_network'",
    )


@pytest.mark.parametrize("mode", ["probe", "finetune"])
def test_weights_that_a_mode_needs_and_are_not_there_are_refused_at_once(mode):
    with pytest.raises(WeightsError, match="not on this machine"):
        choose_plan(mode, device="cpu", reachable=_unreachable)


@pytest.mark.parametrize("mode", ["auto", "probe", "finetune"])
def test_a_misspelt_network_is_refused_at_once_with_those_that_are_alike(mode):
    with pytest.raises(SettingsError, match="Did you mean resnet50"):
        choose_plan(mode, model="resnet_50", device="cpu", reachable=_reachable)


def test_weights_that_are_no_file_are_refused_and_never_opened(tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    (tmp_path / "loop.safetensors").symlink_to("loop.safetensors")
    for name in ("folder", "pipe", "zero", "loop", "x" * 300, "file/x", "nul\0"):
        with pytest.raises(WeightsError, match=r"folder, a pipe or a device|cannot be read"):
            choose_plan("probe", weights=str(tmp_path / f"{name}.safetensors"), device="cpu")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        (2**60).to_bytes(8, "little") + b"{}",
        (8).to_bytes(8, "little") + b"[[[[[[[[",
        (72).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4000000]}}'.ljust(72),
    ],
)
def test_weights_that_are_damaged_are_refused_before_anything_is_decoded(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        choose_plan("probe", weights=str(tmp_path / "w.safetensors"), device="cpu")


def test_a_misspelt_word_for_weights_says_which_words_there_are():
    with pytest.raises(WeightsError, match="'default'"):
        choose_plan("probe", weights="imagenet", device="cpu")


def test_where_a_proxy_leads_out_it_is_the_one_that_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        there, why = weights_reachable("mobilenet_v2", timeout_seconds=5)
    assert there
    assert "will be downloaded from download.pytorch.org" in why


def test_what_a_host_answered_is_asked_once_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(model: str) -> tuple[bool, str]:
        asked.append(model)
        return False, "no network in tests"

    now = [1_000_000.0]
    monkeypatch.setattr(plan.time, "time", lambda: now[0])
    answer = plan.remembered(ask, tmp_path / "weights.json")
    assert answer("mobilenet_v2") == answer("mobilenet_v2") == (False, "no network in tests")
    assert asked == ["mobilenet_v2"]
    answer("resnet18")
    now[0] += plan.REMEMBERED_SECONDS + 1
    answer("mobilenet_v2")
    assert asked == ["mobilenet_v2", "resnet18", "mobilenet_v2"]
    now[0] -= 100_000  # a clock that was put back
    answer("mobilenet_v2")
    (tmp_path / "weights.json").write_text("[1]")
    assert answer("mobilenet_v2") == (False, "no network in tests")
    assert len(asked) == 5


def test_a_cached_answer_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from curation.training import plan\n"
        "plan._GPU_DEVICES = ()\n"
        "said = plan.remembered(lambda model: (False, 'x'), pathlib.Path(sys.argv[1]) / 'weights.json')\n"
        "assert plan.choose_plan(reachable=said).mode == 'compact'\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
