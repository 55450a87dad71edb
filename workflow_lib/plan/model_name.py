"""Names of models, seeds and chosen branches as file names and tables carry them: parsed and written here alone."""

import re
from dataclasses import dataclass

from workflow_lib.errors import UserError

EXTERNAL = "external"  # stands where a model would, for score tables made elsewhere
NO_SEED = "noseed"
_ADAPTED = re.compile(r"(?P<model>[^@]+)@(?:full|without-(?P<held_out>.+))-seed(?P<seed>\d+)")
_CHOSEN = "@chosen"


@dataclass(frozen=True)
class ModelName:
    """A model: `ced`, `dualmic@full-seed13711`, `dualmic@without-fan-seed2026`, `dualmic@without-ToyCar+fan-seed2026`.

    model: its name in the configuration; held_out: folds whose machines an adapted model was trained without, in the
    order of their names; seed: of the training, "" for a model that is not adapted.
    """

    model: str
    held_out: tuple[str, ...] = ()
    seed: str = ""

    @classmethod
    def parse(cls, name: str) -> "ModelName":
        """The parts of a name; UserError if it has an `@` and is not the name of an adapted model."""
        if "@" not in name:
            return cls(name)
        if not (found := _ADAPTED.fullmatch(name)):
            raise UserError(
                f"{name} is no name of a model: write it as dualmic@full-seed1 or dualmic@without-fan-seed1"
            )
        return cls(found["model"], tuple(found["held_out"].split("+")) if found["held_out"] else (), found["seed"])

    def __str__(self) -> str:
        if not self.seed:
            return self.model
        scope = f"without-{'+'.join(self.held_out)}" if self.held_out else "full"
        return f"{self.model}@{scope}-{seed_word(self.seed)}"


def scope_pattern(fold: str) -> str:
    """Regular expression of all that follows the configuration's name in an adapted model's; fold: one of a fold."""
    return rf"@(?:full|without-{fold}(?:\+{fold})*)-seed\d+"


def seed_word(seed: str) -> str:
    """A seed as file names carry it: `seed13711`, or `noseed` for "" (no adapted model takes part)."""
    return f"seed{seed}" if seed else NO_SEED


def seed_of(word: str) -> str:
    """The seed that `seed_word` wrote."""
    return "" if word == NO_SEED else word.removeprefix("seed")


def chosen_system(branch: str) -> str:
    """Name of the system of one branch that nested_lomo makes of it, to choose among its candidates in each fold."""
    return f"{branch}{_CHOSEN}"


def chosen_branch(system: str) -> str | None:
    """The branch of which `chosen_system` made a system; None for a system of the configuration."""
    return system.removesuffix(_CHOSEN) if system.endswith(_CHOSEN) else None
