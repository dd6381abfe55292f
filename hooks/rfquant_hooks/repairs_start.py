"""Repairs of how the host starts: its arguments, process group and loggers."""

from __future__ import annotations

import ast
import functools
import logging
import os
import re
import socket
import sys
from typing import Any

from .patching import Patches
from .repair import Repair, source


class LocalRank(Repair):
    name = "local-rank"
    summary = "the parser knows --local_rank only; launchers give --local-rank or LOCAL_RANK"

    def before_config(self, patches: Patches) -> None:
        parser = source(self.host.reader)
        if "--local_rank" not in parser or "--local-rank" in parser:
            return
        arguments = [re.sub(r"^--local-rank(?==|$)", "--local_rank", a) for a in sys.argv[1:]]
        rank = os.environ.get("LOCAL_RANK")
        if arguments != sys.argv[1:]:
            self.report("--local-rank given to the host as --local_rank")
        elif rank is not None and self._is_read() and not _given(arguments):
            # In front: the host's list of files takes all that follows a `--`.
            arguments = [f"--local_rank={rank}", *arguments]
            self.report(f"--local_rank {rank} given to the host, from LOCAL_RANK")
        else:
            return
        patches.set(sys, "argv", [*sys.argv[:1], *arguments])

    def _is_read(self) -> bool:
        """Whether the host chooses its device by that argument (util/dist.py:16)."""
        module = self.host.module("util.dist")
        return module is not None and "local_rank" in source(module)


class ProcessGroup(Repair):
    name = "process-group"
    summary = "the script asserts a process group, and python main.py starts none"

    def after_config(self, config: Any) -> None:
        if any(name in os.environ for name in ("WORLD_SIZE", "RANK")) or not self._asserted():
            return
        environment = {
            "WORLD_SIZE": "1",
            "RANK": "0",
            "LOCAL_RANK": "0",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
        }
        for name, value in environment.items():
            self.host.patches.item(os.environ, name, os.environ.get(name, value))
        self.report("a process group of one")

    def _asserted(self) -> bool:
        return any(
            isinstance(node, ast.Assert) and getattr(node.test, "attr", None) == "distributed"
            for node in self.host.nodes("assert")
        )


class Loggers(Repair):
    name = "loggers"
    summary = "logging.config.fileConfig silences every logger that exists by then"

    def after_config(self, config: Any) -> None:
        original = getattr(self.host.reader, "init_logger", None)
        names = getattr(getattr(original, "__code__", None), "co_names", ())
        if original is None or "fileConfig" not in names:
            return

        @functools.wraps(original)
        def init_logger(*args: Any, **kwargs: Any) -> Any:
            enabled = [logger for logger in _loggers() if not logger.disabled]
            result = original(*args, **kwargs)
            silenced = [logger for logger in enabled if logger.disabled]
            for logger in silenced:
                logger.disabled = False
            if silenced:
                self.report(f"{len(silenced)} logger(s) enabled again")
            return result

        self.host.patches.replace(self.host.reader, original, init_logger)


def _given(arguments: list[str]) -> bool:
    return any(a == "--local_rank" or a.startswith("--local_rank=") for a in arguments)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _loggers() -> list[logging.Logger]:
    known = list(logging.Logger.manager.loggerDict.values())
    return [logger for logger in known if isinstance(logger, logging.Logger)]
