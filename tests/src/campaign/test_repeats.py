"""Evaluations of one's own that do not repeat themselves are refused after the golden run."""

import pytest
import torch

import toy
from seu_plugin import Campaign
from seu_plugin.errors import ConfigError


def campaign(folder, evaluate, model):
    asked = {"ber": [1e-3], "trials": 2, "threshold": "grid", "seed": 1}
    return Campaign(model, evaluate, output=str(folder), **asked)


def test_another_sample_each_time_is_refused(tmp_path):
    model, generator = toy.net(), torch.Generator().manual_seed(1)

    def accuracy():
        with torch.no_grad():
            images = torch.randn(16, *toy.batch(1).shape[1:], generator=generator)
            return float((model(images).argmax(1) == 0).double().mean()) * 100.0

    with pytest.raises(ConfigError, match=r"evaluate: does not repeat itself: .* seed what is"):
        campaign(tmp_path, accuracy, model).run()
    assert not (tmp_path / "trials.jsonl").exists()


def test_the_same_images_in_another_order_are_refused(tmp_path):
    model, images = toy.net(), toy.batch(16)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        classes = model(images).argmax(1)
    classes[::3] += 1

    def scores():
        order = torch.randperm(16, generator=generator)
        with torch.no_grad():
            return (model(images[order]).argmax(1) == classes[order]).float()

    with pytest.raises(ConfigError, match="does not repeat itself"):
        campaign(tmp_path, scores, model).run()


def test_the_global_generator_may_shuffle(tmp_path):
    """It is put back before each run."""
    model, images = toy.net(), toy.batch(16)

    def accuracy():
        order = torch.randperm(16)
        with torch.no_grad():
            return float((model(images[order]).argmax(1) == 1).double().mean()) * 100.0

    assert campaign(tmp_path, accuracy, model).run() is not None
