"""The section: what it accepts, and what it says to mistakes."""

import numpy as np
import pytest
import yaml

from seu_plugin.errors import LONGEST_LINE, ConfigError
from seu_plugin.faults.counted import garwood
from seu_plugin.faults.itinerary import Itinerary
from seu_plugin.settings.section import MOST_LINES, parse_section

DAY = 86400.0


def section(text):
    return parse_section(yaml.safe_load(text))


def test_every_documented_key_is_accepted():
    parsed = section(
        """
        enabled: true
        mode: ber
        ber: 1e-6
        seed: 42
        device: null
        enable_in_training: false
        enable_in_inference: true
        bit_width_config: {path: search/x.json, index: 0}
        layers: {include: ["*"], exclude: [conv1]}
        bits: all
        encoding: twos_complement
        persistence: auto
        bn_calibration: clean
        """
    )
    assert (parsed.ber, parsed.seed, parsed.layers.exclude) == (1e-6, 42, ("conv1",))


@pytest.mark.parametrize("text", ["1e-6", "1E-6", "1.0e-6", "0.000001", "'1e-6'"])
def test_every_way_to_write_a_ber(text):
    assert section(f"ber: {text}").ber == 1e-6


@pytest.mark.parametrize("text,value", [("0", 0.0), ("1", 1.0), ("1e-12", 1e-12)])
def test_range_of_ber(text, value):
    assert section(f"ber: {text}").ber == value


@pytest.mark.parametrize("text", ["msb", "lsb", "all", "[0, 3]"])
def test_bits(text):
    assert section(f"{{ber: 0, bits: {text}}}").bits in ("msb", "lsb", "all", (0, 3))


def test_one_pattern_may_stand_alone():
    assert section("{ber: 0, layers: {include: conv*}}").layers.include == ("conv*",)


