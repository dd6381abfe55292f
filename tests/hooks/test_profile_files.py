"""Profiles from files and from installed packages: what they say, and what is wrong in them."""

import dataclasses
import importlib
import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from rfquant_hooks import RFQUANT, BitWidths, PluginError, find_profile
from rfquant_hooks.profiles import no_metrics, top1_per_architecture

DOCS = Path(__file__).resolve().parents[2] / "docs"
READERS = """
def labels(batch):
    return batch["y"]
def accuracy(value):
    return value["top1"]
def policy(widths):
    return {"w": widths.weights}
not_callable = 3
"""


def phase(**changes):
    return {"phase": "validate", "module": "evaluation", "function": "evaluate", **changes}


def content(*phases, **changes):
    return {
        "name": "fork",
        "read_config": "util.config:get_config",
        "phases": list(phases) or [phase()],
        **changes,
    }


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Writes a profile's file, and gives its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "readers_of_mine.py").write_text(READERS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(what, name="fork.yaml"):
        text = what if isinstance(what, str) else yaml.safe_dump(what, sort_keys=False)
        Path(name).write_text(text, encoding="utf-8")
        return name

    yield write
    sys.modules.pop("readers_of_mine", None)


def only(file, **changes):
    """The one phase of a profile."""
    return find_profile(file(content(phase(**changes)))).phases[0]


def refused(name):
    with pytest.raises(PluginError) as error:
        find_profile(name)
    assert "\n" not in str(error.value)
    return str(error.value)


# What they say


