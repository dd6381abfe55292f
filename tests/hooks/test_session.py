"""One run: configure, phases, close, with plain functions for a host."""

import dataclasses
from types import SimpleNamespace

import pytest

from rfquant_hooks import (
    RFQUANT,
    BitWidths,
    PhaseOutcome,
    PluginError,
    Session,
    create_manager,
    hookimpl,
)

TRAIN, VALIDATE, CALIBRATE, SEARCH = RFQUANT.phases
WIDTHS = BitWidths((4, 3), (6, 5))
POLICY = [([4, 3], [6, 5])]
MODEL = object()
CONFIG = SimpleNamespace(search=False)


class Recorder:
    """Notes what it is told and leaves every phase alone."""

    def __init__(self):
        self.configured, self.built, self.phases, self.errors = [], [], [], []

    @hookimpl
    def rfquant_configure(self, config, manager):
        self.configured.append(config)

    @hookimpl
    def rfquant_model_built(self, config, model):
        self.built.append((config, model))

    @hookimpl
    def rfquant_run_phase(self, phase, run):
        self.phases.append(phase)

    @hookimpl
    def rfquant_unconfigure(self, error):
        self.errors.append(error)


class Answer:
    """Answers phases with ``answer(phase, run)``."""

    def __init__(self, answer):
        self.answer = answer

    @hookimpl
    def rfquant_run_phase(self, phase, run):
        return self.answer(phase, run)


class Widths:
    @hookimpl
    def rfquant_bit_widths(self, config):
        return WIDTHS


class Host:
    """``validate`` notes each of its calls."""

    def __init__(self):
        self.calls = []

    def validate(self, data_loader, model, configs, alpha=1, eval_predefined_arch=None):
        self.calls.append((data_loader, model, configs, alpha, eval_predefined_arch))
        return [70, 60.5]


@pytest.fixture
def host():
    return Host()


@pytest.fixture
def recorder():
    return Recorder()


def session(*plugins):
    return Session(create_manager(plugins, entry_points=False))


def validate(running, host, config=CONFIG, **arguments):
    return running.run_phase(VALIDATE, host.validate, ([1], MODEL, config), arguments)


def search(running, call, config=CONFIG):
    def body(model, cfgs):
        return call()

    return running.run_phase(SEARCH, body, (MODEL, config), {})


# Configuration


def test_configure_hands_the_configuration_to_the_plugins(recorder):
    session(recorder).configure(CONFIG)
    assert recorder.configured == [CONFIG]


def test_configure_fires_once_for_one_configuration(recorder):
    running = session(recorder)
    running.configure(CONFIG)
    running.configure(CONFIG)
    assert recorder.configured == [CONFIG]


def test_another_configuration_is_shown_to_the_plugins(recorder):
    running = session(recorder)
    other = SimpleNamespace(search=True)
    running.configure(CONFIG)
    running.configure(other)
    assert recorder.configured == [CONFIG, other]


def test_the_first_phase_configures_if_nobody_did(recorder, host):
    validate(session(recorder), host)
    assert recorder.configured == [CONFIG]


def test_a_phase_does_not_configure_again(recorder, host):
    running = session(recorder)
    running.configure(CONFIG)
    validate(running, host)
    assert recorder.configured == [CONFIG]


def test_configure_comes_before_the_first_phase(host):
    events = []

    class Order:
        @hookimpl
        def rfquant_configure(self, config, manager):
            events.append("configure")

        @hookimpl
        def rfquant_run_phase(self, phase, run):
            events.append(phase.name)

    validate(session(Order()), host)
    assert events == ["configure", "validate"]


def test_a_plugin_may_register_its_working_object_while_configuring(recorder, host):
    class Door:
        @hookimpl
        def rfquant_configure(self, config, manager):
            manager.register(recorder)

    validate(session(Door()), host)
    assert [p.name for p in recorder.phases] == ["validate"]


def test_an_unknown_hook_of_a_working_object_is_an_error_that_names_it():
    class Typo:
        @hookimpl
        def rfquant_run_phases(self, phase, run):
            return None

    class Door:
        @hookimpl
        def rfquant_configure(self, config, manager):
            manager.register(Typo())

    with pytest.raises(PluginError, match="rfquant_run_phases"):
        session(Door()).configure(CONFIG)


def test_a_built_model_is_shown_with_the_configuration(recorder):
    running = session(recorder)
    running.configure(CONFIG)
    running.model_built(MODEL)
    assert recorder.built == [(CONFIG, MODEL)]


