"""What the folder of a campaign keeps."""

from seu_plugin.analysis.rows import TRIALS, read_rows
from seu_plugin.analysis.trials import same


def rows(folder):
    """Results by trial id."""
    return {r.trial.id: r for r in read_rows(folder / TRIALS)[0]}


def agree(one, other):
    """Whether both have the same trials, with the same results."""
    return one.keys() == other.keys() and all(same(one[i], other[i]) for i in one)
