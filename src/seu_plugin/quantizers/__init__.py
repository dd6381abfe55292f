"""What a quantized layer is, where its codes are, at which widths.

What an adapter for another quantizer needs is imported from here; docs/quantizers.md has one.
"""

from .contract import LayerSite as LayerSite
from .contract import Site as Site
from .contract import hookimpl as hookimpl
from .contract import layers as layers
from .described import StoredCodes as StoredCodes
from .grid import Grid as Grid
from .grid import per_channel as per_channel
from .packed import PackedBits as PackedBits
from .packed import nibbles as nibbles
from .packed import packed as packed
from .registry import known_adapters as known_adapters
from .stores import IntegerTensor as IntegerTensor
from .stores import StoreSite as StoreSite
