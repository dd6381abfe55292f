"""The real host: an unmodified checkout that RFQ_HOST names, with a small net and real digits."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CHECKOUT = os.environ.get("RFQ_HOST")
STAND_INS = Path(__file__).with_name("stand_ins.py")
#: Widths of a real search of the host on a ResNet-18: 19 quantized layers.
WEIGHTS = [4, 4, 4, 4, 4, 5, 4, 6, 4, 4, 4, 6, 4, 4, 3, 5, 3, 3, 5]
ACTIVATIONS = [6, 5, 5, 5, 5, 5, 5, 6, 5, 5, 4, 6, 4, 4, 4, 4, 4, 4, 5]


def pytest_collection_modifyitems(items):
    if CHECKOUT is None:
        mark = pytest.mark.skip(reason="needs RFQ_HOST: a checkout of RFQuant at 54b2b09")
        for item in items:
            if Path(__file__).parent in Path(item.path).parents:
                item.add_marker(mark)


class Host:
    """Runs the host's main.py from a scratch folder: it writes under the working directory."""

    stand_ins = STAND_INS

    def __init__(self, folder):
        self.folder = folder
        self.checkout = Path(CHECKOUT).resolve()
        self.main = self.checkout / "main.py"
        for name in ("template.yaml", "logging.conf"):
            (folder / name).symlink_to(self.checkout / name)
        self.checkpoint = folder / "out" / "train" / "train_checkpoint.pth.tar"
        self.widths = self.json("widths", WEIGHTS, ACTIVATIONS)
        path = str(folder / "digits")
        self.data = {"path": path, "num_classes": 10, "batch_size": 64, "workers": 0}
        digits(folder / "digits")

    def config(self, mode):
        files = {
            "train": "training/train_resnet18_w2to6_a2to6.yaml",
            "eval": "eval/eval_resnet18_w2to6_a2to6.yaml",
            "search": "search/search_resnet18.yaml",
            "mobilenetv2": "eval/eval_mobilenetv2_w2to6_a2to6.yaml",
        }
        return self.checkout / "configs" / files[mode]

    def json(self, stem, weights, activations):
        path = self.folder / f"{stem}.json"
        entry = {"bops_limit": 1.0, "weight_bits": weights, "act_bits": activations}
        content = {"arch": "resnet18", "bops_limits": [1.0], "target_bits": [6, 5, 4, 3, 2]}
        path.write_text(json.dumps({**content, "configurations": [entry]}))
        return path

    def yaml(self, stem, section=None, **settings):
        """A second YAML of the host: small data, and the fault_injection section."""
        content = {
            "name": stem,
            "output_dir": "out",
            "epochs": 41,
            "ema_decay": 0.9,
            "information_distortion_mitigation": False,
            "dataloader": self.data,
            "log": {"print_freq": 1000},
            **settings,
        }
        if section is not None:
            content["fault_injection"] = section
        path = self.folder / f"{stem}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    def evaluate(self, stem, section, *own, processes=1, **settings):
        settings.setdefault("resume", {"path": str(self.checkpoint), "lean": False})
        section = {"bit_width_config": {"path": str(self.widths)}, "seed": 42, **section}
        return self.run(
            "eval", self.yaml(stem, section, **settings), *own, processes=processes
        ).stdout

    def run(self, mode, config, *own, processes=1, check=True):
        script = [str(STAND_INS), *map(str, own), "--cpu", str(self.main)]
        if processes > 1:
            port = free_port()
            ranks = (f"--nproc_per_node={processes}", f"--master_port={port}")
            script = ["-m", "torch.distributed.run", *ranks, *script]
        return self.call(*script, str(self.config(mode)), str(config), check=check)

    def call(self, *command, check=True):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *map(str, command)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
        )
        assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def digits(root, train=512, test=256):
    """scikit-learn's handwritten digits as the folders of images that the host reads."""
    from PIL import Image
    from sklearn.datasets import load_digits

    data = load_digits()
    for number in range(train + test):
        part = root / ("train" if number < train else "val") / str(data.target[number])
        part.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray((data.images[number] * (255.0 / 16)).astype("uint8"))
        image.resize((32, 32), Image.BILINEAR).convert("RGB").save(part / f"{number:04d}.png")


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    return Host(tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="session")
def trained(host):
    """The host after its own training, through its main.py, with fault-aware training on."""
    section = {"ber": 1e-3, "seed": 1, "enable_in_training": True, "enable_in_inference": False}
    config = host.yaml("train", section, lr=0.04, warmup_epochs=1, num_random_path=1, smoothing=0.0)
    host.training_output = host.run("train", config).stdout
    return host