@pytest.mark.parametrize(
    "text,message",
    [
        ("ber: 2", r"fault_injection.ber: must be a number in \[0, 1\]; received 2"),
        ("ber: -1e-9", r"fault_injection.ber: must be a number in \[0, 1\]"),
        ("ber: .nan", r"fault_injection.ber: must be a number in \[0, 1\]"),
        ("ber: true", "fault_injection.ber: must be a number"),
        ("ber: often", "fault_injection.ber: must be a number.*received 'often'"),
        ("seed: 1", "fault_injection.ber: required key is missing"),
        ("bers: 1e-3", "fault_injection.bers: unknown key; received '1e-3'; did you mean 'ber'"),
        ("{ber: 0, layers: {exclud: [a]}}", "layers.exclud: unknown key.*'exclude'"),
        ("{ber: 0, seed: -1}", "fault_injection.seed"),
        ("{ber: 0, seed: 1.5}", "seed: must be an integer; received 1.5"),
        ("{ber: 0, enabled: maybe}", "enabled: must be true or false; received 'maybe'"),
        ("{ber: 0, mode: stuck}", "mode: allowed are ber, stuck_at, .*; received 'stuck'"),
        ("{ber: 0, encoding: twos_complment}", "did you mean 'twos_complement'"),
        ("{ber: 0, bits: mbs}", "did you mean 'msb'"),
        ("{ber: 0, bits: [32]}", "bits: must be all"),
        ("{ber: 0, bits: [1, 1]}", "bits: must be all"),
        ("{ber: 0, bits: []}", "bits: must be all"),
        ("{ber: 0, persistence: once}", "persistence: allowed are auto, static, per_forward"),
        ("{ber: 0, bit_width_config: x.json}", "bit_width_config: must be a mapping"),
        ("{ber: 0, bit_width_config: {index: 0}}", "bit_width_config.path: required key"),
        ("{ber: 0, enable_in_inference: false}", "enable_in_search are all false"),
        ("[1, 2]", "must be a mapping of settings"),
        ("null", "must be a mapping of settings; received nothing: write its keys below it"),
        ("[ber: 1]", "for example ber: 1e-6, or enabled: false"),
        ("faults: []", "faults: the list has no fault"),
        ("{faults: f.csv, persistence: per_forward}", "persistence: of mode fault_list is static"),
        ("{faults: f.csv, bits: [1]}", r"bits: mode fault_list upsets .* received \(1,\): remove"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(ConfigError, match=message):
        section(text)


def test_a_list_of_faults_needs_no_mode():
    parsed = section("faults: [{site: fc, word: 1, bit: 0}]")
    assert (parsed.mode, parsed.ber, parsed.amount) == ("fault_list", 0.0, "1 listed upset")
    assert section("{faults: f.csv}").mode == "fault_list"


@pytest.mark.parametrize("more", ["upsets: 3", "faults: f.csv", "seed: 1"])
def test_a_mode_that_is_none_is_one_line(more):
    with pytest.raises(ConfigError) as caught:
        section(f"{{mode: exact_cout, {more}}}")
    assert len(str(caught.value).splitlines()) == 1
    assert "mode: allowed are" in str(caught.value)


def test_a_number_of_upsets_is_in_words():
    assert section("{mode: exact_count, upsets: 1}").amount == "1 upset"
    assert section("{mode: exact_count, upsets: 2000}").amount == "2,000 upsets"


def test_misspelled_key_is_one_line():
    with pytest.raises(ConfigError) as caught:
        section("bers: 1e-3")
    assert len(str(caught.value).splitlines()) == 1


def test_section_that_is_off_need_not_be_complete():
    assert section("enabled: false").enabled is False


def test_section_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        section("ber: 0").ber = 1.0


def test_a_ber_that_float64_reads_as_zero_is_an_error():
    with pytest.raises(ConfigError, match="too small for a float64"):
        parse_section({"ber": "1e-400"})
    assert parse_section({"ber": "0e-400"}).ber == 0.0


def test_no_pattern_at_all_is_an_error():
    with pytest.raises(ConfigError, match=r"layers\.include: must not be empty"):
        parse_section({"ber": 0.1, "layers": {"include": []}})


def test_a_section_that_is_off_may_have_all_switches_off():
    off = {"enabled": False, "enable_in_training": False, "enable_in_inference": False}
    assert not parse_section(off).enabled


def test_a_search_alone_may_be_exposed():
    alone = {"ber": 0.1, "enable_in_inference": False, "enable_in_search": True}
    assert parse_section(alone).enable_in_search


@pytest.mark.parametrize("bits", [range(2), np.array([1, 0]).tolist(), [np.int64(0), np.int32(1)]])
def test_positions_of_other_kinds_of_integers(bits):
    assert parse_section({"ber": 0.1, "bits": bits}).bits == (0, 1)


@pytest.mark.parametrize(
    "section,hint",
    [({"ber": 0.1, "encoding": "twos"}, "'twos_complement'"), ({"BER": 0.1}, "'ber'")],
)
def test_abbreviations_and_capitals_find_their_name(section, hint):
    with pytest.raises(ConfigError, match=f"did you mean {hint}"):
        parse_section(section)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{mode: stuck_at, stuck_at: 2, ber: 0.1}",
            "stuck_at: allowed are 0, 1, random; received 2",
        ),
        ("{rate: {fit_per_mbit: 500}}", "rate.exposure: required"),
        ("{rate: {fit_per_mbit: 500, exposure: 30}}", "a time with its unit"),
        ("{rate: {fit: 500, exposure: 30 d}}", "did you mean 'fit_per_mbit'"),
        ("{rate: {fit_per_mbit: 5, exposure: 3 d}, ber: 0.1}", "rate and ber exclude each other"),
        ("{ber: 0.1, protection: {scheme: tmr, layer: fc}}", "did you mean 'layers'"),
        ("{ber: 0.1, mode: stuck_at, stuck_at: true}", "stuck_at: allowed are 0, 1, random; rec"),
        (
            "{ber: 0.1, mode: asymmetric, asymmetric: {zero_to_one: 0, one_to_zero: 0}}",
            "asymmetric: zero_to_one and one_to_zero are both 0",
        ),
        ("{ber: 0.1, targets: [bias]}", "targets.0: allowed are .* did you mean 'biases'"),
        ("{ber: 0.1, ber_by_epoch: {shape: constant, start: 0.1}}", "needs enable_in_training"),
        ("{campaign: {mission: {duration: 1 d}}}", "needs rate, or environments .*neither"),
        (
            "{rate: {upsets_per_bit_day: 1.0e-3}, campaign: {mission: {duration: 1 d, "
            "environments: [{name: a, share: 1, rate: {upsets_per_bit_day: 1.0e-3}}]}}}",
            "needs rate, or environments with a rate each; received both",
        ),
        (
            "{campaign: {mission: {duration: 1 d, "
            "environments: [{name: a, share: 0.5, rate: {upsets_per_bit_day: 1.0e-3}}]}}}",
            "campaign.mission: environments: shares must add up to 1; the sum is 0.5",
        ),
        (
            "{campaign: {mission: {duration: 1 d, environments: [{name: a, share: 1, rate: "
            "{upsets_per_bit_day: 1.0e-3, exposure: 1 d}}]}}}",
            "environments.0: rate.exposure: a mission says for how long",
        ),
        (
            "{rate: {upsets_per_bit_day: 1.0e-3}, campaign: {mission: {duration: 1 d, "
            "scrubbing: sweeping}}}",
            "scrubbing: sweeping needs scrub_interval",
        ),
        (
            "{rate: {upsets_per_bit_day: 1.0e-3}, campaign: {mission: {duration: 1 d, "
            "scrubbing: all_at_one}}}",
            "mission.scrubbing: allowed are all_at_once, sweeping; .* did you mean 'all_at_once'",
        ),
        (
            "{rate: {upsets_per_bit_day: 1.0e-3}, campaign: {mission: {duration: 1 d, "
            "correct_on_read: 1 s}}}",
            "correct_on_read needs protection with a code that corrects",
        ),
        (
            "{rate: {upsets_per_bit_day: 1.0e-3}, protection: {scheme: tmr}, campaign: {mission: "
            "{duration: 1 d, correct_on_read: 2 d}}}",
            r"correct_on_read \(2 d\) is longer than upsets add up \(1 d\)",
        ),
        (
            "{rate: {upsets_per_bit_day: 1.0e-3}, mode: asymmetric, protection: {scheme: tmr}, "
            "campaign: {mission: {duration: 1 d, correct_on_read: 2 s}}}",
            "correct_on_read: is for mode ber; the mode is asymmetric",
        ),
        (
            "{rate: {upsets_per_bit_day: 1.0e-3}, campaign: {max_drop: null, mission: "
            "{duration: 1 d, requirement: {availability: 0.9}}}}",
            "mission.requirement needs max_drop",
        ),
        (
            "{rate: {upsets_per_bit_day: 1.0e-3}, campaign: {mission: "
            "{duration: 1 d, requirement: {availability: 99}}}}",
            "requirement.availability: .*less than 1",
        ),
        ("{mode: exact_count, campaign: {ber: 0.1}}", "mode exact_count has a number of upsets"),
        ("{mode: exact_count, campaign: {sensitivity: {}}}", "drop per upset of the whole memory"),
        (
            "{mode: asymmetric, asymmetric: {zero_to_one: 5}, campaign: {ber: [0.1, 0.3]}}",
            "ber 0.3 times 5 is more than 1",
        ),
        (
            "{rate: {upsets_per_bit_day: 1.0}, campaign: {mission: {duration: 30 d, points: 4}}}",
            "the BER before a scrub must be above 0 and below 0.5; with this rate it is 0.5",
        ),
        (
            "{rate: {upsets_per_bit_day: 1.0e-300}, campaign: {mission: {duration: 1.0e-30 s}}}",
            "must be above 0 and below 0.5; with this rate it is 0",
        ),
        (
            "{enable_in_training: true, rate: {upsets_per_bit_day: 1.0e-6}, "
            "campaign: {mission: {duration: 3 d}}}",
            "rate.exposure: required for training and search",
        ),
        (
            "{enable_in_search: true, rate: {upsets_per_bit_day: 1.0e-6}, "
            "campaign: {mission: {duration: 3 d}}}",
            "rate.exposure: required for training and search",
        ),
        (
            "{enable_in_training: true, enable_in_search: true, enable_in_inference: false, "
            "ber_by_epoch: {shape: constant, start: 1.0e-3}}",
            "ber: required key is missing",
        ),
        ("{targets: biases, campaign: {ber: 0.1, sensitivity: {}}}", "which targets leaves out"),
        ("{mode: exact_count, persistence: per_forward, campaign: {}}", "has static maps"),
        (
            "{mode: stuck_at, rate: {upsets_per_bit_day: 1.0e-3}, campaign: {mission: "
            "{duration: 3 d}}}",
            "a scrub does not mend",
        ),
        (
            "{persistence: per_forward, rate: {upsets_per_bit_day: 1.0e-3}, campaign: {mission: "
            "{duration: 3 d}}}",
            "persistence is per_forward",
        ),
        (
            "{targets: [weights, activations], rate: {upsets_per_bit_day: 1.0e-3}, campaign: "
            "{mission: {duration: 3 d}}}",
            "follows the memory of weights; targets are weights, activations",
        ),
        (
            "{mode: mbu, mbu: {sizes: {4: 1}}, rate: {upsets_per_bit_day: 9, exposure: 9 d}}",
            "rate: makes a BER of 2, which must be above 0 and at most 1",
        ),
        ("{rate: {fit_per_mbit: 1.0e-320, exposure: 1 s}}", "makes a BER of 0, which must be"),
        ("{rate: {fit_per_mbit: .inf, exposure: 1 s}}", "rate.fit_per_mbit: .*finite"),
        (
            "{rate: {upsets: 0, device_hours: 1.0e+5, bits: 1.0e+6, exposure: 1 d}}",
            "rate.upsets: 0 were counted, .* at most 8.853e-10 upsets of a bit a day: that as "
            "upsets_per_bit_day is the worst case",
        ),
        (
            "{rate: {events: 3, device_hours: 5, bits: 8, exposure: 1 d}}",
            "rate.events: is of mode mbu, .* of mode ber, count upsets",
        ),
        (
            "{mode: mbu, mbu: {sizes: {2: 1}}, rate: {upsets: 3, device_hours: 5, bits: 8}}",
            "rate.upsets: of mode mbu, .* count the particles, as events",
        ),
        ("{campaign: {ray: {cpus: true}}}", "ray.cpus: must be a number; received True"),
        (
            "{enable_in_training: true, enable_in_inference: false, ber_by_epoch: "
            "{shape: constant, start: 0.1, first_epoch: 3}}",
            "shape constant has no use for first_epoch",
        ),
        ("{ber: 0.1, layers: conv1}", "layers: must be a .*'conv1'; its keys are include, exclude"),
        ("{enabled: true}", r"ber: required key is missing \(or rate, or a campaign"),
        ("{ber: %s}" % 10**400, "is too large for a float64"),
        ("{campaign: {sensitivity: {upsets: 3, ber: 0.1}}}", "upsets and ber exclude each other"),
        ("{ber: 0.1, memory: {row_words: 10, interleaving: 4}}", "must divide row_words"),
    ],
)
def test_mistakes_of_memory_and_mission_are_named(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_section(yaml.safe_load(text))


def test_training_by_schedule_and_a_campaign_need_no_ber():
    section = parse_section(
        {
            "enable_in_training": True,
            "ber_by_epoch": {"shape": "constant", "start": 1e-3},
            "campaign": {"ber": [0.1]},
        }
    )
    assert (section.ber, section.grid) == (0.0, (0.1,))


def test_a_mission_makes_the_grid():
    rate = {"upsets_per_bit_day": 1e-3}
    mission = {"duration": "10 d", "scrub_interval": "2 d", "points": 2}
    section = parse_section({"rate": rate, "campaign": {"mission": mission}})
    assert section.grid == pytest.approx([2e-3], rel=3e-3)
    assert section.itinerary == Itinerary(
        10 * DAY, 2 * DAY, 2, {"": ((0.0, pytest.approx(1e-3 / DAY)),)}
    )


def test_a_mission_may_have_a_grid_of_its_own():
    asked = {"mission": {"duration": "10 d"}, "ber": [1e-5]}
    section = parse_section({"rate": {"upsets_per_bit_day": 1e-3}, "campaign": asked})
    assert section.grid == (1e-5,)


def test_environments_follow_each_other_with_their_rates():
    several = [
        {"name": "quiet", "share": 0.9, "rate": {"upsets_per_bit_day": 1e-6}},
        {
            "name": "storm",
            "share": 0.1,
            "rate": {"upsets": 4, "device_hours": 24.0, "bits": 1e6},
        },
    ]
    mission = {"duration": "10 d", "scrub_interval": "1 d", "environments": several}
    section = parse_section({"campaign": {"mission": mission}})
    found = section.itinerary
    assert found.rates[""] == (
        (0.0, pytest.approx(1e-6 / DAY)),
        (pytest.approx(9 * DAY), pytest.approx(4e-6 / DAY)),
    )
    low, high = garwood(4, 0.975)
    assert found.rates["low"][0] == found.rates[""][0]
    assert found.rates["low"][1] == (9 * DAY, pytest.approx(low * 1e-6 / DAY))
    assert found.rates["high"][1][1] == pytest.approx(high * 1e-6 / DAY)
    assert len(section.grid) == 4  # before a scrub: of the quiet rate, and of three of the storm's


def test_a_counted_rate_makes_a_grid_of_its_interval():
    rate = {"upsets": 12, "device_hours": 1e5, "bits": 1e6, "exposure": "30 d"}
    section = parse_section({"rate": rate, "campaign": {"confidence": 0.9}})
    assert section.upset_rate is not None
    assert section.grid == section.upset_rate.bers(30 * 86400.0, 0.9)
    assert section.grid[1] == section.ber == pytest.approx(12 * 720 / 1e11)
    assert section.about == {"rate": rate}


def test_a_grid_of_its_own_goes_before_that_of_the_rate():
    rate = {"upsets": 12, "device_hours": 1e5, "bits": 1e6, "exposure": "30 d"}
    section = parse_section({"rate": rate, "campaign": {"ber": [0.1]}})
    assert section.grid == (0.1,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ber: 0, bre: 1}", "fault_injection.bre: unknown key; received 1; did you mean 'ber'?"),
        (
            "{faults: [{site: fc, word: -1, bit: 0}]}",
            "fault_injection.faults: [0]: word must be an integer in 0 ... 4294967295; received -1",
        ),
        (
            "{ber: 0, seed: -1}",
            "fault_injection.seed: must be greater than or equal to 0; received -1",
        ),
        ("{ber: 0, campaign: {output: ''}}", "fault_injection.campaign.output: must not be empty"),
    ],
)
def test_a_line_says_each_thing_once_and_in_our_words(text, expected):
    with pytest.raises(ConfigError) as caught:
        section(text)
    assert str(caught.value).partition("; received ''")[0] == expected


def test_where_no_name_is_near_all_are_listed():
    with pytest.raises(ConfigError, match=r"key; received 1 \(allowed are include, exclude\)"):
        section("{ber: 0, layers: {zzz: 1}}")


def test_a_long_line_is_cut_between_words():
    text = " ".join(f"word{n:03}" for n in range(100))
    told = str(ConfigError(text))
    head, tail = told.split(" ... ")
    assert len(told) <= LONGEST_LINE
    assert {*head.split(), *tail.split()} <= {*text.split()}
    assert text.startswith(head) and text.endswith(tail) and len(told) > LONGEST_LINE - 30
    assert LONGEST_LINE - 5 <= len(str(ConfigError("x" * 1000))) <= LONGEST_LINE


def test_places_are_looked_for_only_of_mistakes_that_are_told():
    asked = []

    def where(keys):
        asked.append(keys)
        return "f.yaml, line 1: "

    with pytest.raises(ConfigError) as caught:
        parse_section({"ber": 1e-3, **{f"key{n}": n for n in range(1000)}}, where)
    assert len(asked) == MOST_LINES
    assert caught.value.lines[-1] == "and 990 more mistakes"