def test_a_model_built_before_the_configuration_is_not_shown(recorder):
    session(recorder).model_built(MODEL)
    assert recorder.built == []


# Arguments


def bound(*args, **kwargs):
    recorder, host = Recorder(), Host()
    session(recorder).run_phase(VALIDATE, host.validate, args, kwargs)
    return recorder.phases[0], host.calls[0]


FULL = {
    "data_loader": [1],
    "model": MODEL,
    "configs": CONFIG,
    "alpha": 2,
    "eval_predefined_arch": None,
}


@pytest.mark.parametrize(
    "args,kwargs",
    [
        (([1], MODEL, CONFIG, 2), {}),
        (([1], MODEL), {"configs": CONFIG, "alpha": 2}),
        ((), {"alpha": 2, "configs": CONFIG, "model": MODEL, "data_loader": [1]}),
    ],
)
def test_arguments_are_bound_by_name_however_they_are_passed(args, kwargs):
    phase, _ = bound(*args, **kwargs)
    assert dict(phase.arguments) == FULL


def test_arguments_include_defaults():
    phase, _ = bound([1], MODEL, CONFIG)
    assert phase.arguments["alpha"] == 1


def test_the_function_receives_its_arguments_untouched():
    _, call = bound([1], MODEL, CONFIG, alpha=2)
    assert call == ([1], MODEL, CONFIG, 2, None)


def test_the_model_of_a_phase_is_the_argument():
    phase, _ = bound([1], configs=CONFIG, model=MODEL)
    assert phase.model is MODEL


def test_the_configuration_of_a_phase_is_the_argument(recorder, host):
    running, other = session(recorder), SimpleNamespace(search=False)
    running.configure(CONFIG)
    validate(running, host, other)
    assert recorder.phases[0].config is other


def test_a_phase_without_a_configuration_parameter_has_that_of_the_run(recorder):
    running = session(recorder)
    running.configure(CONFIG)
    running.run_phase(CALIBRATE, lambda model: None, (MODEL,), {})
    assert recorder.phases[0].config is CONFIG


def test_a_search_has_its_configuration_from_its_own_parameter(recorder):
    search(session(recorder), lambda: None)
    assert recorder.phases[0].config is CONFIG


def test_the_arguments_of_a_phase_are_read_only():
    phase, _ = bound([1], MODEL, CONFIG)
    with pytest.raises(TypeError):
        phase.arguments["alpha"] = 3


def test_an_extra_parameter_of_a_fork_passes_through():
    def fork(model, configs, temperature, *, verbose=False):
        return [temperature, verbose]

    running = session(Recorder())
    assert running.run_phase(VALIDATE, fork, (MODEL, CONFIG, 7), {"verbose": True}) == [7, True]


def test_the_catch_all_parameters_of_a_fork_pass_through():
    def fork(model, configs, *rest, **named):
        return [rest, named]

    running = session(Recorder())
    value = running.run_phase(TRAIN, fork, (MODEL, CONFIG, 1, 2), {"x": 3})
    assert value == [(1, 2), {"x": 3}]


def test_a_call_that_the_function_would_refuse_is_refused_alike(host):
    with pytest.raises(TypeError, match="unexpected keyword argument 'alpah'"):
        validate(session(), host, alpah=1)


def test_a_function_without_the_model_parameter_is_an_error_that_names_it():
    with pytest.raises(PluginError, match=r"process\.train .*'model'.* net"):
        session(Recorder()).run_phase(TRAIN, lambda net: None, (MODEL,), {})


# Bit widths


def test_validate_receives_the_widths_as_its_policy(host):
    validate(session(Widths()), host)
    assert host.calls[0][-1] == POLICY


def test_the_widths_replace_a_policy_of_the_host(host):
    validate(session(Widths()), host, eval_predefined_arch=["of the host"])
    assert host.calls[0][-1] == POLICY


def test_without_widths_the_policy_of_the_host_stays(host):
    validate(session(Recorder()), host, eval_predefined_arch=["of the host"])
    assert host.calls[0][-1] == ["of the host"]


def test_a_phase_shows_its_widths(recorder, host):
    validate(session(recorder, Widths()), host)
    assert recorder.phases[0].bit_widths is WIDTHS


def test_the_arguments_of_a_phase_show_the_policy_that_the_host_receives(recorder, host):
    validate(session(recorder, Widths()), host)
    assert recorder.phases[0].arguments["eval_predefined_arch"] == POLICY


