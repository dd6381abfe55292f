"""A host under hooks without an edit, and out again without a trace."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from rfquant_hooks import PhaseOutcome, PluginError, hookimpl, instrument, uninstrument


class Recorder:
    def __init__(self):
        self.events, self.phases = [], []

    @hookimpl
    def rfquant_configure(self, config, manager):
        self.events.append(("configure", config))

    @hookimpl
    def rfquant_model_built(self, config, model):
        self.events.append(("model_built", config, model))

    @hookimpl
    def rfquant_run_phase(self, phase, run):
        self.phases.append(phase)

    def names(self):
        return [phase.name for phase in self.phases]


class Server:
    @hookimpl
    def rfquant_host_modules(self):
        return {"util.fault_injector": "served_for_tests"}


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def served(monkeypatch):
    module = ModuleType("served_for_tests", "What is served.")
    module.FaultInjector, module._private = object(), object()
    monkeypatch.setitem(sys.modules, "served_for_tests", module)
    return module


def start(*plugins):
    return instrument(entry_points=False, plugins=plugins)


def model():
    return SimpleNamespace(seen=[])


def config():
    return SimpleNamespace(search=False)


def host_attributes():
    """Every attribute of every module of the host, by identity."""
    names = ["process", "util", "util.config", "util.utils", "quan", "quan.utils"]
    modules = [importlib.import_module(name) for name in names]
    return {
        (module.__name__, key): value for module in modules for key, value in vars(module).items()
    }


def changed(before, after):
    return [k for k in {**before, **after} if before.get(k, before) is not after.get(k, after)]


# Copies


def test_a_function_called_through_its_module_reaches_the_plugin(imported, recorder):
    start(recorder)
    process = importlib.import_module("process")
    process.train([1], model(), config())
    assert recorder.names() == ["train"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_copy_in_a_host_module_reaches_the_plugin(imported, recorder, moment):
    imported.write("extra.py", "from process import validate\n")
    if moment == "before":
        importlib.import_module("extra")
    start(recorder)
    importlib.import_module("extra").validate([1], model(), config())
    assert recorder.names() == ["validate"]


def test_a_copy_under_another_name_reaches_the_plugin(imported, recorder):
    imported.write("extra.py", "from process import validate as check\n")
    extra = importlib.import_module("extra")
    start(recorder)
    extra.check([1], model(), config())
    assert recorder.names() == ["validate"]


MAIN = """
import sys
sys.path.insert(0, {host!r})
{imports}
from rfquant_hooks import PhaseOutcome, hookimpl
class Answer:
    @hookimpl
    def rfquant_run_phase(self, phase, run):
        return PhaseOutcome("of the plugin")
{instrument}
print(validate([1], None, None))
"""
COPY = "from process import validate"
INSTRUMENT = (
    "import rfquant_hooks; rfquant_hooks.instrument(entry_points=False, plugins=[Answer()])"
)


@pytest.mark.parametrize("place", ["host", "elsewhere"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_copy_in_the_main_script_reaches_the_plugin(host, place, moment):
    imports = COPY if moment == "before" else ""
    instrument = INSTRUMENT if moment == "before" else f"{INSTRUMENT}\n{COPY}"
    main = host.folder.parent / place / "main.py"
    main.parent.mkdir(exist_ok=True)
    text = MAIN.format(host=str(host.folder), imports=imports, instrument=instrument)
    main.write_text(text, encoding="utf-8")
    assert host.python(str(main)).stdout == "of the plugin\n"


def test_the_copy_of_calibration_in_process_reaches_the_plugin(imported, recorder):
    process = importlib.import_module("process")
    start(recorder)
    process.validate([1], model(), config(), train_loader=[3])
    assert recorder.names() == ["validate", "calibrate"]


def test_a_nested_phase_of_the_host_has_its_parent(imported, recorder):
    start(recorder)
    importlib.import_module("process").validate([1], model(), config(), train_loader=[3])
    assert recorder.phases[1].parent is recorder.phases[0]


def test_the_copy_of_get_config_in_its_package_reaches_the_plugin(imported, recorder):
    util = importlib.import_module("util")
    start(recorder)
    found = util.get_config()
    assert recorder.events == [("configure", found)]


def test_a_copy_outside_of_the_host_is_left_alone(imported, monkeypatch):
    validate = importlib.import_module("process").validate
    stranger = ModuleType("stranger_for_tests")
    stranger.__file__ = __file__
    stranger.validate = validate
    monkeypatch.setitem(sys.modules, "stranger_for_tests", stranger)
    start()
    assert stranger.validate is validate


def test_a_wrapper_looks_like_the_function(imported):
    start()
    validate = importlib.import_module("process").validate
    assert (validate.__name__, validate.__module__) == ("validate", "process")


# What fires


def test_reading_the_configuration_fires_configure(imported, recorder):
    start(recorder)
    util = importlib.import_module("util")
    assert recorder.events == [("configure", util.get_config())]


def test_a_copy_taken_under_instrumentation_is_put_back(imported, monkeypatch):
    process = importlib.import_module("process")
    original = process.validate
    start()
    late = ModuleType("late")
    late.__file__ = str(Path(process.__file__).with_name("late.py"))
    late.validate = process.validate
    monkeypatch.setitem(sys.modules, "late", late)
    uninstrument()
    assert late.validate is original


def test_the_host_receives_its_configuration(imported):
    start()
    assert importlib.import_module("util").get_config() == config()


def test_the_first_phase_fires_configure_if_the_configuration_was_never_read(imported, recorder):
    start(recorder)
    mine = config()
    importlib.import_module("process").train([1], model(), mine)
    assert recorder.events == [("configure", mine)]


def test_building_the_model_fires_model_built(imported, recorder):
    start(recorder)
    found = importlib.import_module("util").get_config()
    built = importlib.import_module("quan.utils").replace_module_by_names(model(), {}, {})
    assert recorder.events[1:] == [("model_built", found, built)]


def test_the_model_is_shown_after_its_modules_were_replaced(imported):
    shown = []

    class Look:
        @hookimpl
        def rfquant_model_built(self, config, model):
            shown.append(model.quantized)

    start(Look())
    importlib.import_module("util").get_config()
    importlib.import_module("quan.utils").replace_module_by_names(model(), {}, {})
    assert shown == [True]


def test_the_host_receives_its_model(imported):
    start()
    mine = model()
    utils = importlib.import_module("quan.utils")
    assert utils.replace_module_by_names(mine, {}, {}) is mine


def test_the_host_receives_the_value_of_the_outcome(imported):
    class Answer:
        @hookimpl
        def rfquant_run_phase(self, phase, run):
            return PhaseOutcome("of the plugin")

    start(Answer())
    assert importlib.import_module("process").train([1], model(), config()) == "of the plugin"


def test_an_error_in_configure_reaches_the_host(imported):
    class Strict:
        @hookimpl
        def rfquant_configure(self, config, manager):
            raise PluginError("wrong section")

    start(Strict())
    with pytest.raises(PluginError, match="wrong section"):
        importlib.import_module("util").get_config()


def test_a_search_of_the_host_is_a_phase(imported, recorder):
    imported.write("util/greedy_search.py", "def search(model, cfgs):\n    return 'found'\n")
    start(recorder)
    importlib.import_module("util.greedy_search").search(model(), config())
    assert recorder.names() == ["search"]


# Twice


def test_a_second_call_returns_the_session_of_the_first(imported):
    assert start() is start()


def test_a_second_call_does_not_wrap_again(imported, recorder):
    start(recorder)
    start(recorder)
    importlib.import_module("process").train([1], model(), config())
    assert recorder.names() == ["train"]


def test_a_second_call_adds_no_finder(imported):
    start()
    finders = list(sys.meta_path)
    start()
    assert sys.meta_path == finders


# Undo


def test_instrumenting_changes_the_host(imported):
    before = host_attributes()
    start()
    assert set(changed(before, host_attributes())) == {
        ("process", "train"),
        ("process", "validate"),
        ("process", "calibrate_batchnorm_state"),
        ("util.utils", "calibrate_batchnorm_state"),
        ("util", "get_config"),
        ("util.config", "get_config"),
        ("quan.utils", "replace_module_by_names"),
    }


def test_undo_restores_every_attribute_to_the_identical_object(imported):
    before = host_attributes()
    start()
    uninstrument()
    assert changed(before, host_attributes()) == []


def test_undo_restores_a_copy_in_another_host_module(imported):
    imported.write("extra.py", "from process import validate as check\n")
    extra = importlib.import_module("extra")
    original = extra.check
    start()
    uninstrument()
    assert extra.check is original


def test_undo_removes_the_finder(imported, served):
    finders = list(sys.meta_path)
    start(Server())
    uninstrument()
    assert sys.meta_path == finders


def test_undo_leaves_the_module_search_path(imported):
    path = list(sys.path)
    start()
    uninstrument()
    assert sys.path == path


@pytest.mark.parametrize("name", ["train", "validate"])
def test_a_wrapper_that_somebody_kept_passes_straight_through(imported, recorder, name):
    start(recorder)
    kept = getattr(importlib.import_module("process"), name)
    uninstrument()
    kept([1], model(), config())
    assert recorder.phases == []


def test_a_kept_wrapper_still_returns_what_the_function_returns(imported):
    start()
    kept = importlib.import_module("process").validate
    uninstrument()
    assert kept([1], model(), config()) == [70, 60.5]


def test_a_kept_wrapper_of_get_config_does_not_configure(imported, recorder):
    start(recorder)
    kept = importlib.import_module("util").get_config
    uninstrument()
    kept()
    assert recorder.events == []


def test_undo_without_instrument_does_nothing(imported):
    before = host_attributes()
    uninstrument()
    assert changed(before, host_attributes()) == []


def test_undo_twice_is_undo(imported):
    before = host_attributes()
    start()
    uninstrument()
    uninstrument()
    assert changed(before, host_attributes()) == []


def test_a_host_may_be_instrumented_again_after_undo(imported, recorder):
    start()
    uninstrument()
    start(recorder)
    importlib.import_module("process").train([1], model(), config())
    assert recorder.names() == ["train"]


def test_each_instrumentation_has_its_own_session(imported):
    first = start()
    uninstrument()
    assert start() is not first


# What the host lacks


@pytest.mark.parametrize(
    "file,module",
    [
        ("process.py", "process"),
        ("util/utils.py", "util.utils"),
        ("quan/utils.py", "quan.utils"),
    ],
)
def test_a_missing_module_is_an_error_that_names_it(imported, file, module):
    (imported.folder / file).unlink()
    if module == "util.utils":
        imported.write("process.py", "def train(): ...\ndef validate(): ...\n")
    with pytest.raises(PluginError, match=f"no module '{module}'"):
        start()


def test_a_missing_package_is_an_error_that_names_the_module(imported):
    (imported.folder / "quan" / "utils.py").unlink()
    (imported.folder / "quan" / "__init__.py").unlink()
    (imported.folder / "quan").rmdir()
    with pytest.raises(PluginError, match=r"no module 'quan\.utils'"):
        start()


def test_a_missing_function_is_an_error_that_names_it(imported):
    imported.write("process.py", "def train(model, configs): ...\n")
    with pytest.raises(PluginError, match=r"module 'process' has no function 'validate'"):
        start()


def test_a_name_that_is_no_function_is_an_error(imported):
    imported.write("process.py", "def train(model, configs): ...\nvalidate = 3\n")
    with pytest.raises(PluginError, match=r"module 'process' has no function 'validate'"):
        start()


def test_the_search_may_be_missing(imported, recorder):
    start(recorder)
    importlib.import_module("process").train([1], model(), config())
    assert recorder.names() == ["train"]


def test_a_host_module_that_fails_to_import_says_why(imported):
    imported.write("process.py", "import no_such_module_for_tests\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_for_tests"):
        start()


def test_a_refused_host_is_left_as_it_was(imported):
    imported.write("quan/utils.py", "")
    before = host_attributes()
    with pytest.raises(PluginError):
        start()
    assert changed(before, host_attributes()) == []


def test_a_refused_host_leaves_no_finder(imported):
    imported.write("quan/utils.py", "")
    finders = list(sys.meta_path)
    with pytest.raises(PluginError):
        start()
    assert sys.meta_path == finders


def test_a_refused_host_may_be_mended_and_instrumented(imported, recorder):
    imported.write("quan/utils.py", "")
    with pytest.raises(PluginError):
        start()
    importlib.import_module("quan.utils").replace_module_by_names = lambda model: model
    start(recorder)
    importlib.import_module("process").train([1], model(), config())
    assert recorder.names() == ["train"]


def test_a_plugin_with_an_unknown_hook_is_an_error_that_names_it(imported):
    class Typo:
        @hookimpl
        def rfquant_configured(self):
            return None

    with pytest.raises(PluginError, match="rfquant_configured"):
        start(Typo())


# Served modules


def test_a_module_that_the_host_lacks_is_served(imported, served):
    start(Server())
    module = importlib.import_module("util.fault_injector")
    assert module.FaultInjector is served.FaultInjector


def test_a_served_module_keeps_private_names_to_itself(imported, served):
    start(Server())
    assert not hasattr(importlib.import_module("util.fault_injector"), "_private")


def test_a_served_module_has_the_names_of_all(imported, served):
    served.__all__ = ["FaultInjector"]
    served.other = object()
    start(Server())
    assert not hasattr(importlib.import_module("util.fault_injector"), "other")


def test_nothing_is_served_until_the_host_asks(imported, served):
    start(Server())
    assert "util.fault_injector" not in sys.modules


def test_the_hosts_own_module_wins(imported, served):
    imported.write("util/fault_injector.py", "FaultInjector = 'of the host'\n")
    start(Server())
    assert importlib.import_module("util.fault_injector").FaultInjector == "of the host"


def test_other_missing_modules_are_still_missing(imported, served):
    start(Server())
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("util.no_such_module")


def test_undo_removes_the_served_module(imported, served):
    start(Server())
    importlib.import_module("util.fault_injector")
    uninstrument()
    assert "util.fault_injector" not in sys.modules


def test_undo_removes_the_served_module_from_its_package(imported, served):
    start(Server())
    importlib.import_module("util.fault_injector")
    uninstrument()
    assert not hasattr(importlib.import_module("util"), "fault_injector")


def test_undo_leaves_the_module_that_was_served_from(imported, served):
    start(Server())
    importlib.import_module("util.fault_injector")
    uninstrument()
    assert sys.modules["served_for_tests"] is served


def test_undo_leaves_the_hosts_own_module(imported, served):
    imported.write("util/fault_injector.py", "FaultInjector = 'of the host'\n")
    start(Server())
    own = importlib.import_module("util.fault_injector")
    uninstrument()
    assert sys.modules["util.fault_injector"] is own


def test_nothing_is_served_after_undo(imported, served):
    start(Server())
    uninstrument()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("util.fault_injector")
