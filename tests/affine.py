"""The example of docs/quantizers.md: a layer of nobody's, and its adapter."""

import contextlib
import re
from pathlib import Path

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
