"""Imports point one way: each module only imports those above it in these lists."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

HOOKS = [
    "contract",
    "hookspecs",
    "profiles",
    "manager",
    "session",
    "process_end",
    "served",
    "patching",
    "repair",
    "host_settings",
    "repairs_start",
    "repairs_widths",
    "repairs",
    "instrument",
    "cpu",
    "launcher",
    "__init__",
    "__main__",
]
PLUGIN = [
    "errors",
    "fault_model",
    "seeding",
    "statistics",
    "intervals",
    "threshold",
    "trials",
    "codecs",
    "fields",
    "rates",
    "dense_map",
    "fault_map",
    "cell_map",
    "layout",
    "mechanisms",
    "ecc",
    "residual",
    "protection",
    "decoding",
    "ber_schedule",
    "campaign_settings",
    "settings",
    "config",
    "sites",
    "bit_widths",
    "site_memory",
    "strata",
    "exact_count",
    "schedule",
    "results",
    "mission",
    "summary",
    "figures",
    "page",
    "export",
    "report_files",
    "planner",
    "progress",
    "kernels",
    "kernels.masks",
    "drawing",
    "report",
    "forwards",
    "activations",
    "devices",
    "placement",
    "reading",
    "weight_cache",
    "forward_state",
    "float_words",
    "exposure",
    "activation_codes",
    "other_targets",
    "interception",
    "self_check",
    "injector",
    "outcomes",
    "run_state",
    "evaluation",
    "campaign_run",
    "campaign",
    "worker",
    "pool",
    "ray_workers",
    "replay",
    "host_campaign",
    "runtime",
    "plugin",
    "compat",
    "compare",
    "protect_command",
    "rate_command",
    "check_command",
    "cli",
    "__main__",
]
#: Modules that must not pull in torch.
TORCHLESS = {
    "errors", "fault_model", "seeding", "statistics", "intervals", "threshold", "trials", "codecs",
    "fields", "campaign_settings", "config", "strata", "schedule", "results", "summary", "figures",
    "page", "export", "report_files", "progress", "plugin", "rates", "cell_map", "layout",
    "mechanisms", "ecc", "residual", "protection", "decoding", "ber_schedule", "settings",
    "site_memory", "exact_count", "mission", "planner", "compare", "rate_command",
}  # fmt: skip


def imports(path):
    """(module, line is at the top level) for every import of a file."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            if name == ".":
                for alias in node.names:  # from . import x
                    yield "." + alias.name, id(node) in top
            else:
                yield name, id(node) in top


def files(package):
    folder = {"rfquant_hooks": "hooks", "seu_plugin": "src"}[package]
    return sorted((ROOT / folder / package).rglob("*.py"))


def module(path):
    """Dotted name of a file inside its package; a folder's name for its ``__init__``."""
    root = next(p for p in path.parents if p.name in ("rfquant_hooks", "seu_plugin"))
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


@pytest.mark.parametrize(
    "package,order", [("rfquant_hooks", HOOKS), ("seu_plugin", ["__init__", *PLUGIN])]
)
def test_every_module_has_its_place(package, order):
    assert {module(p) for p in files(package)} == set(order)


@pytest.mark.parametrize("path", files("rfquant_hooks"), ids=module)
def test_hooks_import_upwards_the_standard_library_and_pluggy(path):
    for name, _ in imports(path):
        foreign = {"torch", "seu_plugin", "pydantic", "numpy", "yaml"}
        if path.stem == "cpu":
            foreign.remove("torch")
        assert name.split(".")[0] not in foreign
        if name.startswith(".") and path.stem not in ("__init__", "__main__"):
            assert HOOKS.index(name[1:]) < HOOKS.index(path.stem), name


@pytest.mark.parametrize("path", files("seu_plugin"), ids=module)
def test_plugin_imports_upwards_and_of_the_hooks_the_contract_only(path):
    for name, top in imports(path):
        if name.startswith("rfquant_hooks"):
            assert name == "rfquant_hooks.contract"
        elif name == ".__version__":
            continue
        elif name.startswith(".") and path.stem != "__init__":
            assert PLUGIN.index(name[1:]) < PLUGIN.index(module(path)), name
        elif name.startswith("triton"):
            assert module(path) == "kernels.masks" or not top
        elif name == "torch" or name.startswith("torch."):
            assert path.stem not in TORCHLESS
        if path.stem == "plugin" and top:
            assert name.lstrip(".").split(".")[0] in (
                "__future__", "typing", "pluggy", "rfquant_hooks", "errors",
            )  # fmt: skip


def test_what_needs_torch_is_imported_on_demand():
    for path in files("rfquant_hooks"):
        assert (".cpu", True) not in imports(path), path


def test_the_demo_host_knows_nothing_of_us():
    for path in (ROOT / "examples" / "demo_host").rglob("*.py"):
        for name, _ in imports(path):
            assert name.split(".")[0] not in ("seu_plugin", "rfquant_hooks"), path
