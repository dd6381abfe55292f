"""The plan of the house: which room may import from which.

Rooms are folders of ``seu_plugin``. A module imports from its own room, without a circle, from
rooms further down, and from the ground; adding a module touches no list here.
"""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLUGIN, HOOKS = ROOT / "src" / "seu_plugin", ROOT / "hooks" / "rfquant_hooks"

#: Top first.
ROOMS = [
    "commands",
    "host",
    "campaign",
    "report",
    "analysis",
    "injection",
    "quantizers",
    "settings",
    "faults",
    "memory",
]
#: Rooms that work where torch is not: they import neither it nor a room that does.
WITHOUT_TORCH = {"report", "analysis", "settings", "faults", "memory"}
#: Outside the rooms. The face imports from all of them, and nothing imports it; the ground is
#: imported by all of them.
FACE = {"__init__", "__main__", "plugin", "compat"}
GROUND = {"_version", "errors", "fields", "files", "console"}
#: What a run without the section may load before it knows that.
BEFORE_THE_SECTION = {
    *("__future__", "typing", "sys", "difflib", "pluggy", "rfquant_hooks", "seu_plugin"),
}

#: Modules of the hooks that use more than the standard library and pluggy, where it is there.
WITH_MORE = {
    "cpu": {"torch", "torchvision"},
    "profile_file": {"yaml"},
    "repairs_widths": {"policy"},
}  # policy: the host's own
#: The standard library is what Python says it is.
STANDARD = getattr(sys, "stdlib_module_names", frozenset())
needs_names = pytest.mark.skipif(not STANDARD, reason="Python 3.9 does not name its own modules")


def modules(package):
    """Dotted name -> file of every module of a package; a folder's own is ``folder.__init__``."""
    return {
        ".".join(path.relative_to(package).with_suffix("").parts): path
        for path in sorted(package.rglob("*.py"))
    }


class Imports(ast.NodeVisitor):
    """(dotted name, whether when the module is loaded) of each import of a module."""

    def __init__(self, package, name):
        self.found, self.at_load = [], True
        self.here = [package, *name.split(".")]

    def visit_FunctionDef(self, node):
        before, self.at_load = self.at_load, False
        self.generic_visit(node)
        self.at_load = before

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef

    def visit_If(self, node):
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            self.generic_visit(ast.Module(node.orelse, []))
        else:
            self.generic_visit(node)

    def visit_Import(self, node):
        self.found += [(alias.name, self.at_load) for alias in node.names]

    def visit_ImportFrom(self, node):
        base = self.here[: -node.level] if node.level else []
        base = [*base, *filter(None, (node.module or "").split("."))]
        self.found += [(".".join([*base, alias.name]), self.at_load) for alias in node.names]

    def visit_Call(self, node):
        called = getattr(node.func, "attr", getattr(node.func, "id", None))
        if called in ("import_module", "__import__") and isinstance(node.args[0], ast.Constant):
            self.found.append((node.args[0].value, self.at_load))
        self.generic_visit(node)


def imports(name, path, package):
    visitor = Imports(package.name, name)
    visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
    return visitor.found


def graph(package, at_load_only=False):
    """module -> modules of the same package that it imports, whenever it does."""
    known = modules(package)
    found = {}
    for name, path in known.items():
        found[name] = set()
        for imported, at_load in imports(name, path, package):
            parts = imported.split(".")
            if parts[0] != package.name or (at_load_only and not at_load):
                continue
            inside = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
            candidates = [c for one in inside for c in (one, f"{one}.__init__")] + ["__init__"]
            found[name].add(next(c for c in candidates if c in known))
    return found


def room(name):
    """The room of a module; None outside of rooms."""
    first, dot, _ = name.partition(".")
    return first if dot else None


PLUGIN_GRAPH = graph(PLUGIN)


def test_every_folder_is_a_room_of_the_plan():
    assert {room(name) for name in PLUGIN_GRAPH} - {None} == set(ROOMS)
    assert {name for name in PLUGIN_GRAPH if room(name) is None} == FACE | GROUND


def points_down(name, other):
    """Whether a module may import another: the ground only the ground, nobody the face."""
    if name in FACE:
        return True
    here, there = room(name), room(other)
    if here is None or there is None:
        return other in GROUND
    return here == there or ROOMS.index(here) < ROOMS.index(there)