def page_example(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.search(r"```yaml\n(name: .*?)```", text, re.S).group(1)


def test_the_example_of_the_page_is_rfquant_with_validate_elsewhere(file):
    found = find_profile(file(page_example("host.md")))
    train, validate, calibrate, search = RFQUANT.phases
    validate = dataclasses.replace(validate, module="evaluation", function="evaluate")
    phases = (train, validate, calibrate, search)
    assert found == dataclasses.replace(RFQUANT, name="my-fork", phases=phases)


def test_both_pages_have_the_same_example():
    assert page_example("host.zh-CN.md") == page_example("host.md")


def test_json_says_the_same_as_yaml(file):
    data = content(phase(data="loader", policy="arch", read_metrics="top1_per_architecture"))
    assert find_profile(file(json.dumps(data), "fork.json")) == find_profile(file(data))


def test_json_needs_no_yaml(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert find_profile(file(json.dumps(content()), "fork.json")).name == "fork"


def test_yaml_needs_its_package(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert "needs the package pyyaml" in refused(file(json.dumps(content())))


def test_what_is_not_said_is_as_in_python(file):
    found = only(file)
    assert (found.model, found.config, found.policy, found.data) == ("model", "configs", None, None)
    assert found.required and found.read_metrics is no_metrics


@pytest.mark.parametrize("none", [None, "none"])
def test_a_phase_may_lack_its_configuration(file, none):
    assert only(file, config=none).config is None


def test_a_host_may_have_no_function_that_reads_or_builds(file):
    data = {"name": "fork", "phases": [phase()]}
    found = find_profile(file(data))
    assert (found.read_config, found.build_model) == (None, None)


@pytest.mark.parametrize(
    ("said", "value", "read"),
    [
        ("none", [70.0], ()),
        (None, [70.0], ()),
        ("number", 70, (70.0,)),
        ("number", [70, 60], (70.0, 60.0)),
        (0, (70, 90, 0.5), (70.0,)),
        (1, (0.5, [70, 60]), (70.0, 60.0)),
        ("readers_of_mine:accuracy", {"top1": 70}, (70.0,)),
    ],
)
def test_metrics_are_read_as_the_profile_says(file, said, value, read):
    assert only(file, read_metrics=said).read_metrics(value) == read


def test_a_word_is_the_function_of_that_name(file):
    found = only(file, read_metrics="top1_per_architecture")
    assert found.read_metrics is top1_per_architecture


@pytest.mark.parametrize(
    ("said", "value", "told"),
    [
        (2, (70, 90), "the host gave a tuple of 2, which has no element 2"),
        (0, 70.0, "the host gave a float, which has no element 0"),
        ("number", "70", "must give a number, or a list of numbers; received '70'"),
        ("readers_of_mine:accuracy", {"top1": None}, "received None"),
        ("number", 10**400, "must give a number, or a list of numbers; received 1000"),
    ],
)
def test_what_is_no_accuracy_is_an_error_and_not_nothing(file, said, value, told):
    read = only(file, read_metrics=said).read_metrics
    with pytest.raises(PluginError, match=r"^fork\.yaml: phases\[0\]\.read_metrics: ") as error:
        read(value)
    assert told in str(error.value)


def test_a_number_of_too_many_digits_to_show_is_no_accuracy(file):
    with pytest.raises(PluginError, match="must give a number"):
        only(file, read_metrics="number").read_metrics(10**5000)


@pytest.mark.parametrize(
    ("said", "batch"),
    [
        ("first_of_pair", ("y", "x")),
        ("second_of_pair", ("x", "y")),
        (2, ("x", "index", "y")),
        ("readers_of_mine:labels", {"x": "x", "y": "y"}),
    ],
)
def test_labels_are_read_as_the_profile_says(file, said, batch):
    assert only(file, data="loader", read_labels=said).read_labels(batch) == "y"


def test_labels_may_be_unknown(file):
    assert only(file, data="loader", read_labels="none").read_labels is None


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("predefined_architectures", [([4, 3], [6, 5])]),
        ("pair_of_lists", ([4, 3], [6, 5])),
        ("readers_of_mine:policy", {"w": (4, 3)}),
    ],
)
def test_widths_are_written_as_the_profile_says(file, said, written):
    found = only(file, policy="arch", write_policy=said)
    assert found.write_policy(BitWidths((4, 3), (6, 5))) == written


# What is wrong in them


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "fork.yaml: must be a mapping with name, phases; received None"),
        ("- a", "fork.yaml: must be a mapping with name, phases; received ['a']"),
        ("name: [", "fork.yaml, line 1: is not YAML (expected the node content"),
        ("a: b: c", "fork.yaml, line 1: is not YAML (mapping values are not allowed here)"),
        ("name: a\nname: b", "fork.yaml: key 'name' stands twice in one mapping"),
        ("name: !!python/object:os.x {}", "fork.yaml, line 1: is not YAML ("),
        ("[" * 3000, "fork.yaml: is nested too deeply"),
    ],
)
def test_what_is_no_profile_in_yaml(file, text, told):
    assert refused(file(text)).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "fork.json, line 1: is not JSON (Expecting value)"),
        ('{"name": 1,\n}', "fork.json, line "),
        ('{"name": "a", "name": "b"}', "fork.json: key 'name' stands twice in one mapping"),
    ],
)
def test_what_is_no_profile_in_json(file, text, told):
    assert refused(file(text, "fork.json")).startswith(told)


def without(key):
    return {name: value for name, value in content().items() if name != key}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (without("name"), "fork.yaml: name is missing"),
        (without("phases"), "fork.yaml: phases is missing"),
        (content(hooks=[]), "fork.yaml: unknown key 'hooks' (keys: name, phases, read_config, bu"),
        (content(phasse=[]), "fork.yaml: unknown key 'phasse'; did you mean 'phases'? (keys: "),
        (content(name=3), "fork.yaml: name: must be a text; received 3"),
        (content(phases={}), "fork.yaml: phases: must be a list; received {}"),
        (content(phases=[]), "fork.yaml: phases: must name at least one function of the host"),
        (content(phases=[3]), "fork.yaml: phases[0]: must be a mapping with phase, module, f"),
        (content(read_config="get"), "fork.yaml: read_config: must be module:function, or none; "),
        (content(build_model=["a", "b"]), "fork.yaml: build_model: must be module:function, or "),
        (content(phase(), phase()), "fork.yaml: evaluation:evaluate is named for more than one "),
        (
            content(read_config="evaluation:evaluate"),
            "fork.yaml: evaluation:evaluate is named for more than one purpose",
        ),
        (
            content(phase(config="none"), read_config="none"),
            "fork.yaml: validate: config: must name a parameter of evaluation.evaluate, since ",
        ),
    ],
)
def test_a_profile_that_is_wrong(file, data, told):
    assert refused(file(data)).startswith(told)


