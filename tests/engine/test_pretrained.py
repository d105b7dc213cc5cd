"""Initial weights of a backbone specified by name or by path, without downloads."""

import hashlib
import io
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import torch
import torchvision

from celeba_lab.engine.pretrained import fetch_weights
from celeba_lab.errors import UserError
from celeba_lab.models.classifier.backbones import Backbone
from celeba_lab.models.classifier.module import AttributeClassifier


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    """Prevent downloads and the use of previously downloaded weights."""

    def refuse(*args, **kwargs):
        raise URLError("the tests are offline")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.setattr("torch.hub.urlopen", refuse)


def test_null_gives_random_initial_weights():
    state_dict, source = fetch_weights(None, "resnet18")
    assert state_dict is None
    assert source == "random weights (model.weights=null)"


def test_a_classifier_checkpoint_initialises_the_backbone(tmp_path):
    torch.manual_seed(0)
    trained = AttributeClassifier(["Smiling"], "squeezenet1_1", image_size=64)
    path = tmp_path / "best.ckpt"
    torch.save({"state_dict": trained.state_dict(), "hyper_parameters": {}, "epoch": 3}, path)
    fresh = AttributeClassifier(["Male", "Bald"], "squeezenet1_1", image_size=64)
    state_dict, source = fetch_weights(str(path), "squeezenet1_1")
    fresh.load_pretrained(state_dict, source)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(fresh.eval().features(images), trained.eval().features(images))


def test_a_gan_checkpoint_is_rejected_as_initial_weights(tmp_path):
    path = tmp_path / "gan.ckpt"
    torch.save({"state_dict": {"generator.weight": torch.zeros(2)}, "hyper_parameters": {}}, path)
    state_dict, source = fetch_weights(str(path), "squeezenet1_1")
    with pytest.raises(UserError, match=r"gan\.ckpt does not fit backbone=squeezenet1_1"):
        Backbone("squeezenet1_1", 64).load_pretrained(state_dict, source)


@pytest.mark.parametrize("name", ["missing.pth", "folder/missing.ckpt"])
def test_a_missing_path_is_rejected(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(UserError, match=rf"^weights={re.escape(str(path))} does not exist"):
        fetch_weights(str(path), "resnet18")


def test_a_folder_is_rejected(tmp_path):
    with pytest.raises(UserError, match=r"is a folder\. Check the path"):
        fetch_weights(str(tmp_path), "resnet18")


def test_a_device_is_rejected():
    with pytest.raises(UserError, match=r"^weights=/dev/zero is not a regular file"):
        fetch_weights("/dev/zero", "resnet18")


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"PK\x03\x04 not really a zip"])
def test_a_file_that_torch_did_not_write_is_rejected(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.pth is not a state dict that torch can read"):
        fetch_weights(str(path), "resnet18")


def test_code_in_a_pickle_is_not_executed(tmp_path):
    class Attack:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "attacked",))

    path = tmp_path / "weights.pth"
    torch.save({"weight": Attack()}, path)
    with pytest.raises(UserError, match="is not a state dict that torch can read"):
        fetch_weights(str(path), "resnet18")
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    "content",
    [
        torch.zeros(3),
        {"epoch": 3},
        [1, 2],
        None,
        {1: torch.zeros(2)},
        {"weight": torch.zeros(2, device="meta")},
        {"weight": torch.zeros(1).expand(10**12)},
    ],
    ids=["tensor", "number", "list", "null", "integer key", "meta", "expanded"],
)
def test_a_file_without_a_state_dict_is_rejected(tmp_path, content):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(UserError, match=r"weights\.pth does not contain a state dict"):
        fetch_weights(str(path), "resnet18")


@pytest.mark.parametrize("state_dict", [3, None, [1], "text", torch.zeros(2), {"a": 1}, {0: torch.zeros(2)}])
def test_a_checkpoint_without_a_state_dict_is_rejected(tmp_path, state_dict):
    path = tmp_path / "best.ckpt"
    torch.save({"state_dict": state_dict, "hyper_parameters": {}}, path)
    with pytest.raises(UserError, match=r"best\.ckpt is damaged \(state_dict does not map names to tensors\)"):
        fetch_weights(str(path), "resnet18")


def test_a_checkpoint_whose_keys_are_not_names_is_rejected(tmp_path):
    path = tmp_path / "best.ckpt"
    torch.save({"state_dict": {}, 3: "three"}, path)
    state_dict, source = fetch_weights(str(path), "squeezenet1_1")
    with pytest.raises(UserError, match=r"best\.ckpt does not fit backbone=squeezenet1_1"):
        Backbone("squeezenet1_1", 64).load_pretrained(state_dict, source)