def wrong_way(graph):
    """(importer, imported) of every import that does not point down."""
    pairs = ((name, other) for name, several in graph.items() for other in sorted(several))
    return [pair for pair in pairs if not points_down(*pair)]


def test_imports_point_down():
    assert wrong_way(PLUGIN_GRAPH) == []


def test_an_import_upwards_is_found():
    upwards = ("memory.ecc", "analysis.trials")
    changed = {**PLUGIN_GRAPH, upwards[0]: {upwards[1]}}
    assert wrong_way(changed) == [upwards]


@pytest.mark.parametrize("package", [PLUGIN, HOOKS], ids=lambda package: package.name)
def test_no_circle_exists(package):
    try:
        TopologicalSorter(graph(package)).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def says_no_torch(name):
    docstring = ast.get_docstring(ast.parse(modules(PLUGIN)[name].read_text(encoding="utf-8")))
    return "No torch" in (docstring or "")


@pytest.mark.parametrize(
    "name", [n for n in PLUGIN_GRAPH if room(n) in WITHOUT_TORCH or n in GROUND or says_no_torch(n)]
)
def test_where_there_is_no_torch_it_is_not_imported(name):
    for imported, _ in imports(name, modules(PLUGIN)[name], PLUGIN):
        assert imported.split(".")[0] != "torch"
    if room(name) in WITHOUT_TORCH:
        assert {room(other) for other in PLUGIN_GRAPH[name]} <= WITHOUT_TORCH | {None}


@needs_names
@pytest.mark.parametrize("name", [n for n in PLUGIN_GRAPH if room(n) == "commands"])
def test_commands_load_little_before_they_run(name):
    little = {"click", "seu_plugin", *STANDARD}
    for imported, at_load in imports(name, modules(PLUGIN)[name], PLUGIN):
        first, *others = imported.split(".")
        assert not at_load or first in little, imported
        inside = others[0] if at_load and first == "seu_plugin" else "errors"
        assert inside in {"commands", "errors", "_version"} or others[:2] == ["memory", "schemes"]


@pytest.mark.parametrize("name", PLUGIN_GRAPH)
def test_of_the_hooks_the_contract_alone_is_imported(name):
    for imported, _ in imports(name, modules(PLUGIN)[name], PLUGIN):
        parts = imported.split(".")
        assert parts[0] != "rfquant_hooks" or parts[1] == "contract"


@pytest.mark.parametrize("name", [n for n in PLUGIN_GRAPH if room(n) != "quantizers"])
def test_quantizers_alone_know_what_quantizers_look_like(name):
    text = modules(PLUGIN)[name].read_text(encoding="utf-8")
    for attribute in ("quan_w_fn", "quan_a_fn", "get_scale", "weight_fake_quant"):
        assert attribute not in text


def test_triton_is_imported_by_its_kernels_alone():
    for name, path in modules(PLUGIN).items():
        loads = {imported.split(".")[0] for imported, at_load in imports(name, path, PLUGIN)}
        assert "triton" not in loads or (room(name) == "injection" and ".kernels." in f".{name}.")


def test_a_run_without_the_section_loads_next_to_nothing():
    at_load, loaded, todo = graph(PLUGIN, at_load_only=True), set(), {"__init__", "plugin"}
    while todo:
        name = todo.pop()
        loaded.add(name)
        todo |= at_load[name] - loaded
    rooms = {"settings.__init__", "settings.place"}
    assert loaded - rooms == {"__init__", "_version", "plugin", "errors"}
    for name in loaded:
        for imported, now in imports(name, modules(PLUGIN)[name], PLUGIN):
            assert not now or imported.split(".")[0] in BEFORE_THE_SECTION, (name, imported)


@needs_names
@pytest.mark.parametrize("name", modules(HOOKS))
def test_hooks_import_the_standard_library_and_pluggy(name):
    allowed = {"pluggy", "rfquant_hooks", *STANDARD} | WITH_MORE.get(name, set())
    for imported, at_load in imports(name, modules(HOOKS)[name], HOOKS):
        assert imported.split(".")[0] in allowed
        assert not (at_load and imported.startswith("rfquant_hooks.cpu")), "needs torch"


def test_the_demo_host_knows_nothing_of_us():
    for path in (ROOT / "examples" / "demo_host").rglob("*.py"):
        for imported, _ in imports(path.stem, path, path.parent):
            assert imported.split(".")[0] not in ("seu_plugin", "rfquant_hooks"), path