@pytest.mark.parametrize("key", ["phase", "module", "function"])
def test_a_phase_that_lacks_a_key(file, key):
    data = {name: value for name, value in phase().items() if name != key}
    assert refused(file(content(phase(), data))) == f"fork.yaml: phases[1]: {key} is missing"


PARAMETER = "must be the name of a parameter of the function"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"phase": "validat"},
            "phase: must be one of train, validate, calibrate, search; received 'validat'; did you "
            "mean 'validate'?",
        ),
        ({"phase": ["train"]}, "phase: must be one of train, validate, calibrate, search; rec"),
        ({"module": "evaluation.py:x"}, "module: must be the name of a module; received "),
        ({"module": 3}, "module: must be the name of a module; received 3"),
        ({"function": "Trainer.validate"}, "function: must be the name of a function; received "),
        ({"model": None}, f"model: {PARAMETER}; received None"),
        ({"config": 3}, f"config: {PARAMETER}, or none; received 3"),
        ({"data": ["loader"]}, f"data: {PARAMETER}, or none; received ['loader']"),
        ({"required": "yes"}, "required: must be true or false; received 'yes'"),
        ({"write_policy": "pair_of_lists"}, "write_policy: is for policy, which is not there"),
        ({"read_labels": 1}, "read_labels: is for data, which is not there"),
        (
            {"read_metrics": "top1_per_arch"},
            "read_metrics: must be one of none, top1_per_architecture, number, a position (0, 1, "
            "...), or module:function; received 'top1_per_arch'; did you mean "
            "'top1_per_architecture'?",
        ),
        ({"read_metrics": True}, "read_metrics: must be one of none, top1_per_architecture, num"),
        ({"read_metrics": -1}, "read_metrics: must be one of none, top1_per_architecture, num"),
        (
            {"policy": "arch", "write_policy": 0},
            "write_policy: must be one of predefined_architectures, pair_of_lists, or module:func",
        ),
        (
            {"read_metrics": "raeders_of_mine:accuracy"},
            "read_metrics: raeders_of_mine:accuracy: there is no module 'raeders_of_mine' on the ",
        ),
        (
            {"read_metrics": "readers_of_mine.deeper:accuracy"},
            "read_metrics: readers_of_mine.deeper:accuracy: there is no module 'readers_of_mine.d",
        ),
        (
            {"read_metrics": "readers_of_mine:acuracy"},
            "read_metrics: readers_of_mine:acuracy: 'readers_of_mine' has no function 'acuracy'; "
            "did you mean 'accuracy'?",
        ),
        (
            {"read_metrics": "readers_of_mine:not_callable"},
            "read_metrics: readers_of_mine:not_callable: 'readers_of_mine' has no function 'not_c",
        ),
    ],
)
def test_a_phase_that_is_wrong(file, changes, told):
    message = refused(file(content(phase(**changes))))
    assert message.startswith(f"fork.yaml: phases[0].{told.partition(': ')[0]}: ")
    assert message.partition("phases[0].")[2].startswith(told)


RAISES = [
    ("import no_such_module_for_tests", "ModuleNotFoundError: No module named 'no_such_module_for"),
    ("def (", "SyntaxError: invalid syntax ("),
    ("raise ValueError('of two\\nlines')", "ValueError: of two lines"),
    ("raise AssertionError", "AssertionError"),
    ("raise SystemExit(0)", "SystemExit: 0"),
]


