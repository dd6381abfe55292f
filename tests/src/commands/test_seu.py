"""The seu command."""

import errno
import json
import os
import re
import sys
from pathlib import Path

import jsonschema
import pytest
import torch
import yaml
from click.testing import CliRunner

import toy
from seu_plugin import Campaign, __version__
from seu_plugin.commands import cli, main
from seu_plugin.settings.section import FaultInjectionSection

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "examples" / "configs").glob("*.yaml")) + sorted(
    (ROOT / "examples" / "demo_host" / "configs").glob("eval_digits_*.yaml")
)


@pytest.fixture
def config(tmp_path):
    def _config(text, name="c.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return _config


def run(monkeypatch, capsys, *arguments):
    """Exit code, standard output and standard error of ``seu ARGUMENTS``."""
    monkeypatch.setattr("sys.argv", ["seu", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_check_tells_what_will_happen(config):
    path = config("fault_injection: {ber: 1e-3, enable_in_training: true}")
    result = CliRunner().invoke(cli, ["check", path])
    assert result.output == "fault_injection: ok; BER 0.001 in train and validate\n"


def test_check_of_a_section_that_is_off(config):
    result = CliRunner().invoke(cli, ["check", config("fault_injection: {enabled: false}")])
    assert "not enabled" in result.output


def test_check_reads_the_bit_width_file(config, tmp_path):
    widths = {"configurations": [{"weight_bits": [4, 3], "act_bits": [4, 4]}]}
    (tmp_path / "w.json").write_text(json.dumps(widths))
    path = config(f"fault_injection: {{ber: 0, bit_width_config: {{path: {tmp_path / 'w.json'}}}}}")
    assert "2 layers" in CliRunner().invoke(cli, ["check", path]).output


def test_later_files_win(config):
    one = config("fault_injection: {ber: 2}")
    two = config("fault_injection: {ber: 0.5}", "d.yaml")
    assert "BER 0.5" in CliRunner().invoke(cli, ["check", one, two]).output


@pytest.mark.parametrize(
    "text,message",
    [
        ("fault_injection: {bre: 1}", "fault_injection.bre: unknown key; received 1; did you mean"),
        ("fault_injectoin: {ber: 1}", "fault_injectoin: unknown section; did you mean"),
        ("a: [", "is not YAML"),
        ("[]", "must be a mapping"),
        ("fault_injection: {ber: 0, bit_width_config: {path: no.json}}", "no.json: cannot read"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(monkeypatch, capsys, config, text, message):
    code, out, err = run(monkeypatch, capsys, "check", config(text))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("error: ") and message in err


@pytest.mark.parametrize("name", ["check", "rate", "schema", "compare", "report"])
def test_the_list_of_commands_is_not_cut_short(name):
    told = CliRunner().invoke(cli, ["--help"]).output
    assert name in told and "..." not in told.partition("Commands:")[2]


def test_a_missing_list_of_faults_names_the_places_that_were_tried(config, tmp_path, monkeypatch):
    (tmp_path / "host").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = config("fault_injection: {faults: f.csv}")
    ended = CliRunner().invoke(cli, ["check", "--host", str(tmp_path / "host"), path])
    tried = f"tried {tmp_path / 'here' / 'f.csv'} and {tmp_path / 'host' / 'f.csv'}"
    assert str(ended.exception) == f"fault_injection.faults: f.csv: no such file; {tried}"
    alone = CliRunner().invoke(cli, ["check", path])
    assert "f.csv: cannot read (No such file" in str(alone.exception)
    assert str(Path(sys.executable).parent) not in str(alone.exception)


def test_a_missing_file_is_an_error(monkeypatch, capsys, tmp_path):
    code, _, err = run(monkeypatch, capsys, "check", str(tmp_path / "none.yaml"))
    assert code == 2 and "none.yaml: cannot read" in err


def test_schema_has_every_key_with_a_description():
    schema = json.loads(CliRunner().invoke(cli, ["schema"]).output)
    keys = schema["properties"]["fault_injection"]["properties"]
    assert set(keys) == set(FaultInjectionSection.model_fields)
    assert schema["properties"]["fault_injection"]["additionalProperties"] is False


def test_schema_references_resolve():
    text = CliRunner().invoke(cli, ["schema"]).output
    schema = json.loads(text)
    for name in ("LayerSelection", "BitWidthSource"):
        assert f"#/$defs/{name}" in text and name in schema["$defs"]


def test_version_and_help():
    assert __version__ in CliRunner().invoke(cli, ["--version"]).output
    assert "check" in CliRunner().invoke(cli, ["-h"]).output


def test_later_files_are_merged_into_earlier_ones_as_the_host_does(config, monkeypatch, capsys):
    first = config("fault_injection: {ber: 0.5, layers: {exclude: [fc]}}", "a.yaml")
    second = config("fault_injection: {layers: {include: [conv2]}}", "b.yaml")
    code, out, _ = run(monkeypatch, capsys, "check", first, second)
    assert (code, out) == (0, "fault_injection: ok; BER 0.5 in validate\n")


def test_a_file_that_is_no_text_is_one_line(tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"ber: \xff\xfe")
    code, _, err = run(monkeypatch, capsys, "check", str(path))
    assert code == 2
    assert err.startswith(f"error: {path}: is not UTF-8 text") and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "section,message",
    [
        (f"bit_width_config: {{path: {'x' * 300}}}", "cannot read the bit-width file"),
        ("device: meta", "must hold data; received 'meta'"),
    ],
)
def test_what_cannot_be_used_is_one_line(config, monkeypatch, capsys, section, message):
    path = config(f"fault_injection: {{ber: 0.1, {section}}}")
    code, _, err = run(monkeypatch, capsys, "check", path)
    assert code == 2
    assert message in err and len(err.splitlines()) == 1


@pytest.fixture
def call(monkeypatch, capsys):
    return lambda *arguments: run(monkeypatch, capsys, *map(str, arguments))


@pytest.fixture
def results(tmp_path):
    """The folder of a small campaign."""
    model = toy.net()

    def evaluate():
        with torch.no_grad():
            return float(model(toy.batch()).sigmoid().mean()) * 100.0

    folder = tmp_path / "results"
    settings = {"ber": [1e-3, 1e-2], "trials": 3, "threshold": "grid", "seed": 1}
    Campaign(model, evaluate, output=str(folder), **settings).run()
    return folder


def test_a_report_is_made_anew(call, results):
    before = (results / "summary.csv").read_text()
    for name in ("summary.csv", "report.html", "ber_curve.png"):
        (results / name).unlink()
    code, out, _ = call("report", results)
    assert code == 0 and "6 trials" in out
    assert (results / "summary.csv").read_text() == before
    assert (results / "report.html").exists() and (results / "ber_curve.png").exists()


def test_several_folders_need_a_place_for_the_report(call, results):
    code, _, err = call("report", results, results)
    assert (code, err) == (2, "error: --output: needed to merge several folders\n")


def test_a_folder_without_a_campaign_is_one_line(call, tmp_path):
    code, _, err = call("report", tmp_path)
    assert code == 2 and "is not the folder of a campaign" in err


def test_trials_are_exported(call, results, tmp_path):
    pytest.importorskip("pandas", reason="needs the extra: export")
    code, out, _ = call("export", results, "-o", tmp_path / "t.csv")
    assert code == 0 and "6 trials and the golden run" in out
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 8


def test_a_campaign_from_python_has_no_host_to_replay(call, results):
    code, _, err = call("replay", results, "0.01:2")
    assert code == 2 and "was made from Python" in err
    code, _, err = call("replay", results, "0.01:7")
    assert code == 2 and "has no trial '0.01:7'; did you mean '0.01:" in err


def outputs(results, out):
    return {
        "replay": ("replay", results, "no such trial", "--export-faults", out),
        "compare": ("compare", results, results, "--picture", out),
        "export": ("export", results, "-o", out),
    }


@pytest.mark.parametrize(
    ("command", "suffix"), [("replay", ".csv"), ("compare", ".png"), ("export", ".csv")]
)
def test_a_file_that_cannot_be_written_is_said_first(
    call, results, tmp_path, capsys, command, suffix
):
    capsys.readouterr()  # what the campaign has printed
    nowhere, folder = tmp_path / "none" / f"f{suffix}", tmp_path / f"folder{suffix}"
    folder.mkdir()
    told = {nowhere: f"there is no folder {tmp_path / 'none'}", folder: "is a folder"}
    for out, why in told.items():
        code, printed, err = call(*outputs(results, out)[command])
        assert (code, printed, len(err.splitlines())) == (2, "", 1)
        assert err.startswith(f"error: {out}: cannot write ({why}")


def test_a_folder_that_is_not_to_be_written_to_is_said_first(call, results, tmp_path, monkeypatch):
    def denied(**where):  # root writes anywhere
        assert where == {"dir": tmp_path}
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("tempfile.TemporaryFile", denied)
    out = tmp_path / "f.csv"
    code, _, err = call("replay", results, "0.01:2", "--export-faults", out)
    assert (code, err) == (2, f"error: {out}: cannot write (Permission denied)\n")


def test_a_campaign_is_checked_without_running(call, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(f"fault_injection: {{campaign: {{ber: [1e-3], output: {tmp_path / 'r'}}}}}")
    code, out, _ = call("check", path)
    assert code == 0 and "campaign of 20 trials at one BER" in out


class Yaml12(yaml.SafeLoader):
    """Reads 1e-3 as a number, as editors do."""


Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("+-0123456789")
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_schema_admits_every_example(path):
    schema = json.loads(CliRunner().invoke(cli, ["schema"]).output)
    jsonschema.validate(yaml.load(path.read_text(), Yaml12), schema)


@pytest.mark.parametrize("by", [{"ber": 2}, {"bre": 0.1}, {"campaign": {"sensitivity": {"by": 3}}}])
def test_schema_refuses_mistakes(by):
    schema = json.loads(CliRunner().invoke(cli, ["schema"]).output)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"fault_injection": by}, schema)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_checked_from_anywhere(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = ["--host", str(ROOT / "examples" / "demo_host")] if path.parent.name == "configs" else []
    done = CliRunner().invoke(cli, ["check", str(path), *host])
    assert done.exit_code == 0 and "fault_injection: ok" in done.output


def test_a_check_looks_around_the_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    demo = ROOT / "examples" / "demo_host" / "configs" / "eval_digits_seu.yaml"
    assert CliRunner().invoke(cli, ["check", str(demo)]).exit_code == 0


@pytest.mark.parametrize("arguments", [["--ber", "nan"], ["--ber", "0.1", "--max-drop", "nan"]])
def test_nan_is_in_no_range(arguments, tmp_path):
    done = CliRunner().invoke(cli, ["protect", str(tmp_path), *arguments])
    assert done.exit_code == 2 and "'nan' is not a finite number" in done.output
