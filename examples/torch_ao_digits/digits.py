"""Handwritten digits, trained in float32 and fine-tuned by torch.ao at 8, 4 and 3 bits.

Each function below ``build`` takes nothing and returns a network; ``evaluate`` says which images it
gets right. That is all that ``seu run`` asks for. The first call trains, and keeps the weights in
``checkpoints``, so that every later one returns the same network.
"""

import os
import warnings
from functools import lru_cache
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.ao import quantization as ao

CHECKPOINTS = Path(__file__).with_name("checkpoints")


@lru_cache(maxsize=1)
def data():
    """Images for training [1437, 1, 8, 8] and testing [360, 1, 8, 8], and their labels."""
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images / 16.0, dtype=torch.float32).reshape(-1, 1, 8, 8)
    train, test, train_labels, test_labels = train_test_split(
        images.numpy(), labels, test_size=360, random_state=0, stratify=labels
    )
    return tuple(map(torch.as_tensor, (train, train_labels, test, test_labels)))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, stride=2)
        self.fc = nn.Linear(32 * 4 * 4, 10)

    def forward(self, x):
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        return self.fc(x.flatten(1))


def train(model, epochs, rate):
    images, labels, _, _ = data()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=generator).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()


def trained(model, name, epochs, rate):
    """The network with the weights of that checkpoint, which is made if there is none."""
    path = CHECKPOINTS / f"{name}.pt"
    if not path.exists():
        train(model.train(), epochs, rate)
        CHECKPOINTS.mkdir(exist_ok=True)
        torch.save(model.state_dict(), path.with_suffix(f".{os.getpid()}"))
        path.with_suffix(f".{os.getpid()}").replace(path)  # whole, whoever else trains
    model.load_state_dict(torch.load(path))
    return model.eval()


def float32():
    torch.manual_seed(0)
    return trained(Network(), "float32", epochs=20, rate=2e-3)


def quantized(width):
    """``width`` bits for each weight, by channel; 8 for activations; fine-tuned from float32."""
    weight = ao.FakeQuantize.with_args(
        observer=ao.MovingAveragePerChannelMinMaxObserver,
        quant_min=-(2 ** (width - 1)),
        quant_max=2 ** (width - 1) - 1,
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric,
    )
    model = float32().train()
    activation = ao.FakeQuantize.with_args(
        observer=ao.MovingAverageMinMaxObserver, quant_min=0, quant_max=255
    )
    model.qconfig = ao.QConfig(activation=activation, weight=weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.ao points to torchao
        model = ao.prepare_qat(model)
    model(data()[0][:64])  # gives scales their shapes
    return trained(model, f"int{width}", epochs=10, rate=1e-3).apply(ao.disable_observer)


def int8():
    return quantized(8)


def int4():
    return quantized(4)


def int3():
    return quantized(3)


def evaluate(model):
    """1 for each test image that is classified right, else 0: [360]."""
    _, _, images, labels = data()
    with torch.no_grad():
        return (model(images).argmax(1) == labels).float()


if __name__ == "__main__":
    for build in (float32, int8, int4, int3):
        print(f"{build.__name__}: {100 * evaluate(build()).mean():.2f} %")
