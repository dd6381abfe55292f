"""The campaign part of the section."""

import pytest
import yaml

from seu_plugin.errors import ConfigError
from seu_plugin.settings.campaign import GRID, CampaignSettings
from seu_plugin.settings.section import parse_section


def campaign(text="{}", **section):
    section = {"seed": 1, **section, "campaign": yaml.safe_load(text)}
    return parse_section(section)


def test_an_empty_campaign_has_sensible_defaults():
    section = campaign()
    assert section.grid == GRID
    assert (section.campaign.trials, section.campaign.max_drop) == (20, 1.0)
    assert section.campaign.engine == "local" and section.campaign.workers is None


def test_the_ber_of_the_section_is_a_grid_of_one():
    section = campaign(ber=1e-3)
    assert section.grid == (1e-3,)


def test_a_grid_is_sorted_and_takes_what_pyyaml_reads():
    assert campaign("{ber: [1e-3, 1.0e-5, 1e-4]}").campaign.ber == (1e-5, 1e-4, 1e-3)
    assert campaign("{ber: 1e-3}").campaign.ber == (1e-3,)


@pytest.mark.parametrize("switch", ["enable_in_training", "enable_in_search"])
def test_phases_at_one_ber_need_it_named(switch):
    with pytest.raises(ConfigError, match=r"fault_injection\.ber: required key is missing"):
        campaign(**{switch: True})


@pytest.mark.parametrize(
    "text,message",
    [
        ("{trial: 3}", r"campaign\.trial: unknown key; .*did you mean 'trials'"),
        ("{reuse: 1}", r"campaign\.reuse: "),
        ("{reuse_memory: -1}", r"campaign\.reuse_memory: must be auto, a number of bytes, or one"),
        ("{reuse_memory: 2 gib}", r"campaign\.reuse_memory: must be auto, .*: 512 MiB, 2 GiB"),
        ("{reuse_memory: true}", r"campaign\.reuse_memory: must be auto"),
        ("{reuse_memory: 1.5}", r"campaign\.reuse_memory: must be auto"),
        ("{ber: []}", r"campaign\.ber: must be BERs in \(0, 1\]"),
        ("{ber: [0, 1e-3]}", r"campaign\.ber: must be BERs in \(0, 1\]; the golden run stands"),
        ("{ber: [.nan]}", r"campaign\.ber: must be BERs"),
        ("{ber: [often]}", r"campaign\.ber: must be BERs"),
        ("{ber: [1e-3, 0.001]}", r"campaign\.ber: must be distinct"),
        ("{trials: 1}", r"campaign\.trials: .*greater than or equal to 2; received 1"),
        ("{trials: true}", r"campaign\.trials: must be an integer"),
        ("{max_drop: 0}", r"campaign\.max_drop: "),
        ("{confidence: 1}", r"campaign\.confidence: "),
        ("{confidence: .nan}", r"campaign\.confidence: "),
        ("{engine: rya}", r"campaign\.engine: allowed are local, ray; .*did you mean 'ray'"),
        ("{shard: 4/4}", r"campaign\.shard: must be I/N with 0 <= I < N"),
        ("{shard: 1}", r"campaign\.shard: must be a string"),
        ("{until: {margin: 0}}", r"campaign\.until\.margin: "),
        ("{until: {}}", r"campaign\.until\.margin: required key is missing"),
        ("{until: {margin: 1, max_trials: 10}}", "max_trials .10. is less than trials .20."),
        ("{until: {margin: 1}, shard: 0/2}", "until cannot be combined with shard"),
        ("{sensitivity: {by: [layr]}}", r"did you mean 'layer'"),
        ("{sensitivity: {by: [bit, bit]}}", r"sensitivity\.by: must be layer, bit or both"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(ConfigError, match=message):
        campaign(text)


@pytest.mark.parametrize(
    "section,message",
    [
        ({"enable_in_inference": False, "enable_in_search": True, "ber": 0.1}, "campaign needs"),
        ({"bn_calibration": "both"}, "bn_calibration: both is for one faulted run"),
        ({"seed": None}, "campaign.shard needs a seed"),
    ],
)
def test_what_does_not_fit_the_section_is_named(section, message):
    with pytest.raises(ConfigError, match=message):
        campaign("{shard: 0/2}", **section)


@pytest.mark.parametrize(
    "text,expected",
    [
        ("auto", "auto"),
        ("0", 0),
        ("4096", 4096),
        ("512 MiB", 512 << 20),
        ("2GiB", 2 << 30),
        ("1.5 kB", 1500),
    ],
)
def test_memory_may_be_written_with_its_unit(text, expected):
    assert campaign(f"{{reuse_memory: {text}}}").campaign.reuse_memory == expected


def test_a_plan_survives_json():
    plan = campaign("{ber: [1e-3], until: {margin: 1}, sensitivity: {by: layer}}").campaign
    assert CampaignSettings(**plan.model_dump(mode="json")) == plan
