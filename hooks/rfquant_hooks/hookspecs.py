"""The hooks, in the order in which they fire. Implement any subset with ``@hookimpl``."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Optional

import pluggy

from .contract import BitWidths, Phase, PhaseOutcome, hookspec


@hookspec
def rfquant_host_modules() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Modules to offer under the host's names, as ``{host name: module to serve}``.

    Fires once, when the host is instrumented. A module that the host has itself always wins.
    Nothing is imported until the host asks for the name::

        @hookimpl
        def rfquant_host_modules():
            return {"util.fault_injector": "seu_plugin.compat"}
    """


@hookspec
def rfquant_options() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Options to offer on the command line of ``rfquant-run``, as ``{"--name": help}``.

    Each takes one value, which ``help`` may name in capitals before a colon. What was given
    reaches ``rfquant_configure``::

        @hookimpl
        def rfquant_options():
            return {"--shard": "I/N: run only every N-th trial"}
    """


@hookspec
def rfquant_configure(
    config: Any, manager: pluggy.PluginManager, options: Mapping[str, str]
) -> None:
    """The host has read its configuration, and nothing expensive has happened yet.

    Parse your section, read your files and raise :class:`~rfquant_hooks.contract.PluginError`
    here: a mistake then costs a second, not a night. Register the object that does the work
    with ``manager`` only when the section exists. ``options`` are those of ``rfquant-run`` that
    plugins offer and the user gave, by name without dashes::

        @hookimpl
        def rfquant_configure(config, manager):
            if "my_section" in config:
                manager.register(MyPlugin(config["my_section"]))
    """


@hookspec
def rfquant_model_built(config: Any, model: Any) -> None:
    """The quantized model exists and has not been run: check against it what must fit it."""


@hookspec(firstresult=True)
def rfquant_bit_widths(config: Any) -> Optional[BitWidths]:
    """The mixed-precision policy that ``validate`` is to evaluate, or None to leave the host's."""


@hookspec(firstresult=True)
def rfquant_run_phase(phase: Phase, run: Callable[[], PhaseOutcome]) -> Optional[PhaseOutcome]:
    """Bracket or repeat one phase. ``run()`` runs the host's function and may be called again.

    Return a :class:`~rfquant_hooks.contract.PhaseOutcome`; the host's caller receives its
    ``value``. None means "not mine": pluggy asks the next plugin, and if none answers, the phase
    runs as it is. None after ``run`` was called is an error. Exceptions propagate to the host::

        @hookimpl
        def rfquant_run_phase(phase, run):
            if phase.name != "validate":
                return None
            with something():
                return run()
    """


@hookspec
def rfquant_unconfigure(error: Optional[BaseException]) -> None:
    """The run is over: write what is still to be written.

    ``error`` is what ended the run early, or None. Raise
    :class:`~rfquant_hooks.contract.PluginError` if the run did not do what it was asked to.
    """