def test_widths_reach_a_validate_that_takes_none_as_those_of_the_phase(recorder, host):
    without = dataclasses.replace(VALIDATE, policy=None)
    arguments = ([1], MODEL, CONFIG)
    session(recorder, Widths()).run_phase(without, host.validate, arguments, {})
    assert recorder.phases[0].bit_widths is WIDTHS
    assert host.calls[0][-1] is None


def test_train_receives_no_widths(recorder):
    running = session(recorder, Widths())
    running.run_phase(TRAIN, lambda model, configs: None, (MODEL, CONFIG), {})
    assert recorder.phases[0].bit_widths is None


def test_a_search_keeps_its_own_policies_while_it_runs(host):
    running = session(Widths())
    search(running, lambda: validate(running, host))
    assert host.calls[0][-1] is None


def test_a_search_keeps_its_own_policies_at_any_depth(host):
    def train(model, configs):
        validate(running, host)

    running = session(Widths())
    search(running, lambda: running.run_phase(TRAIN, train, (MODEL, CONFIG), {}))
    assert host.calls[0][-1] is None


def test_the_policy_that_a_search_found_is_kept_after_it(host):
    running = session(Widths())
    search(running, lambda: None)
    validate(running, host)
    assert host.calls[0][-1] is None


@pytest.mark.parametrize("config", [SimpleNamespace(search=True), {"search": True}])
def test_no_widths_where_the_configuration_asks_for_a_search(host, config):
    validate(session(Widths()), host, config)
    assert host.calls[0][-1] is None


def without_policy(model, configs):
    return [70.0]


def with_catch_all(model, configs, **rest):
    return [70.0]


@pytest.mark.parametrize("fork", [without_policy, with_catch_all])
def test_widths_for_a_function_without_a_policy_parameter_are_an_error_that_names_it(fork):
    with pytest.raises(PluginError, match="eval_predefined_arch"):
        session(Widths()).run_phase(VALIDATE, fork, (MODEL, CONFIG), {})


def test_without_plugins_a_fork_may_call_its_parameters_as_it_likes():
    assert session().run_phase(VALIDATE, lambda net, cfg: [net, cfg], (1, 2), {}) == [1, 2]


# Outcomes


def test_without_plugins_the_caller_receives_what_the_function_returned(host):
    assert validate(session(), host) == [70, 60.5]


def test_the_value_of_the_outcome_reaches_the_caller(host):
    plugin = Answer(lambda phase, run: PhaseOutcome("of the plugin"))
    assert validate(session(plugin), host) == "of the plugin"


def test_an_answer_without_run_leaves_the_function_alone(host):
    validate(session(Answer(lambda phase, run: PhaseOutcome("of the plugin"))), host)
    assert host.calls == []


def test_an_outcome_holds_the_very_object_that_the_function_returned():
    value, outcomes = object(), []

    def answer(phase, run):
        outcomes.append(run())
        return outcomes[0]

    session(Answer(answer)).run_phase(TRAIN, lambda model, configs: value, (MODEL, CONFIG), {})
    assert outcomes[0].value is value


def test_metrics_are_floats_read_from_the_value(host):
    outcomes = []

    def answer(phase, run):
        outcomes.append(run())
        return outcomes[0]

    validate(session(Answer(answer)), host)
    assert repr(outcomes[0].metrics) == "(70.0, 60.5)"


def test_none_before_run_runs_the_function_once(host):
    validate(session(Recorder()), host)
    assert len(host.calls) == 1


def test_none_passes_the_phase_to_the_next_plugin(host):
    plugins = [Answer(lambda phase, run: PhaseOutcome("next")), Recorder()]
    assert validate(session(*plugins), host) == "next"


def test_none_after_run_is_an_error_that_names_the_phase(host):
    def answer(phase, run):
        run()

    with pytest.raises(PluginError, match="'validate' with None"):
        validate(session(Answer(answer)), host)


def test_none_after_run_does_not_run_the_function_again(host):
    def answer(phase, run):
        run()

    with pytest.raises(PluginError):
        validate(session(Answer(answer)), host)
    assert len(host.calls) == 1


def test_an_answer_that_is_no_outcome_is_an_error(host):
    with pytest.raises(PluginError, match="not a PhaseOutcome"):
        validate(session(Answer(lambda phase, run: [70.0])), host)


def test_a_plugin_may_run_the_function_again(host):
    def answer(phase, run):
        run()
        return run()

    validate(session(Answer(answer)), host)
    assert len(host.calls) == 2


