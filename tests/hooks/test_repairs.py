"""Each repair: where the defect is, where it is not, switched off, undone."""

import importlib
import logging
import os
import sys
from types import SimpleNamespace

import pytest

from rfquant_hooks import BitWidths, PluginError, hookimpl, instrument, uninstrument
from rfquant_hooks.repairs import REPAIRS

GROUP = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
WIDTHS = BitWidths((4, 3), (6, 5), source="file.json")

# The reader of the real host in few lines: strict parser, settings from the test.
CONFIG = """
import argparse
import logging.config
from types import SimpleNamespace
settings = {}
def get_config():
    parser = argparse.ArgumentParser()
    parser.add_argument("config_file", nargs="+")
    parser.add_argument("--local_rank", default=0, type=int)
    arguments = parser.parse_args()
    return SimpleNamespace(**{"search": False, **settings, **vars(arguments)})
def init_logger(file):
    logging.config.fileConfig(file)
"""
LOGGING = """
[loggers]
keys: root
[handlers]
keys:
[formatters]
keys:
[logger_root]
level: INFO
handlers:
"""
MPQ = """
def switch_bit_width(model, quan_scheduler, wbit, {parameter}):
    return model, wbit, {parameter}
"""
CALLS = """
from util.mpq import switch_bit_width
def call():
    return switch_bit_width("model", quan_scheduler=None, wbit=5, {keyword}=6)
"""
PROCESS = """
def train(model, configs): ...
def validate(model, configs, eval_predefined_arch=None):
    if eval_predefined_arch is None:
        from {dot}policy import MIN_POLICY
        eval_predefined_arch = MIN_POLICY
    return eval_predefined_arch
"""
SCHEDULE = """
class CosineSched:
    def __init__(self, start_step, max_step, eta_start, eta_end):
        assert start_step < max_step
"""
MAIN_SCHEDULE = """
from util.weight_schd import CosineSched
def main(loader, epochs):
    CosineSched(start_step=len(loader) * 40, max_step=len(loader) * epochs, eta_start=0, eta_end=1)
"""


class Widths:
    @hookimpl
    def rfquant_bit_widths(self, config):
        return WIDTHS


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in GROUP:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["main.py", "a.yaml"])


@pytest.fixture
def published(imported):
    """A host whose configuration is read as the published one's is."""
    imported.write("util/config.py", CONFIG)
    return imported


def start(*plugins, repairs=None):
    return instrument(entry_points=False, plugins=plugins, repairs=repairs)


def but(name):
    return [other for other in REPAIRS if other != name]


def read(**settings):
    config = importlib.import_module("util.config")
    config.settings.update(settings)
    return config.get_config()


def repaired(capsys):
    lines = capsys.readouterr().out.splitlines()
    return [li.split(":")[1].split()[1] for li in lines if li.startswith("rfquant-run: repaired ")]


# Names


def test_an_unknown_repair_is_an_error_with_the_nearest_and_all(imported):
    with pytest.raises(PluginError, match=r"'local-rnk'; did you mean 'local-rank'\? .*loggers"):
        start(repairs=["local-rnk"])


