"""The example of docs/quantizers.md: a layer of nobody's, and its adapter."""

import contextlib
import re
from pathlib import Path

import torch

from seu_plugin import Campaign
from seu_plugin.analysis.manifest import read_manifest
from seu_plugin.analysis.rows import TRIALS, read_rows
from seu_plugin.quantizers import known_adapters

PAGE = Path(__file__).resolve().parents[1] / "docs" / "quantizers.md"
CODE = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S).group(1)
#: What the page defines, without what it does with it.
example = {}
exec(compile(CODE.partition("known_adapters().register")[0], str(PAGE), "exec"), example)
AffineAdapter, AffineLinear = example["AffineAdapter"], example["AffineLinear"]


@contextlib.contextmanager
def registered(adapter, name):
    """Known while inside."""
    known_adapters().register(adapter, name)
    try:
        yield
    finally:
        known_adapters().unregister(name=name)


def rows_of_campaign(model, images, folder, **settings):
    """By trial, the rows of a small campaign, and whether work of the golden run was reused."""
    with torch.no_grad():
        labels = model(images).argmax(1)

    def evaluate():
        with torch.no_grad():
            return float((model(images).argmax(1) == labels).double().mean()) * 100.0

    asked = {"ber": [1e-3, 1e-2], "trials": 6, "seed": 3, "threshold": "grid"}
    Campaign(model, evaluate, **asked, output=str(folder), **settings).run()
    found = {r.trial.id: {**r.row(), "seconds": 0} for r in read_rows(folder / TRIALS)[0]}
    return found, read_manifest(folder).get("reused")