@pytest.mark.parametrize("chosen", [0, 1])
def test_a_plugin_chooses_which_outcome_the_host_receives(chosen):
    values = iter(["first", "second"])

    def answer(phase, run):
        return [run(), run()][chosen]

    running = session(Answer(answer))
    value = running.run_phase(TRAIN, lambda model, configs: next(values), (MODEL, CONFIG), {})
    assert value == ["first", "second"][chosen]


# Exceptions


class OfTheHost(Exception):
    pass


def fail(error):
    def function(model, configs):
        raise error

    return function


@pytest.mark.parametrize("error", [OfTheHost(), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_of_the_function_propagates_unchanged_through_a_plugin(error):
    running = session(Answer(lambda phase, run: run()))
    with pytest.raises(type(error)) as caught:
        running.run_phase(TRAIN, fail(error), (MODEL, CONFIG), {})
    assert caught.value is error


def test_an_exception_of_the_function_propagates_unchanged_without_a_plugin():
    error = OfTheHost()
    with pytest.raises(OfTheHost) as caught:
        session().run_phase(TRAIN, fail(error), (MODEL, CONFIG), {})
    assert caught.value is error


@pytest.mark.parametrize("answer", [lambda phase, run: run(), lambda phase, run: None])
def test_a_phase_that_failed_is_nobodys_parent(recorder, host, answer):
    running = session(Answer(answer), recorder)
    with pytest.raises(OfTheHost):
        running.run_phase(TRAIN, fail(OfTheHost()), (MODEL, CONFIG), {})
    validate(running, host)
    assert recorder.phases[-1].parent is None


def test_a_phase_that_a_plugin_broke_is_nobodys_parent(recorder, host):
    def answer(phase, run):
        if phase.name == "train":
            raise PluginError("broken")

    running = session(Answer(answer), recorder)
    with pytest.raises(PluginError):
        running.run_phase(TRAIN, lambda model, configs: None, (MODEL, CONFIG), {})
    validate(running, host)
    assert recorder.phases[-1].parent is None


def test_a_nested_phase_that_failed_leaves_its_parent_in_place(recorder, host):
    def train(model, configs):
        with pytest.raises(OfTheHost):
            running.run_phase(TRAIN, fail(OfTheHost()), (MODEL, CONFIG), {})
        validate(running, host)

    running = session(recorder)
    running.run_phase(TRAIN, train, (MODEL, CONFIG), {})
    assert recorder.phases[-1].parent is recorder.phases[0]


def test_a_plugin_may_catch_an_exception_and_run_again():
    results = iter([OfTheHost(), "second"])

    def function(model, configs):
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    def answer(phase, run):
        try:
            return run()
        except OfTheHost:
            return run()

    running = session(Answer(answer))
    assert running.run_phase(TRAIN, function, (MODEL, CONFIG), {}) == "second"


# Nesting


def test_an_outer_phase_has_no_parent(recorder, host):
    validate(session(recorder), host)
    assert recorder.phases[0].parent is None


def test_a_nested_phase_has_its_parent(recorder, host):
    running = session(recorder)
    search(running, lambda: validate(running, host))
    assert recorder.phases[1].parent is recorder.phases[0]


def test_a_nested_phase_is_inside_its_parent(recorder, host):
    running = session(recorder)
    search(running, lambda: validate(running, host))
    assert recorder.phases[1].inside("search")


def test_a_phase_after_another_is_not_inside_it(recorder, host):
    running = session(recorder)
    search(running, lambda: None)
    validate(running, host)
    assert recorder.phases[1].parent is None


# Close


def test_close_without_an_error_says_none(recorder):
    running = session(recorder)
    running.configure(CONFIG)
    running.close()
    assert recorder.errors == [None]


def test_close_hands_over_the_error(recorder):
    running, error = session(recorder), OfTheHost()
    running.configure(CONFIG)
    running.close(error)
    assert recorder.errors == [error]


def test_close_fires_once(recorder):
    running, error = session(recorder), OfTheHost()
    running.configure(CONFIG)
    running.close(error)
    running.close()
    assert recorder.errors == [error]


def test_close_fires_once_even_if_a_plugin_raises():
    calls = []

    class Unsatisfied:
        @hookimpl
        def rfquant_unconfigure(self, error):
            calls.append(error)
            raise PluginError("nothing was done")

    running = session(Unsatisfied())
    running.configure(CONFIG)
    with pytest.raises(PluginError):
        running.close()
    running.close()
    assert calls == [None]


def test_close_of_a_run_that_was_never_configured_says_nothing(recorder):
    session(recorder).close()
    assert recorder.errors == []
