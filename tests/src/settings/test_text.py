"""What YAML swallows without a word, and files that have no end."""

import os

import pytest
import yaml
from click.testing import CliRunner

from seu_plugin.commands import cli
from seu_plugin.errors import ConfigError
from seu_plugin.settings.place import check_place
from seu_plugin.settings.section import parse_section
from seu_plugin.settings.text import check_text, load_yaml, place_of, sources

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
)


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "c.yaml"
        path.write_text(text)
        return path

    return write


def line(error):
    text = str(error.value)
    assert "\n" not in text and len(text) <= 400
    return text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "fault_injection:\n  ber: 1e-6\n  seed: 1\n  ber: 1e-2\n",
            r"fault_injection\.ber stands twice, in line 2 and in line 4",
        ),
        (
            "fault_injection:\n  campaign:\n    trials: 5\n    trials: 6\n",
            r"fault_injection\.campaign\.trials stands twice, in line 3 and in line 4",
        ),
        (
            "fault_injection: {ber: 1e-6}\na: 1\nfault_injection: {ber: 1e-2}\n",
            "fault_injection stands twice, in line 1 and in line 3",
        ),
        ("fault_injection: {layers: [{a: 1, a: 2}]}", r"layers\[0\]\.a stands twice"),
        ("fault_injection:\n  ber: 0x1\n", r"line 2: fault_injection\.ber: .* received '0x1'"),
        ("fault_injection: {seed: 017}", r"seed: must be a decimal number; received '017'"),
        ("fault_injection: {seed: 0b11}", "received '0b11', which YAML reads as 3"),
        (
            "fault_injection: {campaign: {trials: 1:30}}",
            r"campaign\.trials: .* received '1:30', which YAML reads as 90",
        ),
        (
            "fault_injection: {campaign: {ber: [1_0.0]}}",
            r"campaign\.ber\[0\]: .* received '1_0\.0'",
        ),
    ],
)
def test_what_yaml_swallows_is_named_with_its_lines(file, text, message):
    for check in (check_text, load_yaml):
        with pytest.raises(ConfigError, match=message) as error:
            check(file(text))
        line(error)


@pytest.mark.parametrize(
    "text",
    [
        "fault_injection: {ber: 1e-6, seed: 0, trial: 007e0}",
        "fault_injection: {ber: .5, campaign: {ber: [1.5e-3, 1, 0.25]}}",
        "other: {a: 1, a: 2, b: 0x1}\nfault_injection: {ber: 0}",
        "x: &x {seed: 3}\nfault_injection: {<<: *x, ber: .1}",
        "no: section\nno: 2",
        "not: [yaml",
    ],
)
def test_what_is_right_or_not_ours_passes(file, text):
    check_text(file(text))


def test_an_alias_bomb_costs_nothing(file):
    for key in ("bits", "layers", "ber", "mbu", "targets"):
        path = file(f"{BOMB}\nfault_injection: {{{key}: *a9}}")
        section = load_yaml(path)["fault_injection"]
        with pytest.raises(ConfigError) as error:
            parse_section({"ber": 0.1, **section})
        assert all(len(part) <= 400 for part in str(error.value).split("\n"))
        assert len(str(error.value).split("\n")) <= 11


def test_files_without_an_end_or_a_bottom_are_refused(file, tmp_path):
    endless = tmp_path / "zero.yaml"
    endless.symlink_to("/dev/zero")
    deep = file("fault_injection: " + "[" * 50_000)
    for path in (endless, deep, tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError) as error:
            load_yaml(path)
        line(error)
    check_text(endless)  # somebody else's


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trials", 99999999999999999999999),
        ("trials", int("9" * 4000)),
        ("workers", 10**21),
        ("threads", 10**9),
        ("until", {"margin": 0.1, "max_trials": 10**12}),
        ("sensitivity", {"trials": 10**12}),
        ("sensitivity", {"upsets": 10**12}),
        ("output", "a\0b"),
        ("worker_timeout", "soon"),
    ],
)
def test_numbers_that_no_machine_could_serve_are_refused(key, value):
    with pytest.raises(ConfigError, match=f"campaign\\.{key}") as error:
        parse_section({"campaign": {key: value}})
    line(error)


def test_the_section_inside_another_is_an_error():
    for settings, place in (
        ({"quan": {"fault_injection": {"ber": 0.1}}}, "quan"),
        ({"a": {"b": {"fault_injection": None}}}, r"a\.b"),
        ({"fault_injection": {}, "eval": {"fault_injection": {}}}, "eval"),
    ):
        with pytest.raises(ConfigError, match=rf"^{place}\.fault_injection: must stand at the top"):
            check_place(settings)
    check_place({"quan": {"bits": [1]}, "fault_injection": {"ber": 0.1}})


def test_the_files_of_a_command_are_those_that_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "b.yml", "c.txt"):
        (tmp_path / name).write_text("")
    found = sources(["main.py", "a.yaml", "b.yml", "c.txt", "none.yaml", "--x"])
    assert [path.name for path in found] == ["a.yaml", "b.yml"]


