"""One job per fold: which folds each cell of a grid has, counted on its data before anything is started."""

import json
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from fer_lightning.errors import ConfigError, DatasetNotFoundError, FERError
from fer_lightning.identity import rows_of

if TYPE_CHECKING:
    import pandas as pd

    from fer_lightning.functional.folds import Fold

#: The key that makes a job of a fold, and what conf/sweep/folds.yaml and conf/protocol/loso_jobs.yaml set it to.
INDEX, EVERY_FOLD = "protocol.index", "glob(*)"


def asked_for(overrides: Mapping[str, Override]) -> bool:
    """Whether the grid (key -> choices) has one job per fold and leaves it to the data which folds there are."""
    return INDEX in overrides and overrides[INDEX].input_line.endswith(f"={EVERY_FOLD}")


def spread(
    grid: Mapping[str, Override], numbers: Mapping[tuple[str, ...], list[int]]
) -> list[tuple[tuple[str, ...], list[str]]]:
    """One job for each fold of each cell, in the order of the grid.

    Args:
        grid: key -> choices, `asked_for` every fold.
        numbers: cell, as the overrides of a job without the fold -> numbers of its folds.

    Returns:
        The cell and the overrides of each job.
    """
    every = sorted(set(chain.from_iterable(numbers.values())))
    if not every:
        return []
    [index] = OverridesParser.create().parse_overrides([f"{INDEX}=choice({','.join(map(str, every))})"])
    [jobs] = BasicSweeper.split_arguments([*{**grid, INDEX: index}.values()], None)
    place = list(grid).index(INDEX)
    spread_out = [((*job[:place], *job[place + 1 :]), int(job[place].partition("=")[2]), job) for job in jobs]
    return [(cell, job) for cell, number, job in spread_out if number in numbers.get(cell, ())]


class FoldNumbers:
    """Counts folds on the data itself.

    What a release should hold (``data.expects``) does not tell it: other folds than one per person may be asked for,
    some of the data (``data.where``), or synthetic data (``debug=tiny``). Each data set is read once, however many
    cells have it.
    """

    def __init__(self) -> None:
        self.manifests: dict[str, pd.DataFrame] = {}
        self.folds: dict[str, list[Fold]] = {}

    def of(self, cfg: DictConfig) -> list[int]:
        """Numbers of the folds that this config runs, as in `protocol.index`.

        Raises:
            FERError: they cannot be counted: no data, or data that the protocol does not fit.
        """
        from fer_lightning.planning import chosen

        try:
            folds = self._folds(cfg)
            names = {fold.name for fold in chosen(cfg, folds)}
        except (FERError, InstantiationException) as error:
            cause = error if isinstance(error, FERError) else error.__cause__ or error
            kind = type(cause) if isinstance(cause, FERError) else ConfigError
            blind = f" (where the data is not seen from here, add {INDEX}=range(0,<number of folds>))"
            raise kind(
                f"one job per fold: the folds of data={cfg.data.name} cannot be counted"
                f"{blind if kind is DatasetNotFoundError else ''}: {cause}"
            ) from error
        return [number for number, fold in enumerate(folds) if fold.name in names]

    def _folds(self, cfg: DictConfig) -> "list[Fold]":
        """The folds by name, without their samples."""
        from hydra.utils import instantiate

        from fer_lightning.functional.folds import Fold
        from fer_lightning.planning import open_data

        data = rows_of(cfg.data)
        both = data + json.dumps(OmegaConf.to_container(cfg.protocol.folds, resolve=True), default=str)
        if both not in self.folds:
            if data not in self.manifests:
                self.manifests[data] = open_data(cfg).manifest
            folds = instantiate(cfg.protocol.folds)(self.manifests[data])
            self.folds[both] = [Fold(fold.name, (), (), ()) for fold in folds]  # hundreds of lists of all samples
        return self.folds[both]