def test_the_launcher_lists_the_repairs(host):
    lines = host.rfquant_run("--list-repairs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(REPAIRS)


def test_the_launcher_refuses_an_unknown_repair_in_one_line(host):
    run = host.rfquant_run("--no-repair", "logger", "main.py")
    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert "unknown repair 'logger'; did you mean 'loggers'?" in run.stderr


def test_the_launcher_switches_repairs_off(host):
    host.write(
        "main.py",
        """
        import os
        from util import get_config
        config = get_config()
        config.distributed = "WORLD_SIZE" in os.environ
        assert config.distributed
        """,
    )
    run = host.rfquant_run("--no-repair", "process-group", "main.py")
    assert (host.rfquant_run("main.py").returncode, run.returncode) == (0, 1)


def test_a_sound_host_is_not_repaired(imported, capsys):
    start(Widths())
    importlib.import_module("util").get_config()
    importlib.import_module("process").validate([1], SimpleNamespace(seen=[]), None)
    assert repaired(capsys) == []


# policy-bits


@pytest.fixture
def without_entry(published):
    published.write("policy.py", "BITS = {}\n")
    published.write("extra.py", "from policy import BITS\n")
    return importlib.import_module("extra")


def test_policy_bits_fills_the_dictionary_that_the_script_holds(without_entry):
    start(Widths())
    read(arch="net", eval=True)
    assert without_entry.BITS == {"net": [([4, 3], [6, 5])]}


def test_policy_bits_is_told_with_the_source(without_entry, capsys):
    start(Widths())
    read(arch="net", eval=True)
    line = "rfquant-run: repaired policy-bits: policy.BITS['net'] filled from file.json\n"
    assert capsys.readouterr().out == line


def test_policy_bits_without_widths_is_an_error(without_entry):
    start()
    with pytest.raises(PluginError, match=r"^arch: net: policy\.BITS .*fill policy\.py"):
        read(arch="net", eval=True)


def test_policy_bits_leaves_an_entry_of_the_host(without_entry):
    without_entry.BITS["net"] = "of the host"
    start(Widths())
    read(arch="net", eval=True)
    assert without_entry.BITS == {"net": "of the host"}


@pytest.mark.parametrize("settings", [{"eval": False}, {"eval": True, "search": True}, {}], ids=str)
def test_policy_bits_is_for_eval_alone(without_entry, settings):
    start(Widths())
    read(arch="net", **settings)
    assert without_entry.BITS == {}


def test_policy_bits_asks_for_nothing_where_nobody_looks_the_entry_up(published):
    published.write("policy.py", "BITS = {}\n")
    importlib.import_module("policy")
    start()
    assert read(arch="net", eval=True).arch == "net"


def test_policy_bits_switched_off(without_entry):
    start(Widths(), repairs=but("policy-bits"))
    read(arch="net", eval=True)
    assert without_entry.BITS == {}


def test_policy_bits_undone(without_entry):
    start(Widths())
    read(arch="net", eval=True)
    uninstrument()
    assert without_entry.BITS == {}


# integer-widths


class Norm:
    def __init__(self, bit_width):
        self.bit_width = bit_width

    def switch_bn(self, bit_width):
        self.bit_width = bit_width


class Model:
    def __init__(self, bits):
        self.fixed = SimpleNamespace(bits=None, fixed_bits=(8, 8))
        self.layer, self.norm = SimpleNamespace(bits=bits), Norm(bits)
        self.seen = []

    def modules(self):
        return [self.fixed, self.layer, self.norm]


LISTS = ([6, 4], [5, 3])


def validated(model, repairs=None):
    start(repairs=repairs)
    importlib.import_module("process").validate([1], model, SimpleNamespace(search=False))
    return model


def test_integer_widths_takes_the_first_candidates(imported):
    assert validated(Model(LISTS)).layer.bits == (6, 5)


def test_integer_widths_switches_the_batch_norm_along(imported):
    assert validated(Model(LISTS)).norm.bit_width == (6, 5)


def test_integer_widths_leaves_a_fixed_layer_without_widths(imported):
    assert validated(Model(LISTS)).fixed.bits is None


def test_integer_widths_leaves_integers(imported):
    bits = (4, 4)
    assert validated(Model(bits)).layer.bits is bits


def test_integer_widths_comes_before_the_plugins(imported):
    seen = []

    class Look:
        @hookimpl
        def rfquant_run_phase(self, phase, run):
            seen.append(phase.model.layer.bits)

    start(Look())
    importlib.import_module("process").validate([1], Model(LISTS), SimpleNamespace(search=False))
    assert seen == [(6, 5)]


def test_integer_widths_is_for_validate_alone(imported):
    model = Model(LISTS)
    start()
    importlib.import_module("process").train([1], model, SimpleNamespace(search=False))
    assert model.layer.bits is LISTS


def test_integer_widths_switched_off(imported):
    assert validated(Model(LISTS), but("integer-widths")).layer.bits is LISTS


def test_integer_widths_stops_after_undo(imported):
    start()
    kept = importlib.import_module("process").validate
    uninstrument()
    model = Model(LISTS)
    kept([1], model, None)
    assert model.layer.bits is LISTS


# abit-keyword


def caller(host, keyword="abit", parameter="abits"):
    host.write("util/mpq.py", MPQ.format(parameter=parameter))
    host.write("extra.py", CALLS.format(keyword=keyword))
    return importlib.import_module("extra")


def test_abit_keyword_is_accepted(published):
    extra = caller(published)
    start()
    read()
    assert extra.call() == ("model", 5, 6)


def test_abit_keyword_leaves_the_right_one(published):
    extra = caller(published)
    start()
    read()
    assert extra.switch_bit_width("model", None, wbit=5, abits=4) == ("model", 5, 4)


@pytest.mark.parametrize("names", [("abits", "abits"), ("abit", "abit")], ids=str)
def test_abit_keyword_leaves_a_host_that_agrees_with_itself(published, names):
    extra = caller(published, *names)
    original = extra.switch_bit_width
    start()
    read()
    assert extra.switch_bit_width is original


def test_abit_keyword_switched_off(published):
    extra = caller(published)
    start(repairs=but("abit-keyword"))
    read()
    with pytest.raises(TypeError, match="abit"):
        extra.call()


def test_abit_keyword_undone(published):
    extra = caller(published)
    original = extra.switch_bit_width
    start()
    read()
    uninstrument()
    assert extra.switch_bit_width is importlib.import_module("util.mpq").switch_bit_width
    assert extra.switch_bit_width is original


# local-rank


@pytest.fixture
def chooses_device(published):
    published.write("util/dist.py", "def init(configs):\n    return configs.local_rank\n")
    importlib.import_module("util.dist")
    return published


@pytest.mark.parametrize("arguments", [["--local-rank=1"], ["--local-rank", "1"]], ids=" ".join)
def test_local_rank_with_a_hyphen_is_understood(published, arguments):
    sys.argv += arguments
    start()
    assert read().local_rank == 1


def test_local_rank_of_the_environment_is_handed_on(chooses_device, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    start()
    assert read().local_rank == 1


def test_local_rank_given_to_the_script_wins(chooses_device, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    sys.argv += ["--local_rank", "2"]
    start()
    assert read().local_rank == 2


def test_local_rank_adds_no_file(chooses_device, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    sys.argv += ["--", "b.yaml"]
    start()
    assert read().config_file == ["a.yaml", "b.yaml"]


def test_local_rank_is_not_added_where_no_device_depends_on_it(published, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    start()
    assert read().local_rank == 0


def test_local_rank_is_not_added_to_a_parser_without_it(published, monkeypatch):
    published.write("util/config.py", CONFIG.replace("--local_rank", "--rank"))
    published.write("util/dist.py", "def init(configs):\n    return configs.local_rank\n")
    importlib.import_module("util.dist")
    monkeypatch.setenv("LOCAL_RANK", "1")
    start()
    assert read().rank == 0


def test_local_rank_switched_off(published):
    sys.argv += ["--local-rank=1"]
    start(repairs=but("local-rank"))
    with pytest.raises(SystemExit):
        read()


def test_local_rank_leaves_the_arguments_of_the_process(published):
    sys.argv += ["--local-rank=1"]
    arguments = sys.argv
    start()
    read()
    assert sys.argv is arguments and arguments[-1] == "--local-rank=1"


@pytest.mark.parametrize("rank,told", [("0", ["local-rank"]), ("1", [])])
def test_a_repair_is_told_on_the_first_rank(chooses_device, monkeypatch, capsys, rank, told):
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setenv("RANK", rank)
    start()
    read()
    assert repaired(capsys) == told


@pytest.mark.parametrize("option", ["--local-rank", "--local_rank"])
def test_local_rank_in_front_of_the_script_is_the_scripts(host, option):
    host.write("main.py", "import sys\nprint(sys.argv[1:])\n")
    host.write("a.yaml", "")
    run = host.rfquant_run(f"{option}=1", "main.py", "a.yaml")
    assert run.stdout == "['--local-rank=1', 'a.yaml']\n"


# process-group


@pytest.fixture
def asserts(published):
    published.write("extra.py", "def main(configs):\n    assert configs.distributed\n")
    importlib.import_module("extra")
    return published


def group():
    return {name: os.environ[name] for name in GROUP if name in os.environ}


def test_process_group_of_one_is_supplied(asserts):
    start()
    read()
    assert int(group().pop("MASTER_PORT")) > 0
    assert {**group(), "MASTER_PORT": ""} == dict(zip(GROUP, ("1", "0", "0", "127.0.0.1", "")))


@pytest.mark.parametrize("given", ["WORLD_SIZE", "RANK"])
def test_process_group_that_was_given_is_left(asserts, monkeypatch, given):
    monkeypatch.setenv(given, "1")
    start()
    read()
    assert group() == {given: "1"}


def test_process_group_keeps_an_address_that_was_given(asserts, monkeypatch):
    monkeypatch.setenv("MASTER_PORT", "29500")
    start()
    read()
    assert group()["MASTER_PORT"] == "29500"


def test_process_group_is_not_supplied_where_none_is_asserted(published):
    start()
    read()
    assert group() == {}


def test_process_group_switched_off(asserts):
    start(repairs=but("process-group"))
    read()
    assert group() == {}


def test_process_group_undone(asserts, monkeypatch):
    monkeypatch.setenv("MASTER_PORT", "29500")
    start()
    read()
    uninstrument()
    assert group() == {"MASTER_PORT": "29500"}


# loggers


@pytest.fixture
def logger(published):
    """A logger of a plugin; what fileConfig does to the root logger is put back."""
    (published.folder / "logging.conf").write_text(LOGGING, encoding="utf-8")
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    others = {n: logging.getLogger(n).disabled for n in list(logging.Logger.manager.loggerDict)}
    yield logging.getLogger("of_a_plugin_for_tests")
    root.setLevel(level)
    root.handlers[:] = handlers
    for name, disabled in others.items():
        logging.getLogger(name).disabled = disabled
    logging.getLogger("of_a_plugin_for_tests").disabled = False


def configure_loggers(host):
    importlib.import_module("util.config").init_logger(str(host.folder / "logging.conf"))


def test_loggers_are_enabled_again(published, logger):
    start()
    read()
    configure_loggers(published)
    assert not logger.disabled


def test_loggers_that_were_disabled_stay_so(published, logger):
    logger.disabled = True
    start()
    read()
    configure_loggers(published)
    assert logger.disabled


def test_loggers_of_a_host_without_the_defect_are_left(published):
    published.write("util/config.py", CONFIG.replace("logging.config.fileConfig", "str"))
    original = importlib.import_module("util.config").init_logger
    start()
    read()
    assert importlib.import_module("util.config").init_logger is original


def test_loggers_switched_off(published, logger):
    start(repairs=but("loggers"))
    read()
    configure_loggers(published)
    assert logger.disabled


def test_loggers_undone(published):
    original = importlib.import_module("util.config").init_logger
    start()
    read()
    uninstrument()
    assert importlib.import_module("util.config").init_logger is original


# relative-policy


@pytest.fixture
def relative(imported):
    imported.write("process.py", PROCESS.format(dot="."))
    imported.write("policy.py", "MIN_POLICY = (-1, None, None)\n")
    return imported


def validate(**arguments):
    config = SimpleNamespace(search=False)
    return importlib.import_module("process").validate(None, config, **arguments)


def test_relative_policy_is_the_policy_of_the_host(relative):
    start()
    assert validate() is importlib.import_module("policy").MIN_POLICY


def test_relative_policy_is_left_while_a_policy_is_given(relative):
    start()
    validate(eval_predefined_arch=[1])
    assert importlib.import_module("process").__package__ == ""


def test_relative_policy_leaves_a_host_that_imports_it_rightly(relative, capsys):
    relative.write("process.py", PROCESS.format(dot=""))
    start()
    validate()
    assert repaired(capsys) == []


def test_relative_policy_switched_off(relative):
    start(repairs=but("relative-policy"))
    with pytest.raises(ImportError, match="relative import"):
        validate()


def test_relative_policy_undone(relative):
    process = importlib.import_module("process")
    before = (process.__package__, process.__spec__)
    start()
    validate()
    uninstrument()
    assert (process.__package__, process.__spec__) == before
    assert [name for name in sys.modules if name.startswith("_rfquant_host")] == []


# Settings


@pytest.fixture
def scheduled(published):
    published.write("util/weight_schd.py", SCHEDULE)
    published.write("extra.py", MAIN_SCHEDULE)
    importlib.import_module("extra")
    return published


@pytest.mark.parametrize("epochs", [3, 40])
def test_too_few_epochs_are_an_error(scheduled, epochs):
    start()
    with pytest.raises(PluginError, match=rf"^epochs: {epochs}: .*set epochs: 41 or more"):
        read(epochs=epochs)


def test_enough_epochs_are_none(scheduled):
    start()
    assert read(epochs=41).epochs == 41


@pytest.mark.parametrize(
    "file,old,new",
    [
        ("util/weight_schd.py", "assert start_step < max_step", "pass"),
        ("extra.py", "len(loader) * 40", "0"),
    ],
)
def test_few_epochs_are_no_error_where_the_host_takes_them(published, file, old, new):
    texts = {"util/weight_schd.py": SCHEDULE, "extra.py": MAIN_SCHEDULE}
    for name, text in texts.items():
        published.write(name, text.replace(old, new) if name == file else text)
    importlib.import_module("extra")
    start()
    assert read(epochs=3).epochs == 3


@pytest.fixture
def splits(published):
    text = "def search(model, cfgs):\n    return model.current_bit_cands_w\n"
    published.write("util/greedy_search.py", text)
    return published


@pytest.mark.parametrize("settings", [{}, {"split_aw_cands": False}], ids=str)
def test_a_search_without_split_candidates_is_an_error(splits, settings):
    start()
    with pytest.raises(PluginError, match=r"^split_aw_cands: false: search: true needs"):
        read(search=True, **settings)


@pytest.mark.parametrize(
    "settings",
    [{"search": True, "split_aw_cands": True}, {"search": True, "eval": True}, {}],
    ids=str,
)
def test_other_searches_are_none(splits, settings):
    start()
    assert read(**settings)


def test_a_search_that_needs_no_split_is_none(published):
    published.write("util/greedy_search.py", "def search(model, cfgs): ...\n")
    start()
    assert read(search=True).search