def test_home_is_home():
    section = parse_section({"campaign": {"output": "~/res"}})
    assert str(section.campaign.folder) == os.path.expanduser("~/res")  # noqa: PTH111
    assert yaml.safe_load("a: ~") == {"a": None}


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ("{1: 0.9, 0x2: 0.1}", r"key of fault_injection\.mbu\.sizes: .* received '0x2'"),
        ("{1: 0.5, 2: 0.3, +1: 0.2}", r"sizes\.\+1 stands twice"),
        ("{1: 0.5, 02: 0.5}", "received '02'"),
    ],
)
def test_keys_that_are_numbers_are_looked_at_too(file, sizes, message):
    with pytest.raises(ConfigError, match=message):
        load_yaml(file(f"fault_injection: {{mode: mbu, ber: 0.1, mbu: {{sizes: {sizes}}}}}"))


def test_aliases_are_searched_once():
    values = ["x"]
    for _ in range(30):
        values = [values] * 1000
    check_place({"a": values, "b": {"c": values}})
    with pytest.raises(ConfigError, match=r"^quan\[0\]\.fault_injection: must stand at the top"):
        check_place({"quan": [{"fault_injection": {}}]})


@pytest.mark.parametrize(
    "text", ['seed: !!int ""', 'enabled: !!bool "x"', 'ber: !!timestamp "x"', "a: &a {b: *a}"]
)
def test_tags_and_aliases_that_cannot_be_are_one_line(file, text):
    result = CliRunner().invoke(cli, ["check", str(file(text)), str(file(text))])
    assert isinstance(result.exception, ConfigError)
    line(type("error", (), {"value": result.exception}))


@pytest.mark.parametrize(
    "text",
    [
        'fault_injection: {"a\\nb": 1}',
        'fault_injection: {"a\\nb": 1, "a\\nb": 2}',
        '"a\\nb": {fault_injection: {}}',
        '"fault_injectio\\nn": {}',
        'fault_injection: {mode: fault_list, faults: "a\\nb.csv"}',
        "fault_injection: {mode: fault_list, faults: {a: 1}}",
    ],
)
def test_a_line_stays_one_whatever_it_names(file, text):
    result = CliRunner().invoke(cli, ["check", str(file(text))])
    assert isinstance(result.exception, ConfigError)
    line(type("error", (), {"value": result.exception}))


def test_a_byte_order_mark_is_no_part_of_a_file(file, tmp_path):
    path = file("fault_injection: {ber: 0.1}")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_yaml(path) == {"fault_injection": {"ber": 0.1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: 1\nb: [\n",
            r", line 3: is not YAML \(expected the node content, but found",
        ),
        ("a: 1\n b: 2\n", r", line 2: is not YAML \(mapping values are not allowed here\)"),
        ('a: "x\n', ", line 2: is not YAML"),
        ("a: 1\nb: \x07\n", ", line 2: is not YAML"),
        ("a: 2026-99-99\n", r": is not YAML \("),
    ],
)
def test_what_is_no_yaml_is_told_by_its_line(file, text, message):
    with pytest.raises(ConfigError, match=r"c\.yaml" + message) as error:
        load_yaml(file(text))
    assert "unicode string" not in line(error) and "^" not in line(error)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("a: 1\nfault_injection:\n  seed: 1\n  bre: 1e-6\n", 4),
        ("a: 1\nfault_injection:\n  seed: 1\n", 2),  # ber is missing
        ("fault_injection:\n  ber: 0\n  layers:\n    exclude: [a]\n    includ: b\n", 5),
        ("fault_injection:\n  ber: 0\n  protection:\n  - {scheme: tmr}\n  - scheme: tmx\n", 5),
        ("a: 1\nfault_injection:\n", 2),
        ("fault_injection:\n- ber: 1\n", 1),
        ("x: &x\n  seed: -1\nfault_injection:\n  ber: 0\n  <<: *x\n", 3),  # above it
    ],
)
def test_a_mistake_is_told_by_its_line(file, text, number):
    path = file(text)
    result = CliRunner().invoke(cli, ["check", str(path)])
    told = str(result.exception)
    assert told.startswith(f"{path}, line {number}: fault_injection") and "\n" not in told


def test_of_several_files_the_one_that_decides_is_named(tmp_path):
    one, two = tmp_path / "1.yaml", tmp_path / "2.yaml"
    one.write_text("fault_injection:\n  seed: -1\n  ber: 1\n")
    two.write_text("a: 1\nfault_injection:\n  ber: 2\n")
    told = str(CliRunner().invoke(cli, ["check", str(one), str(two)]).exception).split("\n")
    assert [text.partition(": ")[0] for text in told] == [f"{two}, line 3", f"{one}, line 2"]
    assert place_of([one, two], ["ber"]) == f"{two}, line 3: "
    assert place_of([one, two], ["seed"]) == f"{one}, line 2: "
    assert place_of([one, two], []) == f"{two}, line 2: "
    assert place_of([tmp_path / "none.yaml"], ["ber"]) == ""