@pytest.mark.parametrize(("text", "told"), RAISES)
@pytest.mark.parametrize(
    ("key", "more"),
    [("read_metrics", {}), ("read_labels", {"data": "x"}), ("write_policy", {"policy": "x"})],
)
def test_a_module_of_a_function_that_cannot_be_imported(file, key, more, text, told):
    Path("breaks_for_tests.py").write_text(text, encoding="utf-8")
    importlib.invalidate_caches()
    message = refused(file(content(phase(**{key: "breaks_for_tests:f"}, **more))))
    start = f"fork.yaml: phases[0].{key}: breaks_for_tests:f: module 'breaks_for_tests' cannot be "
    assert message.startswith(f"{start}imported: {told}")


def test_a_package_of_a_function_that_cannot_be_imported(file):
    Path("breaks_for_tests").mkdir()
    Path("breaks_for_tests/__init__.py").write_text("raise SystemExit(0)", encoding="utf-8")
    importlib.invalidate_caches()
    message = refused(file(content(phase(read_metrics="breaks_for_tests.inside:f"))))
    assert message.endswith("module 'breaks_for_tests.inside' cannot be imported: SystemExit: 0")


def test_a_file_that_is_not_there(file):
    assert refused("gone.yml") == "gone.yml: cannot be read (No such file or directory)"


def test_a_folder_is_no_file(file):
    Path("folder.yaml").mkdir()
    assert refused("folder.yaml").startswith("folder.yaml: cannot be read (")


def test_bytes_are_no_text(file):
    Path("fork.yaml").write_bytes(b"name: \xff")
    assert refused("fork.yaml") == "fork.yaml: is no text in UTF-8"


# Names

PACKAGE = """
from rfquant_hooks import HostProfile, PhaseFunction
PROFILE = HostProfile("other", (PhaseFunction("validate", "evaluation", "evaluate"),))
nothing = 3
"""


@pytest.fixture
def offer(tmp_path, monkeypatch):
    """Installs a package with a profile for this process."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name, value, package="offers_a_profile"):
        (tmp_path / f"{package}.py").write_text(PACKAGE, encoding="utf-8")
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[rfquant_profiles]\n{name} = {package}:{value}\n")

    yield install
    sys.modules.pop("offers_a_profile", None)


def test_the_one_that_is_built_in():
    assert find_profile("rfquant") is RFQUANT


def test_one_of_an_installed_package(offer):
    offer("other", "PROFILE")
    found = find_profile("other")
    assert [(p.module, p.function) for p in found.phases] == [("evaluation", "evaluate")]


def test_a_name_that_nobody_has_is_told_with_the_nearest_and_all(offer):
    offer("other", "PROFILE")
    told = refused("othr")
    assert told.startswith("profile 'othr': there is none of that name; did you mean 'other'? (")
    assert "profiles: rfquant, other; a file's name ends in .yaml, .yml, .json" in told


@pytest.mark.parametrize(
    ("value", "told"),
    [("nothing", "must be a HostProfile; received 3"), ("gone", "cannot be loaded: ")],
)
def test_an_entry_point_that_is_none(offer, value, told):
    offer("other", value)
    message = refused("other")
    assert message.startswith(f"profile 'other': offers_a_profile:{value} (entry point of group ")
    assert told in message


@pytest.mark.parametrize(("text", "told"), RAISES)
def test_an_entry_point_whose_module_cannot_be_imported(offer, tmp_path, text, told):
    offer("other", "PROFILE")
    (tmp_path / "offers_a_profile.py").write_text(text, encoding="utf-8")
    assert f"(entry point of group rfquant_profiles): cannot be loaded: {told}" in refused("other")


def test_an_entry_point_whose_profile_contradicts_itself(offer, tmp_path):
    offer("other", "PROFILE")
    text = "from rfquant_hooks import HostProfile\nHostProfile('other', ())\n"
    (tmp_path / "offers_a_profile.py").write_text(text, encoding="utf-8")
    assert refused("other").startswith("profile 'other': offers_a_profile:PROFILE (entry point of")


def test_two_packages_with_one_name(offer):
    offer("other", "PROFILE")
    offer("other", "PROFILE", package="offers_another")
    message = refused("other")
    assert "several packages have one: " in message
    assert "offers_a_profile:PROFILE" in message and "offers_another:PROFILE" in message
