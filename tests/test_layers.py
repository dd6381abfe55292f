"""The plan of the house: which room may import from which.

Rooms are folders of ``seu_plugin``. A module imports from its own room, without a circle, from
rooms further down, and from the ground; adding a module touches no list here.
"""

import ast
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
GROUND = {"_version", "errors", "fields", "console"}
#: What a run without the section may load before it knows that.
BEFORE_THE_SECTION = {"__future__", "typing", "pluggy", "rfquant_hooks", "seu_plugin"}

#: What the hooks do without, and the module that does not.
FOREIGN = {"torch", "seu_plugin", "pydantic", "numpy", "yaml"}
WITH_TORCH = {"cpu": {"torch"}}


def modules(package):
    """Dotted name -> file of every module of a package; a folder's own is ``folder.__init__``."""
    return {
        ".".join(path.relative_to(package).with_suffix("").parts): path
        for path in sorted(package.rglob("*.py"))
    }


def imports(name, path, package):
    """(dotted name, whether when the module is loaded) of each import of the module ``name``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n)]
    unused = {id(inner) for block in for_types for inner in ast.walk(block)}
    at_load = set(map(id, tree.body))
    for node in ast.walk(tree):
        if id(node) in unused:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in at_load
        elif isinstance(node, ast.ImportFrom):
            base = []
            if node.level:
                base = [package.name, *name.split(".")][: -node.level]
            for alias in node.names:
                parts = [*base, *filter(None, (node.module or "").split(".")), alias.name]
                yield ".".join(parts), id(node) in at_load


def graph(package):
    """module -> modules of the same package that it imports, whenever it does."""
    known = modules(package)
    found = {}
    for name, path in known.items():
        found[name] = set()
        for imported, _ in imports(name, path, package):
            parts = imported.split(".")
            if parts[0] != package.name:
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


@pytest.mark.parametrize("name", [n for n in PLUGIN_GRAPH if room(n) in WITHOUT_TORCH])
def test_rooms_without_torch_import_none_that_has_it(name):
    for imported, _ in imports(name, modules(PLUGIN)[name], PLUGIN):
        assert imported.split(".")[0] != "torch"
    assert {room(other) for other in PLUGIN_GRAPH[name]} <= WITHOUT_TORCH | {None}


@pytest.mark.parametrize("name", PLUGIN_GRAPH)
def test_of_the_hooks_the_contract_alone_is_imported(name):
    for imported, _ in imports(name, modules(PLUGIN)[name], PLUGIN):
        parts = imported.split(".")
        assert parts[0] != "rfquant_hooks" or parts[1] == "contract"


def test_triton_is_imported_by_its_kernels_alone():
    for name, path in modules(PLUGIN).items():
        loads = {imported.split(".")[0] for imported, at_load in imports(name, path, PLUGIN)}
        assert "triton" not in loads or (room(name) == "injection" and ".kernels." in f".{name}.")


def test_a_run_without_the_section_loads_next_to_nothing():
    loaded, todo = set(), ["plugin"]
    while todo:
        name = todo.pop()
        loaded.add(name)
        for imported, at_load in imports(name, modules(PLUGIN)[name], PLUGIN):
            if at_load and imported.startswith("seu_plugin."):
                todo += {imported.split(".")[1]} - loaded
    assert loaded == {"plugin", "errors"}
    for imported, at_load in imports("plugin", modules(PLUGIN)["plugin"], PLUGIN):
        assert not at_load or imported.split(".")[0] in BEFORE_THE_SECTION


@pytest.mark.parametrize("name", modules(HOOKS))
def test_hooks_import_the_standard_library_and_pluggy(name):
    for imported, at_load in imports(name, modules(HOOKS)[name], HOOKS):
        assert imported.split(".")[0] not in FOREIGN - WITH_TORCH.get(name, set())
        assert not (at_load and imported.startswith("rfquant_hooks.cpu")), "needs torch"


def test_the_demo_host_knows_nothing_of_us():
    for path in (ROOT / "examples" / "demo_host").rglob("*.py"):
        for imported, _ in imports(path.stem, path, path.parent):
            assert imported.split(".")[0] not in ("seu_plugin", "rfquant_hooks"), path