def test_auto_gives_random_weights_when_offline():
    state_dict, source = fetch_weights("auto", "resnet18")
    assert state_dict is None
    assert source.startswith("RANDOM weights")
    assert "the tests are offline" in source


@pytest.mark.parametrize("name", ["DEFAULT", "IMAGENET1K_V1", "ResNet18_Weights.IMAGENET1K_V1"])
def test_named_weights_raise_an_error_when_offline(name):
    with pytest.raises(
        UserError, match=r"^weights=\S+ could not be downloaded \(the tests are offline\).*model.weights=null"
    ):
        fetch_weights(name, "resnet18")


@pytest.mark.parametrize("name", ["IMAGENET1K_V3", "imagenet1k_v1", "ResNet18_Weights.IMAGENET1K_V9"])
def test_an_unknown_name_error_suggests_the_closest_name(name):
    with pytest.raises(UserError, match=r"Did you mean 'IMAGENET1K_V1'\? Available weights: IMAGENET1K_V1, DEFAULT\."):
        fetch_weights(name, "resnet18")


@pytest.mark.parametrize("weights", ["auto", "DEFAULT", None])
def test_an_unknown_backbone_is_rejected(weights):
    with pytest.raises(UserError, match=r"^backbone=resnet_18 .*Did you mean 'resnet18'\?"):
        fetch_weights(weights, "resnet_18")


@pytest.mark.parametrize("name", ["auto", "IMAGENET1K_V1", "MobileNet_V2_Weights.IMAGENET1K_V1"])
def test_downloaded_weights_are_loaded(monkeypatch, name):
    downloaded = {"features.0.0.weight": torch.ones(1)}
    monkeypatch.setattr(
        torchvision.models.MobileNet_V2_Weights, "get_state_dict", lambda self, **options: downloaded, raising=True
    )
    state_dict, source = fetch_weights(name, "mobilenet_v2")
    assert state_dict is downloaded
    assert "RANDOM" not in source


def test_a_download_is_shown_in_our_progress_line_only(monkeypatch, work_shown):
    given = []
    monkeypatch.setattr(
        torchvision.models.MobileNet_V2_Weights, "get_state_dict", lambda self, **options: given.append(options)
    )
    fetch_weights("DEFAULT", "mobilenet_v2")
    assert [options["progress"] for options in given] == [False]
    assert list(work_shown) == ["downloading the weights of mobilenet_v2 (14 MB)"]


def test_auto_gives_random_weights_after_a_damaged_download(monkeypatch):
    def damaged(self, **options):
        raise RuntimeError('invalid hash value (expected "b0353104", got "00")')

    monkeypatch.setattr(torchvision.models.MobileNet_V2_Weights, "get_state_dict", damaged)
    state_dict, source = fetch_weights("auto", "mobilenet_v2")
    assert state_dict is None
    assert "invalid hash value" in source


def test_downloads_have_a_short_timeout(monkeypatch):
    waits = []
    monkeypatch.setattr(
        torchvision.models.MobileNet_V2_Weights,
        "get_state_dict",
        lambda *_, **__: waits.append(socket.getdefaulttimeout()),
    )
    before = socket.getdefaulttimeout()
    fetch_weights("auto", "mobilenet_v2")
    assert waits == [10]
    assert socket.getdefaulttimeout() == before


def test_a_file_takes_precedence_over_weights_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), "DEFAULT")
    state_dict, source = fetch_weights("DEFAULT", "squeezenet1_1")
    assert source == "DEFAULT"
    assert "classifier.1.weight" in state_dict


def test_runs_that_start_together_download_weights_once(tmp_path, monkeypatch):
    """Threads stand for processes here, because each of them opens the lock file anew."""
    stream = io.BytesIO()
    torch.save({"weight": torch.ones(2)}, stream)
    content = stream.getvalue()
    name = f"tiny-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    requests = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            time.sleep(0.3)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    monkeypatch.setattr("torch.hub.urlopen", urlopen)
    monkeypatch.setattr("celeba_lab.engine.pretrained.short_timeout", nullcontext)  # is not safe for threads
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        load = partial(torch.hub.load_state_dict_from_url, url)
        tiny = SimpleNamespace(url=url, meta={}, get_state_dict=load)
        monkeypatch.setattr("celeba_lab.engine.pretrained._find_weights", lambda *args: tiny)
        with ThreadPoolExecutor(3) as pool:
            results = list(pool.map(lambda _: fetch_weights("DEFAULT", "resnet18"), range(3)))
        server.shutdown()
    assert requests == [f"/{name}"]
    assert all(torch.equal(state_dict["weight"], torch.ones(2)) for state_dict, _ in results)
