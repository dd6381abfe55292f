"""Whatever comes in: accepted and sensible, or a SeuError whose lines are short. Nothing else."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import toy
from seu_plugin import Campaign, FaultInjector
from seu_plugin.analysis.folders import summary_of
from seu_plugin.analysis.manifest import MANIFEST
from seu_plugin.analysis.rows import TRIALS
from seu_plugin.errors import SeuError
from seu_plugin.quantizers.bit_widths import check_bit_widths, read_bit_widths
from seu_plugin.report.files import strict_json
from seu_plugin.settings.campaign import CampaignSettings
from seu_plugin.settings.injection import InjectionSettings
from seu_plugin.settings.section import FaultInjectionSection, parse_section

DATA = Path(__file__).resolve().parents[1] / "data" / "campaigns-0.1.0"
FAST = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}

HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, 10**30, int("9" * 4000)]),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.0, 1e-320, 1e308, math.inf, -math.inf, math.nan]),
    st.text(max_size=20),
    st.sampled_from(
        ["", "1e-6", "1e999", "0x1", "a\0b", "x" * 5000, "../..", "é", "*", "[", "30 d"]
    ),
)
NESTED = st.recursive(
    HOSTILE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
#: Values that are right for some key, so that mistakes meet each other.
RIGHT = st.sampled_from(
    [
        *(1e-3, "1e-4", 0.5, 3, 20, True, False, "msb", "all", [0, 3], "0/4", "1 d", [1e-4, 1e-3]),
        *("ber", "stuck_at", "asymmetric", "mbu", "exact_count", "fault_list", "gray", "grid"),
        *("static", "per_forward", "faulty", "both"),
        {"fit_per_mbit": 500, "exposure": "30 d"},
        {"sizes": {1: 0.5, 2: 0.5}},
        {"by": ["layer"]},
        {"scheme": "tmr"},
        [{"scheme": "secded_39_32", "layers": {"include": "conv*"}}],
        ["weights", "biases"],
        ["activations"],
        [["conv1", 1, 2]],
        "f.csv",
        {"margin": 1.0},
        {"duration": "60 d", "scrub_interval": "4 d"},
        {"shape": "log", "start": 1e-3, "end": 1e-2},
        {"include": ["conv*"], "exclude": "fc"},
        {"path": "x.json", "index": 0},
    ]
)
VALUES = st.one_of(RIGHT, NESTED)


def keys(model):
    names = st.sampled_from(sorted(model.model_fields))
    return st.one_of(
        names, names, names, names.map(lambda name: name[:-1] + "x"), st.text(max_size=6)
    )


CAMPAIGN = st.dictionaries(keys(CampaignSettings), VALUES, max_size=4)
SECTION = st.dictionaries(keys(FaultInjectionSection), VALUES, max_size=5)


def short_lines(run):
    """What ``run`` gives, or None if it is refused as it should be."""
    try:
        return run()
    except SeuError as error:
        lines = str(error).split("\n")
        assert len(lines) <= 11 and all(0 < len(line) <= 400 for line in lines), str(error)[:500]
        return None


@pytest.mark.slow
@settings(max_examples=2000, **FAST)
@given(SECTION, st.one_of(st.none(), CAMPAIGN, NESTED))
def test_sections(section, campaign):
    if campaign is not None:
        section = {**section, "campaign": campaign}
    parsed = short_lines(lambda: parse_section(section))
    if parsed is not None and parsed.enabled:
        assert 0.0 <= parsed.ber <= 1.0
        assert all(0.0 < ber <= 1.0 for ber in parsed.grid)
        assert parsed.amount
        if parsed.campaign is not None:
            assert 2 <= parsed.campaign.trials <= 10**6


@settings(max_examples=300, **FAST)
@given(NESTED)
def test_what_is_no_section(raw):
    short_lines(lambda: parse_section(raw))


@settings(max_examples=500, **FAST)
@given(data=st.data())
def test_bit_width_files(tmp_path, data):
    widths = st.lists(st.one_of(st.integers(0, 9), HOSTILE), max_size=3)
    configuration = st.one_of(
        st.fixed_dictionaries({"weight_bits": widths, "act_bits": widths}),
        st.dictionaries(st.sampled_from(["weight_bits", "act_bits", "bits"]), VALUES, max_size=3),
        NESTED,
    )
    document = data.draw(
        st.one_of(
            st.fixed_dictionaries({"configurations": st.lists(configuration, max_size=2)}),
            st.dictionaries(st.sampled_from(["configurations", "configuration"]), NESTED),
            NESTED,
        )
    )
    path = tmp_path / "w.json"
    text = json.dumps(document).encode()
    cut = data.draw(st.integers(0, len(text)))
    path.write_bytes(data.draw(st.sampled_from([text, text, text[:cut], text[:cut] + b"\xff\0"])))
    index = data.draw(st.one_of(st.just(0), st.integers(-2, 3), HOSTILE))
    found = short_lines(lambda: read_bit_widths(path, index))
    if found is not None:
        assert len(found.weights) == len(found.activations) > 0
        assert all(isinstance(width, int) and width > 0 for width in found.weights)
        short_lines(lambda: check_bit_widths(toy.net(), found))


@settings(max_examples=500, **FAST)
@given(data=st.data())
def test_damaged_folders(tmp_path, data):
    folder = tmp_path / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DATA / data.draw(st.sampled_from(["plain", "protected"])), folder)
    name = data.draw(st.sampled_from([MANIFEST, TRIALS]))
    path = folder / name
    lines = path.read_bytes().split(b"\n") if name == TRIALS else [path.read_bytes()]
    position = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["field", "without", "bytes", "cut", "twice", "gone"]))
    if how in ("field", "without") and lines[position]:
        document = json.loads(lines[position])
        place = document
        while True:
            key = data.draw(st.sampled_from(sorted(place)))
            deeper = isinstance(place[key], dict) and place[key] and data.draw(st.booleans())
            if not deeper:
                break
            place = place[key]
        if how == "without":
            del place[key]
        else:
            place[key] = data.draw(VALUES)
        lines[position] = json.dumps(document).encode()
    elif how == "bytes":
        lines[position] = data.draw(st.binary(max_size=30))
    elif how == "cut":
        lines[position] = lines[position][: data.draw(st.integers(0, len(lines[position])))]
    elif how == "twice":
        lines.insert(position, lines[position])
    path.write_bytes(b"\n".join(lines))
    if how == "gone":
        path.unlink()
    summary = short_lines(lambda: summary_of([folder]))
    if summary is not None:
        assert json.loads(strict_json(summary.document()))["golden"]


ARGUMENTS = sorted({*InjectionSettings.model_fields, "exposure_draw", "brr"})


@pytest.mark.slow
@settings(max_examples=500, **FAST)
@given(st.dictionaries(st.sampled_from(ARGUMENTS), VALUES, max_size=5))
def test_arguments_of_an_injector(arguments):
    model = toy.net()
    before = model(toy.batch())

    def run():
        with FaultInjector(model, **arguments) as injector:
            model(toy.batch())
        return injector.statistics()

    found = short_lines(run)
    assert (model(toy.batch()) == before).all()
    if found is not None:
        assert all(0 <= site.upsets <= site.bits + site.check_bits for site in found.values())


@settings(max_examples=100, **FAST)
@given(st.one_of(st.none(), st.just(toy.net), NESTED), NESTED, CAMPAIGN)
def test_arguments_of_a_campaign(model, evaluate, arguments):
    model = model() if model is toy.net else model
    short_lines(lambda: Campaign(model, evaluate, **{str(k): v for k, v in arguments.items()}))


NONE = [math.nan, -5.0, 12345.0, math.inf, "50", [], [90.0, math.nan], True, 10**400]


@pytest.mark.parametrize("value", NONE, ids=lambda value: repr(value)[:20])
def test_what_an_evaluation_gives(value, tmp_path):
    model = toy.net()

    def evaluate():
        model(toy.batch())
        return value

    run = Campaign(model, evaluate, ber=0.1, trials=2, output=str(tmp_path)).run
    assert short_lines(run) is None


def test_a_trial_that_gives_something_else_ends_the_campaign_with_its_name(tmp_path):
    for value in ([90.0, 80.0], math.nan, 101.0):
        model, values = toy.net(), [95.0, 95.0, 94.0, value]

        def evaluate(model=model, values=values):
            model(toy.batch())
            return values.pop(0)

        campaign = Campaign(model, evaluate, ber=0.1, trials=3, output=str(tmp_path / str(value)))
        with pytest.raises(SeuError, match=r"trial 0\.1:1 gave"):
            campaign.run()


def test_what_is_not_even_a_number_is_shown_in_a_line(tmp_path):
    for value in (np.zeros((30, 3)), torch.zeros(2, device="meta"), object()):
        model = toy.net()

        def evaluate(model=model, value=value):
            model(toy.batch())
            return value

        run = Campaign(model, evaluate, ber=0.1, trials=2, output=str(tmp_path)).run
        assert short_lines(run) is None
    with pytest.raises(SeuError, match="received a OrderedDict"):
        Campaign(toy.net(), toy.net().state_dict(), ber=0.1)
