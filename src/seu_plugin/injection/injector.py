"""FaultInjector: upsets in the weight memory of a quantized model, and back again."""

from __future__ import annotations

import weakref
from contextlib import contextmanager, nullcontext
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Union

import torch
from torch import nn

from ..console import print_table
from ..errors import ConfigError, InjectionError
from ..faults.fault_list import Fault, fault_maps
from ..faults.fault_map import empty_fault_map
from ..faults.site_memory import Given, ReadMap
from ..memory.protection import check_rules
from ..quantizers.sites import check_grids, select_sites
from ..settings.injection import InjectionSettings
from ..settings.section import parse_settings
from .arguments import Layers, as_arguments, check_draw, check_model, listed, selection, with_list
from .devices import agreed_seed, check_device, rank
from .enabled import Enabled, dropped
from .exact_count import ExactCount
from .exposure import ExposedSite
from .fit import check_given, check_listed, check_memory
from .forward_state import ForwardState
from .listing import upsets_listed
from .other_targets import OtherTargets
from .reuse import Reuse
from .self_check import check_injection
from .statistics import SiteStatistics
from .table import injection_table


class FaultInjector:
    """Flips stored bits of a quantized model with an exact bit error rate.

    Between :meth:`enable` and :meth:`disable` (or inside ``with``), every stored bit of every
    selected site is upset independently with probability ``ber`` (or as another ``mode`` says) in
    the weight that the layer's own forward uses. Gradients pass straight through to the clean
    weight. Afterwards the model is bit-identical to before.

    Parameters
    ----------
    model: quantized model, wrapped in DistributedDataParallel or not.
    mode: fault model: ``"ber"``, ``"stuck_at"``, ``"asymmetric"``, ``"mbu"``, ``"exact_count"``,
        ``"fault_list"``.
    ber: bit error rate in [0, 1], per stored bit and fault map.
    device: where codes are flipped; default: where the weight is.
    enable_in_training, enable_in_inference: inject while a layer is in train / eval mode.
    seed: in [0, 2**64); None draws one from the operating system (see :attr:`seed`), the same
        on every rank of an initialized process group.
    layers: glob pattern(s) over site names, or ``{"include": [...], "exclude": [...]}``.
    bits, encoding, persistence, bn_calibration, trial, weight_cache: as the YAML keys of these
        names.
    exposure_draw: counter of the first fault map of ``per_forward`` persistence.
    more: ``rate``, ``stuck_at``, ``asymmetric``, ``mbu``, ``upsets``, ``memory``, ``protection``
        and ``targets``, as the YAML keys of these names; ``faults``, the upsets themselves, of
        mode ``"fault_list"``: a list of :class:`~seu_plugin.Fault`, or a file of them.

    Raises ConfigError for a bad argument, SiteError if the model has no such sites.
    """

    def __init__(
        self,
        model: nn.Module,
        mode: str = "ber",
        ber: Optional[float] = None,
        device: Union[str, torch.device, None] = None,
        enable_in_training: bool = True,
        enable_in_inference: bool = True,
        seed: Optional[int] = None,
        *,
        layers: Layers = None,
        bits: Union[str, Sequence[int]] = "all",
        encoding: str = "twos_complement",
        persistence: str = "auto",
        bn_calibration: str = "clean",
        trial: int = 0,
        weight_cache: bool = True,
        exposure_draw: int = 0,
        **more: Any,
    ) -> None:
        given = {
            "mode": mode,
            "ber": ber,
            "device": None if device is None else str(device),
            "enable_in_training": enable_in_training,
            "enable_in_inference": enable_in_inference,
            "seed": seed,
            "layers": selection(layers),
            "bits": bits,
            "encoding": encoding,
            "persistence": persistence,
            "bn_calibration": bn_calibration,
            "trial": trial,
            "weight_cache": weight_cache,
            **more,
        }
        check_model("FaultInjector.model", model)
        if mode == "ber" and ber is None and more.get("faults") is not None:
            given["mode"] = "fault_list"
        settings = with_list(parse_settings(given), more.get("faults"))
        if settings.bn_calibration == "both":
            raise ConfigError(
                "FaultInjector.bn_calibration: 'both' is two evaluations, for the YAML section; "
                "allowed here are clean, faulty"
            )
        check_draw(exposure_draw)
        self.model = model
        self.settings = settings
        self.device = check_device(settings.device)
        self.seed = settings.seed if settings.seed is not None else agreed_seed()
        self.sites = select_sites(model, settings.layers, settings.quantizer)
        check_grids(self.sites, settings)
        self._state = ForwardState(settings, self.seed, self.device, exposure_draw)
        widest = {site.name: site.widest for site in self.sites}
        check_rules(settings.protection, widest, settings.bits)
        exact = ExactCount(self.sites, self.seed) if settings.mode == "exact_count" else None
        adapters = self.sites.adapters
        self._exposed = [ExposedSite(s, self._state, exact, adapters[s.name]) for s in self.sites]
        self._others = OtherTargets(model, self._exposed, self._state)
        self._enabled: Optional[Enabled] = None
        self._dropped: Optional[weakref.finalize[Any, Any]] = None
        check_listed(model, self.sites, settings)
        self._listed = None if settings.mode != "fault_list" else fault_maps(listed(settings))
        self._given: Optional[Mapping[str, Given]] = self._listed

    @classmethod
    def from_settings(
        cls, model: nn.Module, settings: InjectionSettings, exposure_draw: int = 0
    ) -> FaultInjector:
        """An injector for validated settings (a section, say)."""
        arguments = as_arguments(settings)
        return cls(model, exposure_draw=exposure_draw, **arguments)

    def __repr__(self) -> str:
        s = self.settings
        return f"FaultInjector(ber={s.ber:g}, seed={self.seed}, sites={len(self.sites)})"

    @property
    def enabled(self) -> bool:
        return self._enabled is not None

    def enable(
        self, widths_set_later: bool = False, reuse: Optional[Reuse] = None
    ) -> FaultInjector:
        """Start to inject. A second call changes nothing. Statistics start at zero; exposure draws
        go on where they were, so that no ``per_forward`` map comes twice.
        ``widths_set_later``: layers may have no width yet, since the code that runs the model
        sets them before each forward (as the host's ``train`` does). ``reuse`` watches all modules.

        Raises SiteError if a selected site has no width or step size yet, InjectionError if
        another injector is enabled on one of the sites; the model is then unchanged.
        """
        if self._enabled is not None:
            return self
        for site in (exposed.site for exposed in self._exposed):
            width = None if widths_set_later and site.width_changes else site.width
            if width is not None:
                site.check(width)
        check_memory(self.sites, self.settings)
        check_listed(self.model, self.sites, self.settings)  # widths may be others now
        self._state.reset()
        self._given = self._listed
        for exposed in self._exposed:
            exposed.reset(self._of_site(exposed))
        self._others.start_trial()
        parts = (self.model, self._exposed, self._state, self._others, repr(self), reuse)
        self._enabled = Enabled(*parts)
        self._dropped = weakref.finalize(self, dropped, weakref.ref(self._enabled))
        self._dropped.atexit = False
        return self

    def disable(self) -> None:
        """Stop to inject and give the model back as it was. A second call changes nothing.

        Raises InjectionError if BER > 0 and nothing was injected since :meth:`enable`, or if
        the upsets made contradict the BER. The model is restored first.
        """
        if self._enabled is not None:
            replaced = self._enabled.replaced()
            self.release()
            if replaced is not None:
                raise replaced
            check_injection(self, self._exposed, self._state, self._given, self._others.by_target)

    def __enter__(self) -> FaultInjector:
        return self.enable()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            self.disable()
        else:
            self.release()  # the error in flight says more than our checks would

    def start_trial(
        self,
        trial: int,
        ber: Optional[float] = None,
        given: Optional[Mapping[str, Given]] = None,
    ) -> None:
        """While enabled: go on with another fault map, at another BER if that is given, as a new
        injector would, but keep the quantized weights. Statistics start at zero.

        ``given``: upset what these maps say, by site name, and nothing else; static. A ReadMap is
        of the one width that its site is used at.

        Raises ConfigError for a bad number, SiteError for a site that is not selected.
        """
        if self._enabled is None:
            raise InjectionError(f"{self!r}: start_trial before enable")
        old = self.settings
        named = as_arguments(old)
        changed: Dict[str, Any] = {"trial": trial, "ber": old.ber if ber is None else ber}
        if given is not None:
            check_given(self.sites, given)
            changed.update(ber=0.0, persistence="static")
        settings = parse_settings({**named, **changed})
        with self._enabled.still():
            self.settings = settings
            self._given = self._listed if given is None else given
            self._state.start_trial(self.settings)
            self._others.start_trial()
            for exposed in self._exposed:
                exposed.start_trial(self._of_site(exposed))

    def _of_site(self, exposed: ExposedSite) -> Optional[Given]:
        if self._given is None:
            return None
        return self._given.get(exposed.site.name, empty_fault_map())

    def keep_step_sizes(self) -> None:
        """While enabled: activation step sizes that clean forwards have initialized stay."""
        if self._enabled is not None:
            self._enabled.keep_step_sizes()

    def release(self) -> None:
        """Give the model back as :meth:`disable` does, without its checks."""
        enabled, self._enabled = self._enabled, None
        if enabled is not None:
            assert self._dropped is not None
            self._dropped.detach()
            enabled.end()

    def check_trial(self) -> None:
        """While enabled: the checks of :meth:`disable` for the trial that ends now."""
        check_injection(self, self._exposed, self._state, self._given, self._others.by_target)

    def observe(self, observer: Optional[Callable[[Any, Sequence[Any]], None]]) -> None:
        """Show output and inputs of each forward of the model to ``observer``, but for those that
        calibrate BatchNorm."""
        self._state.observer = observer

    def clean_widths(self) -> Dict[str, List[int]]:
        """Widths that sites were used at, without faults and under an observer, since
        :meth:`enable`."""
        return {e.site.name: list(e.clean_widths) for e in self._exposed}

    def static_maps(self, widths: Mapping[str, Sequence[int]]) -> Dict[str, List[ReadMap]]:
        """The static maps of this trial at these widths, by site name."""
        return {e.site.name: [e.maps.static(w) for w in widths[e.site.name]] for e in self._exposed}

    def faults(self) -> List[Fault]:
        """The bits of weights that are read wrong under the map that holds now (under the static
        map also after :meth:`disable`), to be tried again elsewhere.

        Raises InjectionError before the first forward, for a site that was used at several widths,
        or under maps that changed from forward to forward once these are over.
        """
        with self._still():
            return upsets_listed(self._exposed, self.settings, self._given)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Forwards inside run clean, and count nothing, in all threads."""
        self._state.suspensions += 1
        try:
            yield
        finally:
            self._state.suspensions -= 1

    def statistics(self) -> Dict[str, SiteStatistics]:
        """Words and bits exposed, upsets made, words hit, by site name; since ``enable``."""
        with self._still():
            made = [e.statistics() for e in self._exposed if e.exposed]
            return {s.name: s for s in made + [one.statistics() for one in self._others.all]}

    def _still(self) -> Any:
        """Inside, no other thread is in a forward."""
        return nullcontext() if self._enabled is None else self._enabled.still()

    def print_summary(self) -> None:
        """Print :meth:`statistics` as a table (on rank 0 of a process group)."""
        if rank() == 0:
            # Of switchable BatchNorms, most are not used.
            shown = [s for s in self.statistics().values() if s.bits or s.adapter]
            seed = None if self.settings.mode == "fault_list" else self.seed
            print_table(injection_table(shown, self.settings.amount, seed))
